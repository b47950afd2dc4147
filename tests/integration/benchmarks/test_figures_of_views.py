"""Figures whose projects are views."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.benchmarks.small_figures import measured


async def test_one_selected_model_is_run_by_both_sides(tmp_path: Path) -> None:
    found = (await measured("one_model", tmp_path)).measured
    assert [run.nodes for run in (*found.workflow, *found.cli)] == [1, 1]


@pytest.mark.on_request
async def test_views_are_built_on_an_empty_database_and_again_with_the_cost_of_each_process(tmp_path: Path) -> None:
    result = await measured("views", tmp_path)
    runs = result.measured.by_database["postgres"]
    for pair in (runs.first, runs.second):
        (ours,), (cli,) = pair.workflow, pair.cli
        assert ours.nodes == cli.nodes == result.sizes.nodes
        assert None not in (ours.worker_cpu, ours.engine_cpu, ours.temporal_cpu, ours.postgres_cpu, cli.cli_cpu)
        assert ours.events > ours.nodes
        assert ours.actions > ours.nodes
        assert 0 < ours.fixed < ours.wall
        assert min(ours.worker_memory, ours.engine_memory, cli.cli_memory) > 0
    assert (tmp_path / "page-shares.svg").exists()


@pytest.mark.on_request
async def test_views_are_run_with_a_number_of_hosts(tmp_path: Path) -> None:
    (found,) = (await measured("hosts", tmp_path)).measured.by_hosts
    assert (found.hosts, found.workflow[0].nodes) == (2, 4)
    assert (tmp_path / "page-hosts.svg").exists()


@pytest.mark.on_request
async def test_a_large_run_says_what_its_history_and_memory_were(tmp_path: Path) -> None:
    (found,) = (await measured("large", tmp_path)).measured.by_size
    assert found.failure == ""
    assert (found.workflow.nodes, found.workflow.executions) == (4, 1)
    assert found.workflow.most_events == found.workflow.events
    assert found.workflow.largest_payload > 0
    assert (tmp_path / "page-nodes.svg").exists()
