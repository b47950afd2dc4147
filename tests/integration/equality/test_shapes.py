"""Projects of every shape leave the artifacts that the dbt command line leaves."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import DrivenRun, drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import manifest_difference, run_cli_commands, run_results_difference
from tests.integration.equality.shapes import SHAPES

pytestmark = pytest.mark.every_dbt_version

COMMANDS = ("build", "run", "compile", "test", "seed", "list")
"""In this order, on one database: the first one builds what the others need."""


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtCoreEngine]:
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path_factory.mktemp("cache"), environ=environ) as opened:
        yield opened


@dataclass(frozen=True)
class Shape:
    """A project of one shape, and where the command line has put its target folders."""

    location: ProjectLocation
    database: Path
    targets: Path


@pytest.fixture(scope="module", params=SHAPES)
def shape(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shape:
    """The command line's part: all commands in one process, one after the other."""
    folder = tmp_path_factory.mktemp(request.param)
    project = folder / "project"
    write_files(project, SHAPES[request.param])
    commands = {command: [command] for command in COMMANDS}
    if (project / "packages.yml").exists():
        commands = {"deps": ["deps"], **commands}
    ours, theirs = (folder / side / "warehouse.duckdb" for side in ("ours", "theirs"))
    for database in (ours, theirs):
        database.parent.mkdir()
    run_cli_commands(commands, project, folder / "targets", {"SHAPE_DB": str(theirs)})
    return Shape(ProjectLocation(project, project), ours, folder / "targets")


async def run_ours(engine: DbtCoreEngine, shape: Shape, command: str) -> DrivenRun:
    return await drive(engine, shape.location, new_invocation(command=command, env={"SHAPE_DB": str(shape.database)}))


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_artifacts_are_those_of_the_command_line(engine: DbtCoreEngine, shape: Shape, command: str) -> None:
    ours = await run_ours(engine, shape, command)

    theirs = shape.targets / command
    assert manifest_difference(ours.artifacts["manifest.json"], theirs / "manifest.json") == []
    assert ("run_results.json" in ours.artifacts) == (theirs / "run_results.json").exists()
    if "run_results.json" in ours.artifacts:
        assert run_results_difference(ours.artifacts["run_results.json"], theirs / "run_results.json") == []
