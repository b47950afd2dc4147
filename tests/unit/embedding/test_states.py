"""The states of a run as a program reads them, with a fake server."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from dbt_temporal import DbtRunFailedError, DbtRunOutput, DbtRunState, output_of_failure
from dbt_temporal.adapters.temporal.failures import run_failed
from dbt_temporal.application.ports.runs import Ending, Outcome, Snapshot
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.embedding.states import states_of
from dbt_temporal.testing import FakeRun, FakeRunGateway, until

DONE = Outcome(Ending.COMPLETED)
FAILED = DbtRunOutput(invocation_id="i", success=False)


def snapshot(phase: str, *lines: str, **counts: int) -> Snapshot:
    return Snapshot(phase=phase, total_nodes=2, counts=counts, node_status={"model.shop.a": phase}, new_log_lines=lines)


async def test_states_come_one_after_the_other_up_to_the_end() -> None:
    run = FakeRun([snapshot("planning", "a"), None, snapshot("executing", "b", "c", succeeded=1, running=1)], DONE)
    states = [state async for state in states_of(run, FakeRunGateway(run), with_nodes=True, poll_secs=0.0)]
    assert [line for state in states for line in state.new_log_lines] == ["a", "b", "c"]
    assert states[-1] == DbtRunState(
        phase="executing",
        total_nodes=2,
        succeeded=1,
        running=1,
        node_status={"model.shop.a": "executing"},
        new_log_lines=states[-1].new_log_lines,
    )


async def test_a_slow_reader_gets_the_newest_state_and_every_line() -> None:
    run = FakeRun([snapshot("planning", "a"), snapshot("executing", "b"), snapshot("finalizing", "c")], DONE)
    before = asyncio.all_tasks()
    async with aclosing(states_of(run, FakeRunGateway(run), with_nodes=True, poll_secs=0.0)) as states:
        first = await anext(states)
        # Meanwhile the run ends, and the follower with it.
        await until(lambda: asyncio.all_tasks() == before)
        rest = [state async for state in states]
    assert (first.phase, [state.phase for state in rest]) == ("planning", ["finalizing"])
    assert [*first.new_log_lines, *rest[0].new_log_lines] == ["a", "b", "c"]


async def test_who_stops_reading_leaves_the_run_and_no_task_behind() -> None:
    run = FakeRun([snapshot("planning", "a")])
    before = asyncio.all_tasks()
    async with aclosing(states_of(run, FakeRunGateway(run), with_nodes=False, poll_secs=0.0)) as states:
        await anext(states)
    assert asyncio.all_tasks() == before
    assert (run.cancels, run.terminated) == (0, None)


async def test_a_server_that_will_not_tell_ends_the_states_with_its_error() -> None:
    class Forgotten(FakeRun):
        async def outcome(self) -> Outcome:
            raise configuration_error("there is no such run")

    run = Forgotten()
    with pytest.raises(Exception, match="there is no such run"):
        async for _ in states_of(run, FakeRunGateway(run), with_nodes=True, poll_secs=0.0):
            pass


def test_a_failure_s_output_is_found_below_what_it_has_caused() -> None:
    outer, middle = RuntimeError("of the SDK"), RuntimeError("of the child")
    middle.__cause__ = run_failed(FAILED, "1 node failed")
    outer.__cause__ = middle
    assert output_of_failure(outer) == FAILED


def test_a_failure_without_an_output_has_none() -> None:
    outer = RuntimeError("outer")
    outer.__cause__ = ValueError("inner")
    assert output_of_failure(outer) is None


def test_the_error_of_a_run_says_which_one_and_why() -> None:
    error = DbtRunFailedError("run-1", Outcome(Ending.FAILED, FAILED, "DbtRunFailed", "1 node failed: a"))
    assert str(error) == "run-1: 1 node failed: a"
    assert (error.ending, error.error_type, error.output) == (Ending.FAILED, "DbtRunFailed", FAILED)
