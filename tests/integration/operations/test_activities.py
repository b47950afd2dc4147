"""What operators do by Temporal's own means to the activity of a node, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import RetryPolicy, WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetActivityRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.run_harness import RunHarness, history, scheduled
from tests.integration.servers import wait_for

A = "model.shop.a"
PAUSED = PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED
PAUSE_REQUESTED = PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED


@dataclass
class Operator:
    """Does to the activity `model:a` of a run what `temporal activity` does."""

    runs: RunHarness
    run: TemporalRun

    def _ask(self, kind: Callable[..., Any]) -> Any:
        execution = WorkflowExecution(workflow_id=self.run.workflow_id)
        return kind(namespace=self.runs.client.namespace, execution=execution, id="model:a", identity="operator")

    async def pause(self) -> None:
        await self.runs.client.workflow_service.pause_activity(self._ask(PauseActivityRequest))

    async def unpause(self) -> None:
        await self.runs.client.workflow_service.unpause_activity(self._ask(UnpauseActivityRequest))

    async def reset(self) -> None:
        await self.runs.client.workflow_service.reset_activity(self._ask(ResetActivityRequest))

    async def allow_attempts(self, count: int) -> None:
        request = self._ask(UpdateActivityOptionsRequest)
        request.activity_options.CopyFrom(ActivityOptions(retry_policy=RetryPolicy(maximum_attempts=count)))
        request.update_mask.paths.append("retry_policy.maximum_attempts")
        await self.runs.client.workflow_service.update_activity_options(request)

    async def pending(self) -> PendingActivityInfo:
        description = await self.run.handle.describe()
        (activity,) = description.raw_description.pending_activities
        return activity

    async def until_state(self, *states: PendingActivityState.ValueType) -> None:
        async def is_so() -> bool:
            return (await self.pending()).state in states

        await wait_for(is_so, what="the activity is in this state")


@pytest.fixture
async def operator(runs: RunHarness) -> Operator:
    """An operator of a run whose node a runs."""
    runs.config = runs.config | {"timeouts": {"node_heartbeat_secs": 3}}
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    return Operator(runs, run)


async def until_heard(operator: Operator) -> None:
    """Waits until the attempt has heard of its pause, with the answer to a heartbeat."""
    pending = await operator.pending()

    async def has_beaten_twice() -> bool:
        nonlocal pending
        now = await operator.pending()
        newer = now.last_heartbeat_time.ToDatetime() > pending.last_heartbeat_time.ToDatetime()
        first, pending = pending, now
        return newer and first.HasField("last_heartbeat_time")

    await operator.until_state(PAUSE_REQUESTED)
    await wait_for(has_beaten_twice, what="two heartbeats came")


async def test_a_pause_does_not_end_the_statement_and_its_result_counts(operator: Operator) -> None:
    await operator.pause()
    await until_heard(operator)
    assert operator.runs.engine.cancelled == []
    operator.runs.engine.gates[A].set()
    outcome = await operator.run.outcome()
    assert outcome.ending is Ending.COMPLETED
    assert scheduled(await history(operator.run.handle)).count("model:a") == 1


async def test_a_paused_attempt_that_fails_is_made_again_when_it_goes_on_and_costs_none(operator: Operator) -> None:
    engine = operator.runs.engine
    engine.script[A] = [FakeEngine.fails(A, "connection lost", retryable=True), FakeEngine.succeeds(A)]
    await operator.pause()
    await until_heard(operator)
    engine.gates[A].set()
    await operator.until_state(PAUSED)
    await operator.unpause()
    outcome = await operator.run.outcome()
    assert outcome.output is not None
    assert [each.attempts for each in outcome.output.node_results] == [1, 1]


async def test_a_paused_node_is_cancelled_with_its_run(operator: Operator) -> None:
    await operator.pause()
    await until_heard(operator)
    await operator.run.cancel()
    outcome = await operator.run.outcome()
    assert outcome.ending is Ending.CANCELLED
    assert operator.runs.engine.cancelled == [A]
    assert (await operator.run.handle.query("node_status"))[A] == "cancelled"


@pytest.mark.parametrize("paused", [False, True])
async def test_a_reset_ends_the_statement_and_begins_again_at_once(operator: Operator, paused: bool) -> None:
    engine = operator.runs.engine
    if paused:
        await operator.pause()
        await until_heard(operator)
    await operator.reset()

    async def ended() -> bool:
        return engine.cancelled == [A]

    await wait_for(ended, what="the statement was ended")
    engine.gates[A].set()
    outcome = await operator.run.outcome()
    assert outcome.ending is Ending.COMPLETED
    assert "model:a was reset: it begins again" in await operator.run.handle.query("run_log")
    assert engine.executed.count(A) == 2


async def test_attempts_that_an_operator_allows_are_made_by_the_server(operator: Operator) -> None:
    engine = operator.runs.engine
    engine.script[A] = [FakeEngine.fails(A, "connection lost", retryable=True), FakeEngine.succeeds(A)]
    await operator.allow_attempts(3)
    engine.gates[A].set()
    outcome = await operator.run.outcome()
    assert outcome.ending is Ending.COMPLETED
    assert scheduled(await history(operator.run.handle)).count("model:a") == 1
    assert engine.executed.count(A) == 2
