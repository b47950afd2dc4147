"""Cancelling a run, changing it and looking at it while it goes on; against a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.engine import EnginePlan, NodeOutcome, Progress
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.application.shielding import shielded
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import FakeEngine, FakeEngineRun, node, plan
from tests.integration.run_harness import RunHarness, history, scheduled
from tests.integration.servers import wait_for

A, B, C = "model.shop.a", "model.shop.b", "model.shop.c"


async def test_a_cancelled_run_waits_until_its_node_has_stopped(runs: RunHarness) -> None:
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    await run.cancel()
    outcome = await run.outcome()
    assert outcome.ending is Ending.CANCELLED
    assert runs.engine.cancelled == [A]
    names = scheduled(await history(run.handle))
    # Artifacts of what was done are stored, and what the run held is freed, after the cancel.
    assert names == ["plan_project", "before_run", "model:a", "store_artifacts", "end_run"]
    assert await run.handle.query("node_status") == {A: "cancelled", B: "skipped"}


async def test_a_cancel_while_the_run_is_planned_is_not_lost(runs: RunHarness) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class SlowToNotice(FakeEngineRun):
        async def plan(self) -> EnginePlan:
            begun.set()
            await asyncio.shield(go_on.wait())
            return await super().plan()

    runs.engine.run_class = SlowToNotice
    runs.engine.run_plan = plan(node("a"))
    run = await runs.submit()
    await begun.wait()
    await run.cancel()

    await cancel_is_asked(run)
    go_on.set()
    assert (await run.outcome()).ending is Ending.CANCELLED
    assert runs.engine.executed == []


async def test_a_node_that_fails_while_its_cancel_is_on_its_way_keeps_its_error_and_is_not_tried_again(
    runs: RunHarness,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class SlowToNotice(FakeEngineRun):
        async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
            runs.engine.executed.append(unique_id)
            begun.set()
            await shielded(go_on.wait())
            return FakeEngine.fails(A, "Database Error\n  connection lost")

    runs.engine.run_class = SlowToNotice
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    run = await runs.submit()
    await begun.wait()
    await run.cancel()
    await cancel_is_asked(run)
    go_on.set()
    assert (await run.outcome()).ending is Ending.CANCELLED
    assert runs.engine.executed == [A]
    assert await run.handle.query("node_status") == {A: "error", B: "skipped"}


async def cancel_is_asked(run: TemporalRun) -> None:
    """Waits until the run's history holds the request."""

    async def asked() -> bool:
        events = await history(run.handle)
        return any(each.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED for each in events)

    await wait_for(asked, within=60)


async def has_begun(run: TemporalRun) -> bool:
    """Whether the server has the run."""
    try:
        await run.handle.describe()
    except RPCError:
        return False
    return True


async def test_fail_fast_turned_on_before_the_first_task_is_in_force(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b"), node("c", "a"))
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
    runs.engine.gates |= {A: asyncio.Event(), B: asyncio.Event()}
    workflow_id = f"early-{uuid4().hex}"
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "dbt_run",
        {},
        id=workflow_id,
        task_queue=runs.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    # The update is there before anybody has taken the run up: both come with its first task.
    update = asyncio.create_task(
        runs.client.execute_update_with_start_workflow("set_fail_fast", True, start_workflow_operation=start)
    )
    run = runs.gateway.find(workflow_id)
    await wait_for(partial(has_begun, run), within=60)
    await runs.start_worker()
    assert await update is True
    # If it fails sooner, the other node may be taken back before it has begun.
    await runs.has_begun(B)
    runs.engine.gates[A].set()
    outcome = await asyncio.wait_for(run.outcome(), 60)
    assert outcome.error_type == "DbtRunFailed"
    assert runs.engine.cancelled == [B]
    assert C not in runs.engine.executed


async def test_fail_fast_turned_on_in_mid_run_ends_it_after_a_failure(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b"), node("c", "a"))
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
    runs.engine.gates[B] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(B)
    assert await run.handle.execute_update("set_fail_fast", True) is True
    outcome = await run.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "DbtRunFailed")
    assert C not in runs.engine.executed
    assert runs.engine.cancelled == [B]


async def test_set_fail_fast_takes_only_true_or_false(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await run.handle.execute_update("set_fail_fast", "yes")
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.message == "set_fail_fast takes true or false, got str"
    assert (await run.handle.query("run_status"))["fail_fast"] is False
    runs.engine.gates[A].set()
    assert (await run.outcome()).ending is Ending.COMPLETED


async def test_queries_tell_the_whole_state_while_the_run_goes_on(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b"), node("c", "b"))
    runs.engine.gates[B] = asyncio.Event()
    run = await runs.submit({"fail_fast": True})

    async def a_is_done() -> Mapping[str, str] | None:
        statuses: Mapping[str, str] = await run.handle.query("node_status")
        return statuses if statuses.get(A) == "success" and statuses[B] == "running" else None

    assert await wait_for(a_is_done) == {A: "success", B: "running", C: "pending"}
    assert await run.handle.query("run_status") == {
        "phase": "executing",
        "total_nodes": 3,
        "total_levels": 2,
        "completed_levels": 0,
        "succeeded": 1,
        "failed": 0,
        "skipped": 0,
        "running": 1,
        "fail_fast": True,
    }
    log = await run.handle.query("run_log")
    assert any("START" in line and "shop.b" in line for line in log)
    snapshot = await run.snapshot(with_nodes=True, with_events=True)
    assert snapshot is not None
    assert list(snapshot.new_log_lines) == log
    assert list(snapshot.new_numbered) == [A, B]
    again = await run.snapshot(with_nodes=False)
    assert again is not None
    assert again.new_log_lines == []
    runs.engine.gates[B].set()
    await run.outcome()


async def test_memos_show_the_run_in_the_ui(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    run = await runs.submit({"select": "a+", "env": {"PASSWORD": "hunter2"}, "vars": {"day": 1}})
    await run.outcome()
    memo = await (await run.handle.describe()).memo()
    assert memo["command"] == {
        "command": "build",
        "project": "shop",
        "select": "a+",
        "exclude": None,
        "target": None,
        "full_refresh": False,
        "fail_fast": False,
        "vars": {"day": 1},
    }
    assert memo["node_status"] == {A: "success", B: "success"}
    assert memo["log"] == await run.handle.query("run_log")
    assert "hunter2" not in str(memo)


async def test_search_attributes_find_the_run(runs: RunHarness) -> None:
    runs.static_search_attributes = {"Team": "data", "NotRegistered": "x"}
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit({"target": "prod"})
    await runs.has_begun(A)

    async def attributes(status: str) -> Mapping[str, str] | None:
        pairs = (await run.handle.describe()).typed_search_attributes
        found = {pair.key.name: str(pair.value) for pair in pairs if pair.key.name in ours}
        return found if found.get("DbtStatus") == status else None

    ours = {"DbtProject", "DbtCommand", "DbtTarget", "DbtSelector", "DbtStatus", "Team", "NotRegistered"}
    expected = {"DbtProject": "shop", "DbtCommand": "build", "DbtTarget": "prod", "Team": "data"}
    assert await wait_for(lambda: attributes("running")) == {**expected, "DbtStatus": "running"}
    runs.engine.gates[A].set()
    await run.outcome()
    assert await wait_for(lambda: attributes("passed")) == {**expected, "DbtStatus": "passed"}


async def test_current_details_say_where_the_run_stands(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit({"select": "a"})
    await runs.has_begun(A)
    metadata = await run.handle.query("__temporal_workflow_metadata")
    assert "Running: `model.shop.a`" in str(metadata)
    description = await run.handle.describe()
    assert await description.static_summary() == "dbt build --select a"
    runs.engine.gates[A].set()
    await run.outcome()


async def test_a_worker_that_stops_lets_its_node_end(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    stopping = asyncio.create_task((await runs.start_worker()).shutdown())
    # The server answers meanwhile, so the shutdown has had its chance to cancel the node.
    await run.handle.describe()
    assert not stopping.done()
    runs.engine.gates[A].set()
    await stopping
    assert runs.engine.cancelled == []
    events = await history(run.handle)
    ended = [each.event_type for each in events]
    # plan_project, before_run and the node: all of them told their results.
    assert ended.count(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED) == 3
    await run.terminate("the test is over")


async def test_a_node_that_outlasts_the_grace_is_cancelled_and_left_to_other_workers(runs: RunHarness) -> None:
    runs.tuning = runs.tuning.model_copy(update={"graceful_shutdown_secs": 0.0})
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    await (await runs.start_worker()).shutdown()
    assert runs.engine.cancelled == [A]
    failures = [
        event.activity_task_failed_event_attributes.failure
        for event in await history(run.handle)
        if event.HasField("activity_task_failed_event_attributes")
    ]
    (failure,) = failures
    assert failure.application_failure_info.type == "EngineCrashed"
    assert failure.message == "the worker was shut down before the activity ended"
    del runs.engine.gates[A]
    await runs.start_another_worker()
    assert (await run.outcome()).ending is Ending.COMPLETED
    assert runs.engine.executed == [A, A]


async def test_facts_about_the_statement_travel_with_heartbeats(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()

    async def facts() -> dict[str, Any] | None:
        pending = (await run.handle.describe()).raw_description.pending_activities
        # The steps of project hooks tell facts of their own.
        of_node = [each for each in pending if each.activity_type.name == "model:a"]
        payloads = of_node[0].heartbeat_details.payloads if of_node else []
        return json.loads(payloads[0].data) if payloads and b"attempt" in payloads[0].data else None

    told = await wait_for(facts)
    assert told == {"attempt": 1, "elapsed_secs": told["elapsed_secs"]}
    assert told["elapsed_secs"] >= 1
    runs.engine.gates[A].set()
    await run.outcome()
