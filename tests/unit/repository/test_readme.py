"""The entry to the documentation says what is there: the README, the index of all documents, CONTRIBUTING."""

from __future__ import annotations

import re

import click
import pytest
from pydantic import BaseModel

from dbt_temporal.adapters.environment import EnvironmentModel, variable_names
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.settings import ArtifactSettings, HealthSettings, ProjectSettings, RunSettings
from tests.unit.repository.doc_pages import ROOT, Page

PAGE, INDEX, CONTRIBUTING = Page("README.md"), Page("docs/README.md"), Page("CONTRIBUTING.md")
README = PAGE.text
MAX_LINES = 150
MAX_LINE_CHARS = 160
LINKS = re.findall(r"\]\(((?!https?:)[^)]+)\)", INDEX.text)
WRITTEN_LATER = {"benchmarks.md"}
"""Written by a machine that does nothing else (`make bench`): it is named, but may be missing."""
GROUPS: list[type[EnvironmentModel]] = [
    ConnectionSettings,
    WorkerTuning,
    ProjectSettings,
    ArtifactSettings,
    HealthSettings,
    RunSettings,
]


def first_cells() -> list[str]:
    """What stands in the first column of the README's tables."""
    return [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]


def variables_in_readme() -> set[str]:
    return {name for cell in first_cells() for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", cell)}


def fields_of(model: type[BaseModel]) -> set[str]:
    return {name for field in model.model_fields.values() for name in variable_names(field)}


def test_every_variable_in_the_readme_is_one_that_is_read() -> None:
    known = {name for group in GROUPS for name in fields_of(group)}
    assert variables_in_readme()
    assert variables_in_readme() - known == set()


def test_every_command_in_the_readme_exists() -> None:
    in_table = {name for cell in first_cells() if "dbt-temporal" in cell for name in re.findall(r"`([a-z -]+)`", cell)}
    named = {name.removeprefix("dbt-temporal ") for name in in_table}
    assert named
    groups = {name: command for name, command in cli.commands.items() if isinstance(command, click.Group)}
    two_words = {f"{group} {name}" for group, command in groups.items() for name in command.commands}
    assert named - set(cli.commands) - two_words == set()


def test_the_readme_is_read_in_one_sitting() -> None:
    lines = README.splitlines()
    assert len(lines) <= MAX_LINES
    assert [line for line in lines if len(line) > MAX_LINE_CHARS] == []


def test_at_the_top_are_three_pictures_which_are_there() -> None:
    top = README.partition("\n## ")[0]
    pictures = re.findall(r'<img [^>]*src="docs/pictures/([^"]+)"', top)
    assert pictures == ["terminal.png", "timeline.png", "report-light.png"]
    missing = [name for name in pictures if not (ROOT / "docs" / "pictures" / name).is_file()]
    assert missing == [], "make pictures"


def test_every_document_is_in_the_index_once() -> None:
    documents = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} - WRITTEN_LATER
    linked = [link for link in LINKS if re.fullmatch(r"[\w-]+\.md", link) and link not in WRITTEN_LATER]
    assert sorted(linked) == sorted(documents)
    assert [name for name in WRITTEN_LATER if name not in INDEX.text] == []


def test_the_index_has_the_decisions_and_the_schemas() -> None:
    schemas = {f"schemas/{path.name}" for path in (ROOT / "docs" / "schemas").glob("*.json")}
    assert schemas | {"adr/README.md"} <= set(LINKS)


def test_each_document_of_the_index_has_a_sentence() -> None:
    entries = re.findall(r"^\d+\. (.+)$", INDEX.text, re.MULTILINE)
    assert entries
    assert [entry for entry in entries if ": " not in entry or not entry.endswith(".")] == []


def test_contributing_names_what_development_needs() -> None:
    targets = set(re.findall(r"\bmake ([a-z][\w.-]*)", CONTRIBUTING.text))
    assert {"setup", "test", "test-unit", "test-integration", "lint", "fmt"} <= targets
    assert {"pictures", "schemas", "bench", "conformance", "differential", "packages", "soak"} <= targets


def anchors(page: Page) -> set[str]:
    """Those of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/README.md", "docs/running-and-following.md"])
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    page = Page(name)
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.text)
    assert links
    assert page.broken_links() == []
    for path, heading in links:
        target = (page.path.parent / path).resolve().relative_to(ROOT) if path else name
        assert not heading or heading in anchors(Page(str(target))), f"{path}#{heading}"
