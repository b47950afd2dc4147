"""The README says what is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
from pydantic import BaseModel

from dbt_temporal.adapters.environment import EnvironmentModel, variable_names
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.settings import ArtifactSettings, HealthSettings, ProjectSettings, RunSettings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
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


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
