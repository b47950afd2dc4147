"""Leases from a worker's side: they are asked of the workflow that keeps them, which starts where there is none."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.leases.messages import (
    LOOK_ACTIVITY,
    Claimants,
    lease_workflow_id,
)
from dbt_temporal.adapters.temporal.leases.workflow import DbtLeaseWorkflow
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.leases.messages import Claimant, Lease, LeaseAnswer, LeaseRequest

ANSWER_SECS = 20.0
"""The workflow only looks into a table; where it does not answer by then, no worker has it."""
SETTLED_SECS = 30.0
"""After which the activities of a run that was ended from outside have heard of it, and ended their statements."""
BUSY_PAUSE_SECS = 0.5
_IN_GOOD_ORDER = (
    WorkflowExecutionStatus.COMPLETED,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
)
"""How a run ends whose statements have ended before it."""
_BUSY = (RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.ABORTED)
_MAX_SUMMARY_CHARS = 200


class TemporalLeases:
    """Implements `Leases` for the runs of a task queue, within their activities.

    So whoever asks has a worker that can answer: itself, if there is no other.
    """

    def __init__(self, task_queue: str) -> None:
        self._task_queue = task_queue

    async def take(self, owner: str, lease: Lease, *, waits: bool) -> LeaseAnswer:
        request = LeaseRequest(owner=owner, workflow_id=activity.info().workflow_id or "", lease=lease, waits=waits)
        try:
            async with asyncio.timeout(ANSWER_SECS):
                return await _standing(activity.client(), self._task_queue, request)
        except (RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
            raise _no_answer(lease_workflow_id(self._task_queue, lease.scope), error) from error

    async def give_back(self, scope: str, owner: str) -> None:
        workflow_id = lease_workflow_id(self._task_queue, scope)
        handle = activity.client().get_workflow_handle_for(DbtLeaseWorkflow.run, workflow_id)
        try:
            await handle.signal(DbtLeaseWorkflow.give_back, owner, rpc_timeout=timedelta(seconds=ANSWER_SECS))
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:  # it ends with the last claim
                raise _no_answer(workflow_id, error) from error


class LeaseActivities:
    """The activity of `dbt_lease`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=LOOK_ACTIVITY)
    async def look(self, those: Claimants) -> Claimants:
        """Which of these runs are closed."""
        return Claimants(claimants=await _closed(self._client, those.claimants))


async def _standing(client: Client, task_queue: str, request: LeaseRequest) -> LeaseAnswer:
    """How a request stands among runs that are open."""
    answer = await ask(client, task_queue, request)
    if not answer.granted and (above := await _runs_above(client, request.workflow_id)):
        request = request.model_copy(update={"within": above})
        answer = await ask(client, task_queue, request)
    # An answer names some of those who are in the way, so there may be others behind them.
    while closed := await _closed(client, answer.behind):
        answer = await ask(client, task_queue, request.model_copy(update={"closed": closed}))
    return answer


async def _runs_above(client: Client, workflow_id: str) -> list[str]:
    """The first run ids of the workflows that this one is a child of, as far as they are open."""
    found = []
    description = await client.get_workflow_handle(workflow_id).describe()
    while description.parent_id is not None:
        description = await client.get_workflow_handle(description.parent_id).describe()
        if description.close_time is not None:
            break
        found.append(description.raw_info.first_run_id)
    return found


async def _closed(client: Client, claimants: list[Claimant]) -> list[Claimant]:
    """Those whose runs are closed and write no more. One that goes on after a reset, or is tried again, is not."""
    closed = await asyncio.gather(*(_is_closed(client, each) for each in claimants))
    return [each for each, is_closed in zip(claimants, closed, strict=True) if is_closed]


async def _is_closed(client: Client, claimant: Claimant) -> bool:
    try:
        newest = await client.get_workflow_handle(claimant.workflow_id).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return True
        raise
    # The invocation id is that of the first execution of the chain; another one began when this one had ended.
    is_same = newest.raw_info.first_run_id == claimant.owner
    ended_at = newest.close_time if is_same else newest.start_time
    if ended_at is None:
        return False
    # By the server's clock, as the end of the run.
    silent = activity.info().current_attempt_scheduled_time - ended_at
    may_write = claimant.granted and not (is_same and newest.status in _IN_GOOD_ORDER)
    return not may_write or silent >= timedelta(seconds=SETTLED_SECS)


async def ask(client: Client, task_queue: str, request: LeaseRequest) -> LeaseAnswer:
    """Asks the workflow that keeps the leases of the request's scope; where there is none, it starts on the queue.

    Raises:
        RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError: it does not answer.
    """
    while True:
        try:
            return await _ask_once(client, task_queue, request)
        except RPCError as error:
            # The server lets a workflow have ten updates at a time, and lets those go that meet its end.
            if error.status not in _BUSY:
                raise
            await asyncio.sleep(BUSY_PAUSE_SECS)


async def _ask_once(client: Client, task_queue: str, request: LeaseRequest) -> LeaseAnswer:
    scope = request.lease.scope
    start: WithStartWorkflowOperation[DbtLeaseWorkflow, Any] = WithStartWorkflowOperation(
        DbtLeaseWorkflow.run,
        id=lease_workflow_id(task_queue, scope),
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"who has what of {scope}"[:_MAX_SUMMARY_CHARS],
    )
    started = asyncio.create_task(start.workflow_handle())
    try:
        return await client.execute_update_with_start_workflow(
            DbtLeaseWorkflow.take,
            request,
            start_workflow_operation=start,
            rpc_timeout=timedelta(seconds=ANSWER_SECS),
        )
    finally:
        # It has the same error, which asyncio would call forgotten otherwise.
        started.cancel()
        await asyncio.gather(started, return_exceptions=True)


def _no_answer(workflow_id: str, error: Exception) -> DbtTemporalError:
    why = f"{type(error).__name__}: {error}"
    message = f"the workflow {workflow_id!r}, which keeps the leases, does not answer: {why}"
    return DbtTemporalError(ErrorType.ADAPTER, message)
