"""A model that appends a row per execution appends one, whatever becomes of the worker that ran it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from dbt_temporal.application.ports.runs import Ending
from tests.integration.engine_driver import write_files
from tests.integration.worker.test_shutdown import SOON_LOST, Site

APPENDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select now() as at from pg_sleep({{ env_var('SLEEP_SECS', '600') }})"
)


def rows(site: Site) -> int:
    """How often the model was written."""
    return site.count("select count(*) from main.sleeps")


def is_there(site: Site) -> bool:
    return site.count("select count(*) from pg_tables where tablename = 'sleeps'") == 1


@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL], ids=["goes on later", "is killed"])
async def test_a_node_that_commits_while_its_worker_stands_still_is_not_run_again(
    site: Site, tmp_path: Path, then: signal.Signals
) -> None:
    cache = {"DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache")}
    first = await site.worker(SLEEP_SECS="2", **cache)
    run = await site.run()
    first.process.send_signal(signal.SIGSTOP)
    await site.eventually(lambda: is_there(site), "the node has committed")
    await site.worker(SLEEP_SECS="0", **cache)
    if then is signal.SIGKILL:
        first.process.send_signal(then)
    outcome = await asyncio.wait_for(run.outcome(), 120)
    assert outcome.ending is Ending.COMPLETED
    assert rows(site) == 1
    first.process.send_signal(then)


async def test_a_node_is_ended_before_its_worker_that_stands_still_is_given_up(site: Site, tmp_path: Path) -> None:
    # The second worker has a cache folder of its own, and so knows nothing of how the first attempt ended.
    runs_again = SOON_LOST.replace("retry: {", "retry: {on_lost_attempt: retry, ")
    write_files(tmp_path / "pg", {"dbt_temporal.yml": runs_again})
    first = await site.worker(SLEEP_SECS="8")
    run = await site.run()
    first.process.send_signal(signal.SIGSTOP)
    await site.worker(SLEEP_SECS="0")
    outcome = await asyncio.wait_for(run.outcome(), 120)
    assert outcome.ending is Ending.COMPLETED
    first.process.send_signal(signal.SIGCONT)
    await site.eventually(lambda: "is silent for" in first.output, "the host of the first worker has ended itself")
    assert rows(site) == 1
