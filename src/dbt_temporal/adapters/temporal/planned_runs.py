"""What the history of a run says of it: where its artifacts lie, and which nodes it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.converter import DataConverter
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.payloads.plan_pieces import PIECE_SIGNAL, PlanInPieces, SentPieces, whole
from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.application.steps.table import PLAN_PROJECT
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.invocation import is_invocation_id
from dbt_temporal.domain.run.plan import NodeInfo

_NO_NODES: Mapping[str, NodeInfo] = {}
_REFERENCES = ("retry_from", "state_manifest_ref", "defer_manifest_ref", "sources_ref")
"""Fields of a run's input that name artifacts of earlier runs."""


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


async def begun_with(client: Client, workflow_id: str, first_run_id: str) -> set[str]:
    """Invocation ids of earlier runs of which a run reads artifacts: those that its input names, and its plan, which
    has places where the input says `latest`.

    Args:
        client: of the server.
        workflow_id: the run's.
        first_run_id: its first execution's.

    Raises:
        RPCError: the server does not tell.
        FailureError: what it tells cannot be read.
        DbtTemporalError: of type Configuration, where a key is missing.
    """
    planning = await _planning(client, client.get_workflow_handle(workflow_id, run_id=first_run_id))
    named = [planning.asked.get(name) for name in _REFERENCES]
    if planning.answer is not None:
        named += [getattr(planning.answer.invocation.input, name) for name in _REFERENCES]
    parts = [part for each in named if isinstance(each, str) for part in each.split("/")]
    return {part for part in parts if is_invocation_id(part)}


async def _plan_of(client: Client, handle: WorkflowHandle[object, object]) -> PlanProjectOutput | None:
    """The first plan of a run: another one that it takes later has the same place."""
    planning = await _planning(client, handle)
    if not isinstance(planning.answer, PlanInPieces):
        return planning.answer
    try:
        *_, plan = whole(planning.answer, planning.pieces.all_of(planning.answer))
    except ValueError as error:
        raise configuration_error(f"the plan of {handle.id!r} cannot be read: {error}") from error
    return plan


@dataclass
class _Planning:
    """What a history has up to its first plan: the run's input as it was given, pieces, and the step's answer."""

    asked: Mapping[str, object] = field(default_factory=dict)
    pieces: SentPieces = field(default_factory=SentPieces)
    answer: PlanInPieces | PlanProjectOutput | None = None


async def _planning(client: Client, handle: WorkflowHandle[object, object]) -> _Planning:
    found, asked = _Planning(), set[int]()
    converter = client.data_converter
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            arguments = event.workflow_execution_started_event_attributes.input.payloads
            with suppress(FailureError):  # what nobody can read has no plan either
                given = (await converter.decode(arguments))[:1]
                found.asked = given[0] if given and isinstance(given[0], dict) else {}
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            attributes = event.activity_task_scheduled_event_attributes
            if attributes.activity_type.name == PLAN_PROJECT.name:
                asked.add(event.event_id)
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            signal = event.workflow_execution_signaled_event_attributes
            if signal.signal_name == PIECE_SIGNAL:
                found.pieces.take(*await converter.decode(signal.input.payloads, [str, int, bytes]))
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            answer = event.activity_task_completed_event_attributes
            if answer.scheduled_event_id in asked:
                found.answer = await _answer(converter, answer.result.payloads)
                break
    return found


async def _answer(converter: DataConverter, payloads: Sequence[Payload]) -> PlanInPieces | PlanProjectOutput:
    """What the step has answered: the plan, or of a large one what tells of the pieces."""
    try:
        (told,) = await converter.decode(payloads, [PlanInPieces])
    except FailureError:
        (told,) = await converter.decode(payloads, [PlanProjectOutput])
    assert isinstance(told, PlanInPieces | PlanProjectOutput)
    return told
