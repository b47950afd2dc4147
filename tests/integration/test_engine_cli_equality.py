"""What the engine reports is what the dbt command line of the same version reports."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.compare import manifest_difference, run_cli, run_results_difference, sources_difference
from tests.integration.engine_driver import DrivenRun, copy_project, drive, new_invocation, open_engine

pytestmark = pytest.mark.every_dbt_version

PROJECTS = {
    "jaffle-shop": ("examples/jaffle-shop", "JAFFLE_SHOP_DB"),
    "with_failures": ("tests/projects/with_failures", "WITH_FAILURES_DB"),
}


async def run_both(
    source: str, variable: str, tmp_path: Path, command: str = "build", arguments: tuple[str, ...] = (), **run_input: object
) -> tuple[DrivenRun, Path]:
    """Runs the engine and then the command line on a fresh database each; returns our run and their target folder."""
    location = copy_project(source, tmp_path / "project")
    for side in ("ours", "theirs"):
        (tmp_path / side).mkdir()
    env = {variable: str(tmp_path / "ours" / "warehouse.duckdb")}
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path / "cache", environ=environ) as engine:
        run = await drive(engine, location, new_invocation(command=command, env=env, **run_input))
    target = tmp_path / "theirs" / "target"
    env = {variable: str(tmp_path / "theirs" / "warehouse.duckdb")}
    words = {"source-freshness": ["source", "freshness"]}.get(command, [command])
    run_cli([*words, *arguments], location.project_dir, target, env)
    return run, target


@pytest.mark.parametrize("name", PROJECTS)
async def test_a_build_gives_the_artifacts_of_the_command_line(name: str, tmp_path: Path) -> None:
    run, target = await run_both(*PROJECTS[name], tmp_path)

    assert run_results_difference(run.artifacts["run_results.json"], target / "run_results.json") == []
    assert manifest_difference(run.artifacts["manifest.json"], target / "manifest.json") == []
