"""A run that is ended from outside, in whichever phase: what was done is stored, and nothing runs any more."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import timedelta

import pytest
from temporalio.client import WorkflowFailureError

from tests.faults.phases.held import (
    END,
    IN_DATABASE,
    NODE,
    PHASES,
    PLAN,
    START,
    STORE,
    HeldRun,
    HeldRuns,
    runs,
    standing_still,
)
from tests.integration.fixtures_buckets import s3_endpoint
from tests.integration.programs import Program

__all__ = ["runs", "s3_endpoint"]

TIMEOUT = timedelta(seconds=8)
"""By then a run has reached any of its phases, if the machine has time."""
ADDS, FIRST, LAST = "model.pg.adds", "operation.pg.pg-on-run-start-0", "operation.pg.pg-on-run-end-0"


async def ended(run: HeldRun) -> None:
    with pytest.raises(WorkflowFailureError):
        await run.handle.result()


async def looked_at(run: HeldRun, phase: str) -> None:
    """What the run that was ended in a phase has left is what it says."""
    for each in IN_DATABASE:
        await run.has_left(each)
    rows = run.rows()
    passed = PHASES[: PHASES.index(phase)]
    assert rows == {each: int(each in passed) for each in IN_DATABASE}, phase
    if phase == PLAN:
        return
    statuses = await run.statuses()
    assert (statuses.get(ADDS) == "success") == bool(rows[NODE]), phase
    for each, hook in ((START, FIRST), (END, LAST)):
        assert (statuses.get(hook) == "success") == bool(rows[each]), phase


async def in_phase(runs: HeldRuns, worker: Program, phase: str, ending: str) -> None:
    with standing_still(worker) if phase == PLAN else nullcontext():
        run = await runs.begin()
        await run.reaches(phase)
        await (run.run.cancel() if ending == "cancelled" else run.run.terminate("test"))
        if ending == "terminated":
            await ended(run)
    await run.let_go(STORE)
    await ended(run)
    await looked_at(run, phase)


@pytest.mark.parametrize("ending", ["cancelled", "terminated"])
async def test_a_run_that_is_ended_in_any_phase_has_left_what_its_artifacts_say(runs: HeldRuns, ending: str) -> None:
    worker = await runs.worker()
    for phase in PHASES:
        await in_phase(runs, worker, phase, ending)


async def out_of_time_in(runs: HeldRuns, phase: str) -> None:
    """A run that is in the phase when its time is over; it has more time where it was not there by then."""
    timeout = TIMEOUT
    while True:
        run = await runs.begin(timeout)
        there, over = asyncio.ensure_future(run.reaches(phase)), asyncio.ensure_future(ended(run))
        await asyncio.wait([there, over], return_when=asyncio.FIRST_COMPLETED)
        if there.done():
            there.result()
            break
        there.cancel()
        await run.let_go(STORE)
        timeout *= 2
    await over
    await run.let_go(STORE)
    await looked_at(run, phase)


async def test_a_run_that_runs_out_of_time_in_any_phase_has_left_what_its_artifacts_say(runs: HeldRuns) -> None:
    worker = await runs.worker()
    with standing_still(worker):
        run = await runs.begin(timedelta(seconds=2))
        await run.reaches(PLAN)
        await ended(run)
    await looked_at(run, PLAN)
    await asyncio.gather(*(out_of_time_in(runs, phase) for phase in PHASES if phase != PLAN))
