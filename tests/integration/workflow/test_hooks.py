"""Lifecycle hooks as child workflows on a worker of their own; against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for

A = "model.shop.a"
RECEIVED: dict[str, list[Any]] = {}


@workflow.defn(name="keep")
class Keep:
    """Keeps what it is sent; answers as its argument says where that is a custom input."""

    @workflow.run
    async def run(self, argument: Any) -> Any:
        RECEIVED.setdefault(workflow.info().task_queue, []).append(argument)
        return argument.get("answer") if isinstance(argument, dict) else None


@workflow.defn(name="fail")
class Fail:
    @workflow.run
    async def run(self, argument: Any) -> Any:
        raise ApplicationError("no channel", type="Slack")


@workflow.defn(name="hang")
class Hang:
    @workflow.run
    async def run(self, argument: Any) -> Any:
        await asyncio.Event().wait()


@workflow.defn(name="calm")
class Calm:
    """Takes its cancel for an end like any other."""

    @workflow.run
    async def run(self, argument: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return None


@workflow.defn(name="odd")
class Odd:
    """Answers in an encoding, or a JSON, that nobody reads."""

    @workflow.run
    async def run(self, argument: Any) -> Any:
        return RawValue(Payload(metadata={"encoding": argument["encoding"].encode()}, data=b"{"))


@pytest.fixture
async def hook_queue(temporal_client: Client, task_queue: str) -> AsyncIterator[str]:
    """The task queue of a worker that serves hooks, and knows nothing of dbt."""
    queue = f"{task_queue}-hooks"
    runner = UnsandboxedWorkflowRunner()
    async with Worker(
        temporal_client, task_queue=queue, workflows=[Calm, Keep, Fail, Hang, Odd], workflow_runner=runner
    ):
        yield queue


def hook(kind: str, queue: str, **fields: Any) -> dict[str, Any]:
    return {"workflow_type": kind, "task_queue": queue, **fields}


async def test_hooks_get_the_payload_of_their_event(runs: RunHarness, hook_queue: str) -> None:
    runs.engine.run_plan = plan(node("a"))
    hooks = {"pre_run": [hook("keep", hook_queue)], "on_success": [hook("keep", hook_queue)]}
    outcome = await runs.run({"command": "run", "env": {"PW": "hunter2"}, "hooks": hooks})
    assert outcome.output is not None
    before, after = RECEIVED[hook_queue]
    assert sorted(before) == ["event", "input", "invocation_id", "output", "plan"]
    assert (before["event"], before["output"]) == ("pre_run", None)
    assert (before["invocation_id"], list(before["plan"]["nodes"])) == (outcome.output.invocation_id, [A])
    assert (before["input"]["command"], before["input"]["env"]) == ("run", {"PW": "***"})
    assert (after["event"], after["output"]["success"]) == ("on_success", True)
    assert "hunter2" not in str(RECEIVED[hook_queue])


async def test_a_failed_run_calls_on_failure(runs: RunHarness, hook_queue: str) -> None:
    runs.config["hooks"] = {"on_failure": [hook("keep", hook_queue)], "on_success": [hook("fail", hook_queue)]}
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
    outcome = await runs.run()
    assert outcome.error_type == "DbtRunFailed"
    (received,) = RECEIVED[hook_queue]
    assert (received["event"], received["output"]["success"]) == ("on_failure", False)
    assert outcome.output is not None
    assert outcome.output.hook_errors == []


async def test_a_hook_with_its_own_input_gets_that_and_can_skip_the_run(runs: RunHarness, hook_queue: str) -> None:
    runs.engine.run_plan = plan(node("a"))
    own_input = {"answer": {"skip": True, "reason": "nothing new"}}
    outcome = await runs.run({"hooks": {"pre_run": [hook("keep", hook_queue, input=own_input)]}})
    assert RECEIVED[hook_queue] == [own_input]
    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert (outcome.output.skipped, outcome.output.skip_reason) == (True, "nothing new")
    assert runs.engine.executed == []


@pytest.mark.parametrize("encoding", ["binary/odd", "json/plain", "binary/encrypted"])
async def test_an_answer_that_cannot_be_read_says_nothing_to_the_run(
    runs: RunHarness, hook_queue: str, encoding: str
) -> None:
    runs.engine.run_plan = plan(node("a"))
    hooks = {"pre_run": [hook("odd", hook_queue, input={"encoding": encoding})]}
    outcome = await asyncio.wait_for(runs.run({"hooks": hooks}), 60)
    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert outcome.output.hook_errors == []
    assert runs.engine.executed == [A]


async def test_a_hook_can_add_to_the_environment(runs: RunHarness, hook_queue: str) -> None:
    runs.engine.run_plan = plan(node("a"))
    own_input = {"answer": {"extra_env": {"DB": "prod"}}}
    await runs.run({"env": {"A": "1"}, "hooks": {"pre_run": [hook("keep", hook_queue, input=own_input)]}})
    assert runs.engine.planned[-1].input.env == {"A": "1", "DB": "prod"}


@pytest.mark.parametrize(
    ("policy", "ending", "recorded"),
    [("fail", Ending.FAILED, 1), ("warn", Ending.COMPLETED, 1), ("ignore", Ending.COMPLETED, 0)],
)
async def test_a_failing_hook_is_treated_by_its_policy(
    runs: RunHarness, hook_queue: str, policy: str, ending: Ending, recorded: int
) -> None:
    runs.engine.run_plan = plan(node("a"))
    outcome = await runs.run({"hooks": {"on_success": [hook("fail", hook_queue, on_error=policy)]}})
    assert outcome.ending is ending
    assert outcome.output is not None
    errors = [(each.hook_workflow_type, each.event, each.error) for each in outcome.output.hook_errors]
    assert errors == [("fail", "on_success", "Slack: no channel")] * recorded


async def test_a_hook_that_hangs_or_has_no_worker_times_out(runs: RunHarness, hook_queue: str) -> None:
    hooks = [hook("hang", hook_queue, timeout_secs=1), hook("nobody", f"{hook_queue}-none", timeout_secs=1)]
    outcome = await runs.run({"hooks": {"on_success": hooks}})
    assert outcome.output is not None
    assert [each.error for each in outcome.output.hook_errors] == ["timed out after 1 seconds (timeout_secs)"] * 2


async def test_a_forgotten_hook_outlives_the_run(runs: RunHarness, hook_queue: str, temporal_client: Client) -> None:
    hooks = {"on_success": [hook("hang", hook_queue, fire_and_forget=True)]}
    run = await runs.submit({"hooks": hooks})
    assert (await run.outcome()).ending is Ending.COMPLETED

    async def children() -> list[str]:
        query = f"WorkflowType='hang' AND TaskQueue='{hook_queue}'"
        return [each.id async for each in temporal_client.list_workflows(query)]

    (child,) = await wait_for(children)
    handle = temporal_client.get_workflow_handle(child)
    assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
    await handle.terminate()


async def test_cancelling_the_run_cancels_the_hook_it_waits_for(
    runs: RunHarness, hook_queue: str, temporal_client: Client
) -> None:
    run = await runs.submit({"hooks": {"pre_run": [hook("hang", hook_queue)]}})

    async def children() -> list[str]:
        query = f"WorkflowType='hang' AND TaskQueue='{hook_queue}'"
        return [each.id async for each in temporal_client.list_workflows(query)]

    (child,) = await wait_for(children)
    # The list may know the hook before the run does, which waits only for a hook that it knows to have started.
    await wait_for(partial(hook_has_started, run), what="the hook has started")
    await run.cancel()
    assert (await run.outcome()).ending is Ending.CANCELLED

    async def cancelled() -> bool:
        description = await temporal_client.get_workflow_handle(child).describe()
        return description.status == WorkflowExecutionStatus.CANCELED

    await wait_for(cancelled, what="the hook is cancelled")


async def hook_has_started(run: TemporalRun) -> bool:
    """Whether the run's history tells of a hook that has started."""
    events = await history(run.handle)
    return any(event.HasField("child_workflow_execution_started_event_attributes") for event in events)


async def test_dbt_run_itself_is_a_hook_and_does_not_recurse(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    own_input = {"command": "run", "select": "a", "hooks": {}}
    runs.config["hooks"] = {"pre_run": [hook("dbt_run", runs.task_queue, input=own_input, on_error="fail")]}
    outcome = await runs.run({"command": "build"})
    assert outcome.ending is Ending.COMPLETED
    assert [each.input.command for each in runs.engine.planned] == ["build", "run"]
    assert runs.engine.executed == [A, A]


async def test_a_run_cancelled_during_a_hook_that_then_ends_well_is_cancelled(
    runs: RunHarness, hook_queue: str
) -> None:
    runs.engine.run_plan = plan(node("a"))
    run = await runs.submit({"hooks": {"pre_run": [hook("calm", hook_queue)]}})
    await wait_for(partial(hook_has_started, run), what="the hook has started")
    await run.cancel()
    assert (await run.outcome()).ending is Ending.CANCELLED
    assert runs.engine.executed == []
