"""A plan that is too large for one payload reaches its run in pieces, on a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from dbt_temporal.adapters.temporal.closed_runs.finding import ClosedRuns
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.payloads import plan_pieces
from dbt_temporal.adapters.temporal.payloads.plan_pieces import PIECE_SIGNAL
from dbt_temporal.adapters.temporal.planned_runs import begun_with, find_planned_run
from dbt_temporal.adapters.temporal.workflow.definition import DbtRunWorkflow
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness, history, scheduled
from tests.integration.servers import wait_for

EARLIER = "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a11"


@pytest.fixture
def runs(runs: RunHarness, monkeypatch: pytest.MonkeyPatch) -> RunHarness:
    monkeypatch.setattr(plan_pieces, "MIN_NODES", 10)
    monkeypatch.setattr(plan_pieces, "NODES_OF_A_PIECE", 3)
    runs.write_artifacts = True
    runs.engine.run_plan = plan(*(node(f"n{i}", *([f"n{i - 4}"] if i > 3 else [])) for i in range(12)))
    return runs


def signals(events: list[HistoryEvent]) -> list[Any]:
    found = [event.workflow_execution_signaled_event_attributes for event in events]
    return [each for each in found if each.signal_name == PIECE_SIGNAL]


async def test_a_large_plan_comes_in_small_payloads_and_its_run_replays(runs: RunHarness) -> None:
    run = await runs.submit()
    outcome = await run.outcome()

    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert len(outcome.output.node_results) == 12
    events = await history(run.handle)
    assert len(signals(events)) > 2
    assert all(len(payload.data) < 1000 for each in signals(events) for payload in each.input.payloads)
    answers = [event.activity_task_completed_event_attributes.result.payloads for event in events]
    assert not [each for each in answers if each and b'"nodes"' in each[0].data]
    replayer = Replayer(workflows=[DbtRunWorkflow], data_converter=ConnectionSettings().data_converter)
    await replayer.replay_workflow(WorkflowHistory(run.workflow_id, events))


async def test_a_small_plan_is_one_payload(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    run = await runs.submit()
    assert (await run.outcome()).ending is Ending.COMPLETED
    assert not signals(await history(run.handle))


async def test_a_run_whose_plan_came_in_pieces_is_cancelled_and_tidied_as_any_other(runs: RunHarness) -> None:
    async def both_run() -> bool:
        ended = [(await run.handle.query("run_status"))["succeeded"] for run in (cancelled, terminated)]
        return all(count >= 1 for count in ended)

    runs.engine.gates["model.shop.n8"] = asyncio.Event()
    cancelled, terminated = await runs.submit(), await runs.submit()
    await wait_for(both_run, what="a node of each has ended")
    await cancelled.cancel()
    assert (await cancelled.outcome()).ending is Ending.CANCELLED
    await terminated.terminate("it was in the way")
    closed = ClosedRuns(runs.client, runs.task_queue)

    tidied = await (await closed.tidy(await closed.run_of(terminated.workflow_id))).result()

    assert tidied.succeeded >= 1
    assert len(runs.engine.seen_by_artifacts) == 12


async def test_whoever_asks_for_the_files_of_a_run_finds_it_by_a_plan_in_pieces(runs: RunHarness) -> None:
    run = await runs.submit({"retry_from": EARLIER})
    await run.outcome()

    found = await find_planned_run(runs.client, run.workflow_id)

    assert found is not None
    assert found.place == runs.store.location(found.invocation_id)
    assert list(found.nodes) == [f"model.shop.n{i}" for i in range(12)]
    assert await begun_with(runs.client, run.workflow_id, found.invocation_id) == {EARLIER}


async def test_what_steps_leave_out_is_found_beside_the_pieces(runs: RunHarness) -> None:
    run = await runs.submit({"select": " ".join(f"n{i}_with_a_rather_long_name" for i in range(2_000))})

    assert (await run.outcome()).ending is Ending.COMPLETED
    sizes = [
        event.activity_task_scheduled_event_attributes.input.ByteSize()
        for event in await history(run.handle)
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert sorted(sizes)[len(sizes) // 2] < 10_000


async def test_pieces_that_are_missing_have_the_run_planned_again(
    runs: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, losses = plan_pieces.in_pieces, [True]

    def lossy(planned: Any) -> Any:
        answer, pieces = real(planned)
        return answer, pieces[: -losses.pop() or None] if losses else pieces

    monkeypatch.setattr("dbt_temporal.adapters.temporal.worker.plan_sender.in_pieces", lossy)
    run = await runs.submit()

    assert (await run.outcome()).ending is Ending.COMPLETED
    assert scheduled(await history(run.handle)).count("plan_project") == 2
