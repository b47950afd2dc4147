"""Figures that are about something else than many views."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.figures.floor import WAYS
from benchmarks.sides.databases import DuckDBFile
from benchmarks.sides.projects import Project, views
from tests.integration.benchmarks.small_figures import measured
from tests.integration.v2.installed import needs_dbt_v2


def small_project(folder: Path) -> dict[str, str]:
    project = Project(folder / "small", DuckDBFile(Path("{{ env_var('SMALL_DB') }}")))
    project.write(views(2), threads=2)
    return {"project_dir": str(project.folder), "database_variable": "SMALL_DB"}


async def test_a_small_project_is_built_in_three_ways(tmp_path: Path) -> None:
    found = (await measured("jaffle_shop", tmp_path, **small_project(tmp_path))).measured
    assert len(found.workflow) == len(found.command) == len(found.cli) == 1
    assert found.workflow[0].nodes == found.cli[0].nodes == 2


@pytest.mark.on_request
async def test_a_worker_is_started_again_on_unchanged_files(tmp_path: Path) -> None:
    found = (await measured("ready", tmp_path)).measured
    assert len(found.again) == len(found.parse) == len(found.partial) == 1


@pytest.mark.on_request
async def test_a_node_costs_an_action_and_heartbeats_are_counted(tmp_path: Path) -> None:
    found = (await measured("actions", tmp_path)).measured
    assert found.more - found.fewer == 1
    assert found.told.heartbeats >= 1
    assert found.elsewhere.heartbeats >= 1


async def test_runs_go_on_at_once_and_one_after_another(tmp_path: Path) -> None:
    result = await measured("at_once", tmp_path)
    assert result.rows[0].ratio == result.measured.in_turn / result.measured.at_once


@pytest.mark.on_request
async def test_activities_that_do_nothing_take_some_of_both_processes(tmp_path: Path) -> None:
    found = (await measured("floor", tmp_path)).measured
    assert set(found.by_way) == set(WAYS)
    for used in found.by_way.values():
        assert len(used.worker) == len(used.temporal) == len(used.wall) == 1
        assert used.wall[0] > 0


@pytest.mark.on_request
async def test_a_chain_beside_a_level_is_run_by_both_orders_and_by_dbt(tmp_path: Path) -> None:
    found = (await measured("chain", tmp_path)).measured
    walls = [*found.by_scheduling.values(), found.cli]
    assert set(found.by_scheduling) == {"dbt", "critical_path"}
    # Two tables that sleep for a tenth of a second each.
    assert all(0.2 <= each.path <= each.wall for each in walls)


@needs_dbt_v2
@pytest.mark.on_request
async def test_runs_on_dbt_v2_are_measured_beside_both_command_lines(tmp_path: Path) -> None:
    found = (await measured("engine_v2", tmp_path, **small_project(tmp_path))).measured
    for ways in (found.example, found.one_model, found.first["duckdb"], found.second["duckdb"]):
        assert len(ways.workflow) == len(ways.v2) == len(ways.core) == 1
        assert ways.workflow[0].nodes == ways.v2[0].nodes == ways.core[0].nodes > 0
    assert len(found.first_node) == len(found.ready) == 1
