"""What is told of runs and nodes, by the use cases of their steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dbt_temporal.adapters.in_process import run_in_process
from dbt_temporal.application.lineage import telling
from dbt_temporal.application.ports.engine import NodeOutcome
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import (
    BeforeRunInput,
    EndRunInput,
    ExecuteNodeInput,
    StoreArtifactsInput,
)
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.application.stored.late_writes import Patience
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.lineage.model import LineageEvent, LineageGraph, RunEnded
from dbt_temporal.domain.lineage.names import attempt_run_id
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import (
    FakeEngine,
    FakeEngineRun,
    FakeLineageSender,
    InMemoryArtifactStore,
    model_id,
    node,
    plan,
    ready_project,
    result,
    until,
)
from dbt_temporal.testing.builders import INVOCATION_ID, PROJECT, STARTED_AT

A, B = model_id("a"), model_id("b")
JOB_A, JOB_B, RUN_JOB = "shop.main.shop.a", "shop.main.shop.b", "dbt-run-shop"
ENDED_AT = "2026-01-01T00:09:00+00:00"
AT_ONCE = Patience(step_secs=60, late_step_secs=0.001, deadline_secs=0, missing_secs=0.002)
"""Records that are not in the store are not waited for."""


class Worker:
    """The use cases of one, on an engine that may be that of others, with what it has sent."""

    def __init__(self, engine: FakeEngine | None = None, *, sends: bool = True) -> None:
        self.engine = engine or FakeEngine(plan(node("a"), node("b", "a")))
        self.sent = FakeLineageSender()
        self.use_cases = UseCases.build(
            self.engine,
            ProjectRegistry([ready_project()]),
            InMemoryArtifactStore(),
            write_artifacts=True,
            patience=AT_ONCE,
            lineage=self.sent if sends else None,
        )

    async def execute(self, unique_id: str = A, **fields: Any) -> NodeExecutionResult:
        return await self.use_cases.execute_node(
            ExecuteNodeInput(invocation=invocation(), unique_id=unique_id, **fields)
        )

    async def store(self, *results: NodeExecutionResult, unrecorded: Sequence[str] = ()) -> None:
        await self.use_cases.store_artifacts(
            StoreArtifactsInput(invocation=invocation(), results=list(results), unrecorded=list(unrecorded))
        )

    async def end(self, outcome: str, message: str | None = None) -> None:
        ended = RunEnded.model_validate({"outcome": outcome, "at": ENDED_AT, "message": message})
        await self.use_cases.end_run(EndRunInput(invocation=invocation(), ended=ended))


def invocation(command: str = "run") -> DbtInvocation:
    return DbtInvocation(
        invocation_id=INVOCATION_ID,
        project=PROJECT,
        started_at=STARTED_AT,
        input=parse_run_input({"command": command}),
    )


def attempts(worker: Worker, unique_id: str = A) -> list[tuple[int, str]]:
    """By number, the attempts at a node with the types of their events, in order."""
    numbers = {attempt_run_id(INVOCATION_ID, unique_id, number): number for number in range(1, 9)}
    return [(numbers[each.run_id], each.type.value) for each in worker.sent.events if each.run_id in numbers]


async def test_a_run_is_told_from_its_beginning_to_its_end() -> None:
    worker = Worker()
    output = await run_in_process(parse_run_input({"command": "run"}), worker.use_cases)
    assert worker.sent.told() == [
        (RUN_JOB, "START"),
        (JOB_A, "START"),
        (JOB_A, "COMPLETE"),
        (JOB_B, "START"),
        (JOB_B, "COMPLETE"),
        (RUN_JOB, "COMPLETE"),
    ]
    of_run = [event for event in worker.sent.events if event.job == RUN_JOB]
    assert {event.run_id for event in of_run} == {output.invocation_id}
    parents = {event.parent.run_id for event in worker.sent.events if event.parent is not None}
    assert parents == {output.invocation_id}
    written = {event.job: event.output for event in worker.sent.events if event.type.value == "COMPLETE"}
    assert worker.sent.events[3].inputs == (written[JOB_A],)


async def test_a_failed_run_says_why_and_nothing_of_nodes_that_were_skipped() -> None:
    worker = Worker()
    worker.engine.script[A] = [FakeEngine.fails(A, "no such column", retryable=False)]
    await run_in_process(parse_run_input({"command": "run"}), worker.use_cases)
    assert worker.sent.told() == [
        (RUN_JOB, "START"), (JOB_A, "START"), (JOB_A, "FAIL"), (RUN_JOB, "FAIL")
    ]  # fmt: skip
    assert worker.sent.events[2].message == "no such column"
    assert "model.shop.a" in (worker.sent.events[3].message or "")


@pytest.mark.parametrize("command", ["compile", "list", "docs-generate"])
async def test_commands_that_build_nothing_tell_nothing(command: str) -> None:
    worker = Worker()
    await run_in_process(parse_run_input({"command": command}), worker.use_cases)
    assert worker.sent.events == []


async def test_without_a_sender_the_engine_is_not_even_asked() -> None:
    asked: list[str] = []

    class Asked(FakeEngineRun):
        async def lineage(self) -> LineageGraph:
            asked.append(A)
            return await super().lineage()

    worker = Worker(sends=False)
    worker.engine.run_class = Asked
    await worker.execute()
    assert asked == []


async def test_each_attempt_at_a_node_is_a_run_of_its_job() -> None:
    worker = Worker()
    worker.engine.script[A] = [FakeEngine.fails(A), FakeEngine.succeeds(A)]
    with pytest.raises(DbtTemporalError):
        await worker.execute()
    await worker.execute(attempt=2)
    assert attempts(worker) == [(1, "START"), (1, "FAIL"), (2, "START"), (2, "COMPLETE")]


async def test_an_attempt_whose_process_died_has_failed() -> None:
    worker = Worker()
    worker.engine.script[A] = [FakeEngine.crash()]
    with pytest.raises(DbtTemporalError):
        await worker.execute()
    assert attempts(worker) == [(1, "START"), (1, "FAIL")]
    assert "signal 9" in (worker.sent.events[-1].message or "")


async def test_a_cancelled_attempt_is_aborted() -> None:
    worker = Worker()
    worker.engine.gates[A] = asyncio.Event()
    running = asyncio.create_task(worker.execute())
    await until(lambda: worker.engine.executed == [A])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert attempts(worker) == [(1, "START"), (1, "ABORT")]


async def test_an_attempt_that_was_lost_with_its_worker_is_aborted_by_the_next_one() -> None:
    worker = Worker()
    await worker.execute(attempt=3, unheard=[1, 2])
    assert attempts(worker) == [(1, "ABORT"), (2, "ABORT"), (3, "START"), (3, "COMPLETE")]


async def test_an_attempt_whose_end_the_worker_has_told_is_not_aborted_by_the_next_one() -> None:
    worker = Worker()
    worker.engine.script[A] = [FakeEngine.crash(), FakeEngine.succeeds(A)]
    with pytest.raises(DbtTemporalError):
        await worker.execute()
    await worker.execute(attempt=2, unheard=[1])
    assert attempts(worker) == [(1, "START"), (1, "FAIL"), (2, "START"), (2, "COMPLETE")]


async def test_an_attempt_whose_end_another_worker_has_told_is_not_aborted() -> None:
    worker = Worker()
    await worker.execute(attempt=3, unheard=[1, 2], told=[1])
    assert attempts(worker) == [(2, "ABORT"), (3, "START"), (3, "COMPLETE")]


async def test_an_attempt_that_finds_out_how_a_lost_one_ended_tells_that_as_its_own() -> None:
    worker = Worker()
    worker.engine.left[A, 1] = FakeEngine.succeeds(A)
    await worker.execute(attempt=2, unheard=[1])
    assert worker.engine.executed == []
    assert attempts(worker) == [(1, "ABORT"), (2, "START"), (2, "COMPLETE")]


async def test_what_is_told_twice_by_one_worker_is_sent_once() -> None:
    worker = Worker()
    request = BeforeRunInput(invocation=invocation())
    await worker.use_cases.before_run(request)
    await worker.use_cases.before_run(request)
    ended = await worker.execute()
    await worker.store(ended)
    assert worker.sent.told() == [(RUN_JOB, "START"), (JOB_A, "START"), (JOB_A, "COMPLETE")]


async def test_whoever_stores_the_artifacts_tells_what_workers_that_are_lost_may_not_have_told() -> None:
    first = Worker()
    timing = [{"name": "execute", "started_at": STARTED_AT, "completed_at": ENDED_AT}]
    first.engine.script[A] = [replace(FakeEngine.succeeds(A), result=result("a", timing=timing))]
    ended = await first.execute()
    second = Worker(first.engine)
    await second.store(ended, result("b", "error", message="out of memory"))
    assert second.sent.told() == [(JOB_A, "COMPLETE"), (JOB_B, "FAIL")]
    assert second.sent.events[0] == first.sent.events[1]
    assert second.sent.events[0].time == ENDED_AT
    assert second.sent.events[1].message == "out of memory"


async def test_nothing_is_told_again_of_nodes_that_never_ran_or_of_which_an_operator_has_had_the_last_word() -> None:
    worker = Worker()
    await worker.store(result("a"), result("b", "skipped", attempts=0), unrecorded=[A])
    assert worker.sent.events == []


async def test_a_cancelled_run_is_aborted_and_one_that_was_skipped_never_was() -> None:
    worker = Worker()
    await worker.end("cancelled")
    await worker.end("skipped")
    assert worker.sent.told() == [(RUN_JOB, "ABORT")]
    assert worker.sent.events[0].time == ENDED_AT


async def test_the_end_of_a_run_from_before_it_was_told_tells_nothing() -> None:
    worker = Worker()
    await worker.use_cases.end_run(EndRunInput(invocation=invocation()))
    assert worker.sent.events == []


async def test_the_parts_of_a_microbatch_model_are_one_run() -> None:
    worker = Worker()
    for stage in ("begin", "batch", "batch", "end"):
        await worker.execute(part=BatchPart.model_validate({"stage": stage}))
    assert worker.sent.told() == [(JOB_A, "START"), (JOB_A, "COMPLETE")]
    assert {event.run_id for event in worker.sent.events} == {attempt_run_id(INVOCATION_ID, A, None)}


async def test_where_the_engine_runs_ahead_a_node_begins_when_that_says_so() -> None:
    class Waits(FakeEngineRun):
        async def execute_node(self, unique_id: str, progress: Any, *rest: Any, **named: Any) -> NodeOutcome:
            await super().execute_node(unique_id, progress, *rest, **named)
            progress({"begun": True})
            await self._engine.gates[B].wait()
            return FakeEngine.succeeds(unique_id)

    worker = Worker()
    worker.engine.run_class = Waits
    worker.engine.gates = {A: asyncio.Event(), B: asyncio.Event()}
    running = asyncio.create_task(worker.execute(from_begin=True, timeout_secs=60.0))
    await until(lambda: worker.engine.executed == [A])
    assert worker.sent.events == []
    worker.engine.gates[A].set()
    await until(lambda: attempts(worker) == [(1, "START")])
    worker.engine.gates[B].set()
    await running
    assert attempts(worker) == [(1, "START"), (1, "COMPLETE")]


async def test_an_engine_that_does_not_say_what_is_read_and_written_costs_the_run_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Silent(FakeEngineRun):
        async def lineage(self) -> LineageGraph:
            raise RuntimeError("no answer")

    worker = Worker()
    worker.engine.run_class = Silent
    for _ in range(5):
        assert (await worker.execute()).status == "success"
    assert worker.sent.events == []
    assert caplog.text.count("no answer") == 3


async def test_artifacts_are_stored_within_their_limit_where_the_engine_does_not_answer_what_is_read_and_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hanging(FakeEngineRun):
        async def lineage(self) -> LineageGraph:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(telling, "GRAPH_SECS_AT_END", 0.01)
    worker = Worker()
    worker.engine.run_class = Hanging
    async with asyncio.timeout(20):
        await worker.store(result("a"))
    assert worker.sent.events == []


async def test_a_sender_that_raises_costs_the_run_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(FakeLineageSender):
        def send(self, event: LineageEvent) -> None:
            raise RuntimeError("a fault")

    worker = Worker()
    worker.use_cases = UseCases.build(
        worker.engine, ProjectRegistry([ready_project()]), InMemoryArtifactStore(), lineage=Raising()
    )
    assert (await worker.execute()).status == "success"
    assert "a fault" in caplog.text
