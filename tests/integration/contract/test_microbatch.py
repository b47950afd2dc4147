"""Each batch of a microbatch model is an activity: its own attempts, its own end; and the model's result is dbt's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import NodeExecutionResult
from tests.integration.engine_driver import write_files
from tests.integration.run_harness import DbtHarness, history, scheduled

DAYS = [f"2026-01-0{day}" for day in range(1, 7)]
WINDOW = {"event_time_start": "2026-01-01", "event_time_end": "2026-01-07"}
PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "profiles.yml": """\
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('BATCHES_DB', ':memory:') }}", schema: main, threads: 3}
""",
    "models/events.sql": """\
{{ config(materialized='table', event_time='happened') }}
select i as id, timestamp '2026-01-01' + to_days(i::integer) as happened from range(6) as days(i)""",
    "models/daily.sql": """\
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened', batch_size='day',
          begin='2026-01-01') }}
{% set broken = execute and model.batch and model.batch.id == var('broken', 'none') %}
{% if execute and model.batch %}{{ log('told by batch ' ~ model.batch.id, info=True) }}{% endif %}
select id, happened {{ ', no_such_column' if broken }} from {{ ref('events') }}""",
}
DAILY = "model.shop.daily"


@pytest.fixture
async def batch_runs(dbt_workers: Callable[[], DbtHarness], tmp_path: Path) -> DbtHarness:
    """A worker of the test's own, with the project."""
    write_files(tmp_path / "shop", PROJECT)
    runs = dbt_workers()
    await runs.load(ProjectLocation(tmp_path / "shop", tmp_path / "shop"))
    return runs


async def build(runs: DbtHarness, folder: Path, **run_input: Any) -> tuple[Outcome, list[str], list[str]]:
    """A run, the activities of the model, and their summaries."""
    env = {"BATCHES_DB": str(folder / "shop.duckdb")}
    run = await runs.submit({"command": "run", "env": env, **run_input})
    outcome = await run.outcome()
    events = await history(run.handle)
    summaries = [
        json.loads(event.user_metadata.summary.data)
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes") and event.user_metadata.summary.data
    ]
    return outcome, scheduled(events), [each for each in summaries if each.startswith("model:daily")]


def result_of(outcome: Outcome) -> NodeExecutionResult:
    assert outcome.output is not None
    return next(result for result in outcome.output.node_results if result.unique_id == DAILY)


async def test_each_batch_is_an_activity_of_its_own_and_the_model_has_the_results(
    batch_runs: DbtHarness, tmp_path: Path
) -> None:
    outcome, types, summaries = await build(batch_runs, tmp_path, **WINDOW)
    assert outcome.ending is Ending.COMPLETED
    assert types.count("model:daily") == 8
    assert summaries[0] == "model:daily: begin of its batches"
    assert sorted(summaries[1:-1]) == [f"model:daily: batch {n + 1} of 6, {day}" for n, day in enumerate(DAYS)]
    assert summaries[-1] == "model:daily: end of its batches"
    result = result_of(outcome)
    assert result.batch_results is not None
    assert [str(start)[:10] for start, _ in result.batch_results.successful] == DAYS
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        assert connection.sql("select count(*) from main.daily").fetchall() == [(6,)]


async def test_a_failed_batch_says_why_and_a_later_run_does_it_alone(batch_runs: DbtHarness, tmp_path: Path) -> None:
    failed, _, _ = await build(batch_runs, tmp_path, vars={"broken": "20260104"}, **WINDOW)
    assert failed.ending is Ending.FAILED
    result = result_of(failed)
    assert result.dbt_status == "partial success"
    assert (result.message or "").splitlines()[0] == "PARTIAL SUCCESS (5/6)"
    assert "batch 2026-01-04: " in (result.message or "")
    assert "no_such_column" in (result.message or "")
    assert failed.output is not None
    stored = json.loads(batch_runs.artifact(failed.output, "run_results.json").read_text())
    (entry,) = [each for each in stored["results"] if each["unique_id"] == DAILY]
    assert (entry["status"], entry["message"]) == ("partial success", "PARTIAL SUCCESS (5/6)")
    assert batch_runs.artifact(failed.output, f"logs/{DAILY}.2026-01-04.log").exists()
    log = batch_runs.artifact(failed.output, "log.txt").read_text().splitlines()
    said = {line.strip(): log[number - 1] for number, line in enumerate(log) if "told by batch" in line}
    assert sorted(said) == [f"told by batch {day.replace('-', '')}" for day in DAYS]
    assert all(f"main.daily: {day}" in said[f"told by batch {day.replace('-', '')}"] for day in DAYS)

    results = str(batch_runs.artifact(failed.output, "run_results.json"))
    mended, types, summaries = await build(batch_runs, tmp_path, retry_from=results, vars={"broken": "mended"})
    assert mended.ending is Ending.COMPLETED
    assert types.count("model:daily") == 3
    assert summaries[1] == "model:daily: batch 1 of 1, 2026-01-04"
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        assert connection.sql("select count(*) from main.daily").fetchall() == [(6,)]


async def test_where_the_first_batch_fails_no_other_is_begun(batch_runs: DbtHarness, tmp_path: Path) -> None:
    failed, types, _ = await build(batch_runs, tmp_path, vars={"broken": "20260101"}, **WINDOW)
    assert failed.ending is Ending.FAILED
    assert types.count("model:daily") == 3
    result = result_of(failed)
    assert result.dbt_status == "error"
    assert result.batch_results is not None
    assert len(result.batch_results.failed) == 6
