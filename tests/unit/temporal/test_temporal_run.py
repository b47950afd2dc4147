"""A submitted run: what is told of it fits together, and its server goes away for a while, or for good."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.exceptions import CancelledError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.log.run_log import RunLog

OUTPUT = {"invocation_id": "i", "success": True, "node_results": [], "elapsed_time": 1.0}
AWAY = RPCError("tcp connect error", RPCStatusCode.UNAVAILABLE, b"")
FORGOTTEN = RPCError("workflow not found", RPCStatusCode.NOT_FOUND, b"")
REFUSED = RPCError("Request unauthorized.", RPCStatusCode.UNAUTHENTICATED, b"")


class ScriptedHandle:
    """A workflow handle that answers each request with the next answer; it raises those that are errors."""

    id = "run-1"

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    async def result(self) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cancel = result

    async def query(self, name: str, *, rpc_timeout: Any) -> Any:
        assert (name, bool(rpc_timeout)) == ("cancelled_output", True)
        return await self.result()


def run_with(*answers: Any) -> TemporalRun:
    return TemporalRun(cast(WorkflowHandle[Any, Any], ScriptedHandle(*answers)))


async def test_an_outage_is_waited_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    run = run_with(AWAY, AWAY, OUTPUT)
    run.pause_secs = 0.0
    with caplog.at_level(logging.INFO):
        outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED
    (record,) = caplog.records
    assert record.getMessage().startswith("Temporal does not answer (tcp connect error). The run is followed again")


@pytest.mark.parametrize(
    ("error", "told"),
    [(FORGOTTEN, "Temporal has no run 'run-1'"), (REFUSED, rf"the run 'run-1' \({REFUSED.message}\)")],
)
async def test_a_server_that_will_not_tell_is_not_asked_again(error: RPCError, told: str) -> None:
    with pytest.raises(DbtTemporalError, match=told):
        await run_with(error, OUTPUT).outcome()


async def test_a_cancel_that_does_not_reach_the_server_is_told() -> None:
    with pytest.raises(DbtTemporalError, match=r"the run 'run-1' \(tcp connect error\)\. If it is there, it goes on"):
        await run_with(AWAY).cancel()
    await run_with(FORGOTTEN).cancel()


CANCELLED = WorkflowFailureError(cause=CancelledError("cancelled"))


async def test_what_a_cancelled_run_came_to_is_asked_of_its_worker() -> None:
    outcome = await run_with(CANCELLED, {**OUTPUT, "success": False}).outcome()
    assert outcome.ending is Ending.CANCELLED
    assert outcome.output is not None
    assert not outcome.output.success
    assert (await run_with(CANCELLED, None).outcome()).output is None


@pytest.mark.parametrize("error", [AWAY, WorkflowQueryFailedError("unknown query")])
async def test_where_no_worker_tells_what_a_cancelled_run_came_to_nothing_is_known(error: Exception) -> None:
    outcome = await run_with(CANCELLED, error).outcome()
    assert (outcome.ending, outcome.output) == (Ending.CANCELLED, None)


class RunThatGoesOn:
    """The handle of a run of which a node ends at each query."""

    id = "a-run"

    def __init__(self, unknown: str = "") -> None:
        self._ended = 0
        self._unknown = unknown

    async def query(self, name: str, *, args: Any, rpc_timeout: Any) -> Any:
        if name == self._unknown:
            raise WorkflowQueryFailedError(f"Query handler for {name!r} expected but not found")
        self._ended += 1
        nodes = [f"model.shop.m{n}" for n in range(self._ended)]
        return {
            "run_log": [f"line {n}" for n in range(self._ended)][(args or [0])[0] :],
            "numbered_nodes": nodes[(args or [0])[0] :],
            "said_events": [{"line": n, "name": f"Said{n}", "level": "warn"} for n in range(*(args or [0])[:2])],
            "node_status": dict.fromkeys(nodes, "success"),
            "run_status": {"phase": "executing", "total_nodes": 9, "succeeded": self._ended}
            | dict.fromkeys(("failed", "skipped", "running"), 0),
        }[name]


def going_on(unknown: str = "") -> TemporalRun:
    return TemporalRun(cast(WorkflowHandle[Any, Any], RunThatGoesOn(unknown)))


async def test_counts_and_numbers_are_not_behind_the_lines() -> None:
    followed, lines, numbered = going_on(), 0, 0
    for _ in range(3):
        snapshot = await followed.snapshot(with_nodes=True, with_events=True)
        assert snapshot is not None
        lines += len(snapshot.new_log_lines)
        numbered += len(snapshot.new_numbered)
        assert lines < numbered < len(snapshot.node_status) < snapshot.counts["succeeded"]


class LongLog:
    """The handle of a run whose log takes several answers, of which one does not come."""

    id = "a-run"

    def __init__(self) -> None:
        self.log = RunLog()
        self.log.add("\n".join(f"{number}: {'é' * 100}" for number in range(30_000)))
        self.asked = 0

    async def query(self, name: str, *, args: Any, rpc_timeout: Any) -> Any:
        if name == "run_log":
            self.asked += 1
            if self.asked == 3:
                raise RPCError("timed out", RPCStatusCode.DEADLINE_EXCEEDED, b"")
            return self.log.part(args[0], TEMPORAL_BUDGET.log_bytes)
        return dict.fromkeys(("total_nodes", "succeeded", "failed", "skipped", "running"), 0) | {"phase": "executing"}


async def test_a_log_that_is_too_long_for_one_answer_comes_in_several_and_nothing_of_it_is_lost() -> None:
    handle = LongLog()
    run = TemporalRun(cast(WorkflowHandle[Any, Any], handle))
    assert await run.snapshot(with_nodes=False) is None
    snapshot = await run.snapshot(with_nodes=False)
    assert snapshot is not None
    assert snapshot.new_log_lines == handle.log.since()
    assert handle.asked > 4
    later = await run.snapshot(with_nodes=False)
    assert later is not None
    assert later.new_log_lines == []


async def test_a_run_with_too_many_nodes_for_an_answer_is_told_by_its_counts() -> None:
    snapshot = await going_on("node_status").snapshot(with_nodes=True)
    assert snapshot is not None
    assert snapshot.node_status == {}
    assert snapshot.new_log_lines


async def test_a_worker_that_does_not_know_the_numbers_tells_all_else() -> None:
    snapshot = await going_on("numbered_nodes").snapshot(with_nodes=False, with_events=True)
    assert snapshot is not None
    assert (snapshot.new_log_lines, snapshot.new_numbered) == (["line 0"], [])


@pytest.mark.parametrize("unknown", ["", "said_events"])
async def test_what_was_said_is_told_by_its_place_among_the_new_lines(unknown: str) -> None:
    followed = going_on(unknown)
    await followed.snapshot(with_nodes=False, with_events=True)
    snapshot = await followed.snapshot(with_nodes=False, with_events=True)
    assert snapshot is not None
    assert [event.line for event in snapshot.new_said] == ([] if unknown else list(range(len(snapshot.new_log_lines))))
    assert [event.name for event in snapshot.new_said] == [
        f"Said{line[5:]}" for line in snapshot.new_log_lines if not unknown
    ]


async def test_a_worker_that_does_not_answer_tells_nothing() -> None:
    assert await going_on("run_status").snapshot(with_nodes=True) is None
