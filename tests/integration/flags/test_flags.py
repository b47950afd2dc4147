"""All flags of dbt: the table has each of them, the users' table says the same, and they are resolved as by dbt."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dbt.cli.main import cli
from dbt.contracts.project import ProjectFlags

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput
from tests.integration.engine_driver import drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import difference, read_json, run_cli
from tests.integration.flags.flag_table import FLAGS, INPUT, MEANING, Flag

pytestmark = pytest.mark.every_dbt_version

DOCUMENT = Path(__file__).parents[3] / "docs" / "flags.md"
OURS = {facts.which for facts in COMMANDS.values()}
VERSION = tuple(map(int, version("dbt-core").split(".")[:2]))


def commands(group: click.Group) -> Iterator[click.Command]:
    """Those that a run may be, and the groups above them."""
    yield group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command)
        elif name in OURS:
            yield command


def variables_of_flags() -> dict[str, list[str]]:
    """Each flag of dbt's command line, and of `flags:`, with its variables."""
    flags: dict[str, list[str]] = {name: [] for name in ProjectFlags.__dataclass_fields__ if not name.startswith("_")}
    for command in commands(cli):
        for param in command.params:
            names = [param.envvar] if isinstance(param.envvar, str) else list(param.envvar or [])
            flags.setdefault(str(param.name), names)
            flags[str(param.name)] = names
    # Older names of other flags, which have no option.
    return {name: names for name, names in flags.items() if not name.startswith("deprecated_")}


def of_this_version() -> dict[str, Flag]:
    return {name: flag for name, flag in FLAGS.items() if tuple(map(int, flag.since.split("."))) <= VERSION}


def test_the_table_has_each_flag_of_dbt_and_no_other() -> None:
    assert variables_of_flags().keys() - FLAGS.keys() == set(), "new flags of dbt: say in flag_table.py what they do"
    assert of_this_version().keys() - variables_of_flags().keys() == set(), "dbt has these no more"


def test_each_field_of_the_input_that_is_a_flag_is_there() -> None:
    assert set(INPUT.values()) <= DbtRunInput.model_fields.keys()
    assert set(INPUT) <= FLAGS.keys()


def test_flags_without_a_way_are_those_that_dbt_reads_from_its_command_line_alone() -> None:
    in_projects = ProjectFlags.__dataclass_fields__.keys()
    without_way = {
        name
        for name, variables in variables_of_flags().items()
        if not variables and name not in in_projects and name not in INPUT
    }
    unset = {name for name, flag in of_this_version().items() if flag.group == "unset"}
    assert without_way - {"version"} == unset


def documented() -> str:
    """The users' table of flags, as docs/flags.md has it."""
    lines = ["| flag | in a run | |", "| --- | --- | --- |"]
    for name, flag in sorted(FLAGS.items()):
        since = f"dbt-core {flag.since} and later" if flag.since != "1.11" else ""
        lines.append(f"| `{name}` | {flag.group} | {'; '.join(part for part in (since, flag.note) if part)} |")
    meanings = [f"- **{group}**: {meaning}" for group, meaning in MEANING.items()]
    return "\n".join([*meanings, "", *lines])


def test_the_documents_table_is_this_one() -> None:
    assert documented() in DOCUMENT.read_text(encoding="utf-8")


FILES = {
    "models/one.sql": "select 1 as n",
    "models/two.sql": "select 1 as n",
}
PROFILE: dict[str, Any] = {
    "target": "dev",
    "outputs": {"dev": {"type": "duckdb", "path": "{{ env_var('FLAGS_DB') }}", "schema": "main", "threads": 1}},
}
APART = {
    *("defer", "defer_state", "favor_state", "state"),  # need a manifest
    "single_threaded",  # dbt-core fails with it where it creates schemas
    "warn_error",  # not beside warn_error_options
    "write_json",  # without it there is nothing to compare
}
"""What test_flag_effects.py shows alone."""


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtCoreEngine]:
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path_factory.mktemp("cache"), environ=environ) as opened:
        yield opened


def values(names: Mapping[str, object]) -> dict[str, Any]:
    """The values of the table, of these flags, as YAML reads them."""
    texts = {name: flag.value for name, flag in of_this_version().items() if flag.value and name in names}
    return {name: yaml.safe_load(text) for name, text in texts.items() if name not in APART}


def project(folder: Path, flags: Mapping[str, Any], config: Mapping[str, Any]) -> Path:
    header = {"name": "project", "version": "1.0", "profile": "project", **({"flags": flags} if flags else {})}
    profiles = {"project": PROFILE, **({"config": config} if config else {})}
    files = {"dbt_project.yml": yaml.safe_dump(header), "profiles.yml": yaml.safe_dump(profiles), **FILES}
    write_files(folder / "project", files)
    return folder / "project"


def env_of(prefix: str) -> dict[str, str]:
    """All flags that have a variable, by one of the two kinds of names."""
    named = {}
    for name, variables in variables_of_flags().items():
        value = of_this_version()[name].value
        variable = next((each for each in variables if each.startswith(prefix)), None)
        if value and variable and name not in APART:
            named[variable] = value
    return named


@pytest.mark.parametrize("way", ["DBT_ENGINE_", "DBT_", "worker", "flags", "config"])
async def test_flags_are_resolved_as_by_the_command_line(engine: DbtCoreEngine, tmp_path: Path, way: str) -> None:
    in_project = values(ProjectFlags.__dataclass_fields__) if way in ("flags", "config") else {}
    env = env_of(way if way.startswith("DBT") else "DBT_ENGINE_") if not in_project else {}
    folder = project(tmp_path, in_project if way == "flags" else {}, in_project if way == "config" else {})
    databases = {side: {"FLAGS_DB": str(tmp_path / f"{side}.duckdb")} for side in ("ours", "theirs")}
    location = ProjectLocation(folder, folder)
    if way == "worker":
        environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **env}
        async with open_engine(tmp_path / "cache", environ=environ) as opened:
            ours = await drive(opened, location, new_invocation(command="run", select="one", env=databases["ours"]))
    else:
        run_env = env | databases["ours"]
        ours = await drive(engine, location, new_invocation(command="run", select="one", env=run_env))
    run_cli(["run", "--select", "one"], folder, tmp_path / "target", env | databases["theirs"])
    write_files(tmp_path, {"ours.json": ours.artifacts["run_results.json"].decode()})
    assert difference(arguments(tmp_path / "ours.json"), arguments(tmp_path / "target" / "run_results.json")) == []


def arguments(file: Path) -> dict[str, Any]:
    """`args` of run results, but for those that this test gives the command line for itself."""
    places = {"target_path", "log_path", "invocation_command"}
    return {name: value for name, value in read_json(file)["args"].items() if name not in places}
