"""docs/deployment.md, operations.md, observability.md and architecture.md name what there is."""

from __future__ import annotations

import re

import pytest

from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.entrypoints.cli.main import cli
from tests.dockerfile import ROOT, assignments, stages
from tests.unit.repository.test_deployment_files import variables_of_settings

PAGES = ("deployment", "operations", "observability", "architecture")
TEXTS = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in PAGES}
ALL = "\n".join(TEXTS.values())
OURS = ("TEMPORAL_", "WORKER_", "DBT_PROJECT", "DBT_TEMPORAL_", "DBT_DEPS", "HEALTH_", "WRITE_", "ARTIFACT_")
OF_RUN_SETTINGS = {"DBT_TEMPORAL_CACHE_DIR"}


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXTS[name]):
        path, _, heading = link.partition("#")
        target = (ROOT / "docs" / path) if path else ROOT / "docs" / f"{name}.md"
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert heading in {found.lower().replace(" ", "-") for found in headings}, link


def test_every_variable_is_one_that_is_read() -> None:
    named = {name for name in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", ALL) if name.startswith(OURS)}
    assert named - variables_of_settings() - OF_RUN_SETTINGS == set()


def test_every_command_exists() -> None:
    named = set(re.findall(r"^ *(?:\S+/bin/)?dbt-temporal ([a-z][a-z-]*)", ALL, re.MULTILINE))
    named |= set(re.findall(r"`dbt-temporal ([a-z][a-z-]*)", ALL))
    assert named
    assert named - set(cli.commands) == set()


def test_every_error_type_of_the_alerts_is_one_that_runs_fail_with() -> None:
    alerts = TEXTS["operations"].partition("## What an alert means")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in alerts.splitlines() if line.startswith("| ") and "fail" in line]
    named = {name for cell in cells for name in re.findall(r"`([A-Z][A-Za-z]+)`", cell)}
    assert named
    assert named <= {error_type.value for error_type in ErrorType}


def test_the_build_arguments_are_the_dockerfile_s() -> None:
    table = TEXTS["deployment"].partition("| build argument |")[2].partition("\n\n")[0]
    named = set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    arguments = set().union(*(assignments(stage, "ARG") for stage in stages()))
    assert named == arguments - {"PREFIX"}


def test_every_module_of_the_architecture_s_table_exists() -> None:
    rows = re.findall(r"^\| `([a-z_/]+(?:\.py)?)` \|", TEXTS["architecture"], re.MULTILINE)
    assert rows
    assert [row for row in rows if not (ROOT / "src" / "dbt_temporal" / row).exists()] == []
