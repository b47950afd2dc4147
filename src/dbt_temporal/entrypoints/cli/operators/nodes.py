"""`dbt-temporal node` and `finish`: does something about the nodes of a run that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings, build_runtime
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.limits import MAX_PLAN_SECS
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.entrypoints.exit_codes import SUCCESS

ACTIONS = ("retry", "skip", "accept", "hold", "reset")
ANSWER_SECS = 20.0
"""A worker carries an update out; without one, nobody answers."""
PLAN_SECS = MAX_PLAN_SECS
"""To take another revision, the run is planned again."""

_DONE = {
    "retry": "runs again, or makes its next attempt now",
    "skip": "is skipped",
    "accept": "counts as done",
    "hold": "is held until it is retried, skipped or accepted",
    "reset": "has its statement ended, and begins again",
}


async def operate(
    target: Target, workflow_id: str, names: Sequence[str], action: str, new_revision: bool, console: Console
) -> int:
    """Does it, and says of each node what follows. Returns the exit code.

    With `new_revision`, the run takes the project as it is now before that.

    Raises:
        DbtTemporalError: of type Configuration, where it cannot be done; then nothing is.
    """
    client = await connect(target.connection, runtime=build_runtime(MetricsSettings()))
    if new_revision:
        revision = await _update(client, workflow_id, "take_revision", [], within=PLAN_SECS)
        console.print(f"The run goes on with revision {revision}", soft_wrap=True, markup=False)
    if action == "reset":
        done = await _reset(client, workflow_id, names)
    elif names:
        done = list(await _update(client, workflow_id, f"{action}_nodes", [list(names)]))
    else:
        done = list(await _update(client, workflow_id, "retry_now", []))
        if not done:
            console.print("No node waits for its next attempt.")
    for node in done:
        console.print(f"{node} {_DONE[action]}", soft_wrap=True, markup=False)
    return SUCCESS


async def finish(target: Target, workflow_id: str, console: Console) -> int:
    """Has a run that is kept open end. Returns the exit code, which is not the run's. Raises as `operate`."""
    client = await connect(target.connection, runtime=build_runtime(MetricsSettings()))
    await _update(client, workflow_id, "finish", [])
    console.print(f"{workflow_id} is kept open no longer", soft_wrap=True, markup=False)
    return SUCCESS


async def _update(
    client: Client, workflow_id: str, name: str, arguments: list[Any], within: float | None = None
) -> Any:
    within = ANSWER_SECS if within is None else within
    try:
        async with asyncio.timeout(within):
            return await client.get_workflow_handle(workflow_id).execute_update(name, args=arguments)
    except WorkflowUpdateFailedError as failure:
        cause = failure.cause
        raise configuration_error(cause.message if isinstance(cause, ApplicationError) else str(cause)) from failure
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error  # the SDK makes another error of Ctrl-C
        raise configuration_error(f"no worker has answered for {workflow_id!r} in {within:g} seconds") from error
    except RPCError as error:
        raise _refused(workflow_id, error) from error


async def _reset(client: Client, workflow_id: str, names: Sequence[str]) -> list[str]:
    try:
        description = await client.get_workflow_handle(workflow_id).describe()
        pending = {activity.activity_id: activity for activity in description.raw_description.pending_activities}
        ids = [_activity_of(name, list(pending)) for name in names]
        for activity_id in ids:
            await client.workflow_service.reset_activity(
                ResetActivityRequest(
                    namespace=client.namespace,
                    execution=WorkflowExecution(workflow_id=workflow_id, run_id=description.run_id or ""),
                    identity=client.identity,
                    id=activity_id,
                )
            )
    except RPCError as error:
        raise _refused(workflow_id, error) from error
    return ids


def _activity_of(name: str, pending: list[str]) -> str:
    kind, _, rest = name.partition(".")
    meant = {name, f"{kind}:{rest.partition('.')[2]}"}
    found = [each for each in pending if each in meant or each.partition(":")[2] == name]
    if len(found) != 1:
        running = ", ".join(each for each in pending if ":" in each) or "none"
        raise configuration_error(f"{name!r} is no node with an attempt under way; those are: {running}")
    return found[0]


def _refused(workflow_id: str, error: RPCError) -> DbtTemporalError:
    if error.status == RPCStatusCode.NOT_FOUND:
        return configuration_error(f"there is no run {workflow_id!r} under way: {error.message}")
    return configuration_error(f"the server does not take it for {workflow_id!r}: {error.message}")
