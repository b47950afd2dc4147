"""Projects of every shape leave the artifacts that the dbt command line leaves."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import CompletedNode, ProjectLocation
from dbt_temporal.domain.run.invocation import DbtInvocation
from tests.integration.engine_driver import drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import (
    manifest_difference,
    run_cli,
    run_results_difference,
    sql_difference,
    unpacked_sql,
)
from tests.integration.equality.shapes import SHAPES

pytestmark = pytest.mark.every_dbt_version

COMMANDS = ("build", "run", "compile", "list")
"""In this order, on one database: the first one builds what the others need."""


@pytest.fixture(scope="module")
async def engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[DbtCoreEngine, DbtCoreEngine]]:
    """Those of two workers."""
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    caches = [tmp_path_factory.mktemp("cache") for _ in range(2)]
    async with open_engine(caches[0], environ=environ) as one, open_engine(caches[1], environ=environ) as other:
        yield one, other


@dataclass(frozen=True)
class Shape:
    """A project of one shape, and where the command line has put its target folders."""

    location: ProjectLocation
    database: Path
    targets: Path


@pytest.fixture(scope="module", params=SHAPES)
def shape(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shape:
    """The command line's part: all commands, one after the other."""
    folder = tmp_path_factory.mktemp(request.param)
    project = folder / "project"
    write_files(project, SHAPES[request.param])
    targets = folder / "targets"
    ours, theirs = (folder / side / "warehouse.duckdb" for side in ("ours", "theirs"))
    for database in (ours, theirs):
        database.parent.mkdir()
    if (project / "packages.yml").exists():
        run_cli(["deps"], project, None, {}).check_returncode()
    for command in COMMANDS:
        ended = run_cli([command], project, targets / command, {"SHAPE_DB": str(theirs)})
        assert ended.returncode in (0, 1), ended.stdout
    return Shape(ProjectLocation(project, project), ours, targets)


def invocation_of(shape: Shape, command: str) -> DbtInvocation:
    return new_invocation(command=command, env={"SHAPE_DB": str(shape.database)})


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_artifacts_are_those_of_the_command_line(
    engines: tuple[DbtCoreEngine, DbtCoreEngine], shape: Shape, command: str
) -> None:
    ours = await drive(engines[0], shape.location, invocation_of(shape, command), with_sql=True)

    theirs = shape.targets / command
    assert manifest_difference(ours.artifacts["manifest.json"], theirs / "manifest.json") == []
    assert ("run_results.json" in ours.artifacts) == (theirs / "run_results.json").exists()
    if "run_results.json" in ours.artifacts:
        assert run_results_difference(ours.artifacts["run_results.json"], theirs / "run_results.json") == []
    assert sql_difference(unpacked_sql(ours.artifacts.get("sql.zip")), theirs) == []


async def test_another_worker_makes_the_same_artifacts_of_the_records(
    engines: tuple[DbtCoreEngine, DbtCoreEngine], shape: Shape
) -> None:
    one, other = engines
    invocation = invocation_of(shape, "build")
    ours = await drive(one, shape.location, invocation, with_sql=True)
    completed = [CompletedNode(outcome.result, outcome.record) for outcome in ours.outcomes.values()]
    completed += [CompletedNode(each) for each in ours.output.node_results if each.unique_id not in ours.outcomes]
    files = await (await other.open(shape.location, invocation)).artifacts(completed, 1.0, with_sql=True)

    assert manifest_difference(files["manifest.json"].read_bytes(), shape.targets / "build" / "manifest.json") == []
    sql = {name: file.read_text() for name, file in files.items() if name.startswith(("compiled/", "run/"))}
    assert sql == unpacked_sql(ours.artifacts.get("sql.zip"))
    await other.end_run(invocation.invocation_id)
