"""A store that stands still, refuses, or is cut amid a write: artifacts are whole, or the run says what they lack."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from tests.faults.phases.held import END, IN_DATABASE, NODE, START, STORE, HeldRuns, runs
from tests.integration.engine_driver import write_files
from tests.integration.fixtures_buckets import s3_endpoint
from tests.integration.servers import wait_for

__all__ = ["runs", "s3_endpoint"]

PUT = b"PUT /"
AT_ONCE = {"AWS_MAX_ATTEMPTS": "1"}
"""Has Amazon's library say at once what is wrong; else it tries again for many seconds itself."""


async def test_nodes_do_not_wait_for_a_store_that_stands_still_and_all_is_stored_when_it_goes_on(
    runs: HeldRuns,
) -> None:
    await runs.worker()
    run = await runs.begin()
    await run.let_go(STORE)
    await run.reaches(NODE)
    runs.door.keep_back(PUT)
    await run.let_go(NODE)
    await run.reaches(END)
    assert PUT in runs.door.held
    await runs.door.let_through(PUT)
    await run.let_go(END)
    outcome = await run.run.outcome()
    assert outcome.output is not None, outcome.message
    assert outcome.output.success
    assert set((await run.statuses()).values()) == {"success"}
    assert run.rows() == dict.fromkeys(IN_DATABASE, 1)


async def test_nodes_do_not_wait_for_a_store_that_answers_503_for_a_while_and_all_is_stored_then(
    runs: HeldRuns,
) -> None:
    await runs.worker(**AT_ONCE)
    run = await runs.begin()
    await run.let_go(STORE)
    await run.reaches(NODE)
    runs.door.refuses = True
    await run.let_go(NODE)
    await run.reaches(END)

    async def has_asked(since: int = 0) -> bool:
        return runs.door.refused > since

    await wait_for(has_asked, what="the node's record is written")
    await run.let_go(END)
    await run.has_left(END)
    await wait_for(partial(has_asked, runs.door.refused), what="the store is asked at the run's end")
    runs.door.refuses = False
    outcome = await run.run.outcome()
    assert outcome.output is not None, outcome.message
    assert outcome.output.success
    assert set((await run.statuses()).values()) == {"success"}
    assert run.rows() == dict.fromkeys(IN_DATABASE, 1)


@pytest.mark.parametrize("away", ["stands still", "refuses", "answers 503"])
async def test_a_run_whose_store_stays_away_fails_and_says_so_and_its_rows_are_there(
    runs: HeldRuns, tmp_path: Path, away: str
) -> None:
    write_files(tmp_path / "pg", {"dbt_temporal.yml": "timeouts: {store_artifacts_secs: 2}\n"})
    await runs.worker(**AT_ONCE)
    run = await runs.begin()
    await run.reaches(END)
    if away == "refuses":
        await runs.door.shut()
    runs.door.refuses = away == "answers 503"
    await run.let_go(END)  # the run log is kept back by the door anyway
    outcome = await run.run.outcome()
    assert outcome.output is not None, outcome.message
    assert not outcome.output.success
    assert "storing artifacts" in (outcome.message or "").lower()
    assert {each.status for each in outcome.output.node_results} == {"success"}
    assert run.rows() == dict.fromkeys(IN_DATABASE, 1)
    with pytest.raises(runs.missing):
        await asyncio.to_thread(runs.artifacts, run.id)


async def test_a_write_that_is_cut_is_made_again_and_leaves_nothing_half(runs: HeldRuns) -> None:
    await runs.worker()
    run = await runs.begin()
    await run.reaches(STORE)
    runs.door.cut()
    await run.let_go(STORE)
    outcome = await run.run.outcome()
    assert outcome.output is not None, outcome.message
    assert outcome.output.success
    assert set((await run.statuses()).values()) == {"success"}
    assert run.rows() == {START: 1, NODE: 1, END: 1}
