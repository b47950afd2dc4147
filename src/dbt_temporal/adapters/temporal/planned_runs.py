"""What the history of a run says of it: where its artifacts lie, and which nodes it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.application.steps.table import PLAN_PROJECT
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.plan import NodeInfo

_NO_NODES: Mapping[str, NodeInfo] = {}


@dataclass(frozen=True)
class PlannedRun:
    """One run.

    Attributes:
        workflow_id: its workflow's.
        invocation_id: dbt's.
        is_open: whether it goes on.
        place: the folder or URL of its artifacts; None where it has none, or was not planned.
        nodes: of its plan, by unique_id.
    """

    workflow_id: str
    invocation_id: str
    is_open: bool
    place: str | None = None
    nodes: Mapping[str, NodeInfo] = field(default_factory=lambda: _NO_NODES)


async def find_planned_run(client: Client, workflow_id: str) -> PlannedRun | None:
    """The newest run with a workflow id; None where there is none.

    Raises:
        DbtTemporalError: of type Configuration, where the server does not tell, or cannot be read.
    """
    try:
        description = await client.get_workflow_handle(workflow_id).describe()
        first = description.raw_info.first_run_id
        is_open = description.status == WorkflowExecutionStatus.RUNNING
        planned = await _plan_of(client, client.get_workflow_handle(workflow_id, run_id=first))
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise configuration_error(f"the server does not tell of {workflow_id!r}: {error.message}") from error
    except FailureError as error:  # a key is missing
        raise configuration_error(f"the plan of {workflow_id!r} cannot be read: {error}") from error
    if planned is None:
        return PlannedRun(workflow_id, first, is_open)
    return PlannedRun(workflow_id, first, is_open, planned.artifacts_place, planned.plan.nodes)


async def _plan_of(client: Client, handle: WorkflowHandle[object, object]) -> PlanProjectOutput | None:
    """The first plan of a run: another one that it takes later has the same place."""
    asked: set[int] = set()
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            attributes = event.activity_task_scheduled_event_attributes
            if attributes.activity_type.name == PLAN_PROJECT.name:
                asked.add(event.event_id)
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            answer = event.activity_task_completed_event_attributes
            if answer.scheduled_event_id in asked:
                (plan,) = await client.data_converter.decode(answer.result.payloads, [PlanProjectOutput])
                return plan if isinstance(plan, PlanProjectOutput) else None
    return None
