"""Two runs that would write one relation do so one after the other, whatever becomes of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.runs import Ending
from tests.integration.engine_driver import write_files
from tests.integration.servers import wait_for
from tests.integration.worker.test_shutdown import SLEEPERS, SOON_LOST, Site

APPENDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select '{{ invocation_id }}' as run from pg_sleep({{ env_var('SLEEP_SECS') }})"
)
ROWS = "select count(*), count(distinct run) from main.sleeps"


@pytest.fixture
async def start(site: Site, tmp_path: Path) -> Callable[[str], Awaitable[TemporalRun]]:
    """Starts a run of a model, which adds one row."""
    config = SOON_LOST.replace("retry: {", "concurrency: relation\nretry: {on_lost_attempt: retry, ")
    write_files(tmp_path / "pg", {"models/other.sql": APPENDS, "dbt_temporal.yml": config})
    numbers = iter(range(10))

    async def started(model: str) -> TemporalRun:
        return await site.gateway.submit({"command": "run", "select": model}, f"{site.task_queue}-{next(numbers)}")

    return started


async def waits(run: TemporalRun) -> None:
    """Returns when a run waits for its lease."""

    async def so_it_says() -> bool:
        return any("The run waits" in line for line in await run.handle.query("run_log"))

    await wait_for(so_it_says, what="the run waits")


async def end_well(*runs: TemporalRun) -> None:
    for run in runs:
        outcome = await asyncio.wait_for(run.outcome(), 100)
        assert (outcome.ending, outcome.message) == (Ending.COMPLETED, None)


async def test_two_runs_of_one_model_write_one_after_the_other(
    site: Site, start: Callable[[str], Awaitable[TemporalRun]]
) -> None:
    await site.worker(SLEEP_SECS="8")
    first = await start("sleeps")
    await site.eventually(lambda: site.count(SLEEPERS) == 1, "the first run writes")
    second = await start("sleeps")
    beside = await start("other")
    await site.eventually(lambda: site.count(SLEEPERS) == 2, "a run of another model writes beside it")
    await end_well(first, second, beside)
    assert any("The run waits" in line for line in await second.handle.query("run_log"))
    assert site.database.query(ROWS) == [(2, 2)]


async def test_a_worker_that_is_killed_while_one_waits_loses_neither(
    site: Site, start: Callable[[str], Awaitable[TemporalRun]]
) -> None:
    worker = await site.worker(SLEEP_SECS="600")
    first = await start("sleeps")
    await site.eventually(lambda: site.count(SLEEPERS) == 1, "the first run writes")
    second = await start("sleeps")
    await waits(second)
    worker.process.kill()
    await site.eventually(lambda: site.count(SLEEPERS) == 0, "its processes have ended with it")
    await site.worker(SLEEP_SECS="0")
    await end_well(first, second)
    assert site.database.query(ROWS) == [(2, 2)]
