"""Where a run has left its artifacts, by its history: a cancelled one returns no output that says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client

from dbt_temporal.application.ports.runs import StoredRun
from dbt_temporal.application.steps.messages import StoreArtifactsOutput
from dbt_temporal.application.steps.table import STORE_ARTIFACTS
from dbt_temporal.domain.results import ArtifactPaths

PAGE_EVENTS = 100
MAX_PAGES = 5
"""Artifacts are stored at a run's end, and so stand among the last events of its history."""


async def stored_run(client: Client, workflow_id: str) -> StoredRun | None:
    """What the newest run with a workflow id has stored; None where its history does not say of anything.

    Raises:
        RPCError: the server does not tell.
        FailureError: what it tells cannot be read, as where a key is missing.
    """
    found: StoredRun | None = None
    answers: dict[int, Payloads] = {}
    async for event in _newest_events(client, workflow_id):
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            answers[completed.scheduled_event_id] = completed.result
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and event.event_id in answers:
            if event.activity_task_scheduled_event_attributes.activity_type.name != STORE_ARTIFACTS.name:
                continue
            (stored,) = await client.data_converter.decode(answers[event.event_id].payloads, [StoreArtifactsOutput])
            assert isinstance(stored, StoreArtifactsOutput)
            found = _before(found, stored)
            if stored.artifacts != ArtifactPaths(log_path=stored.artifacts.log_path):
                break  # what came after it was the log alone
    return found


def _before(later: StoredRun | None, stored: StoreArtifactsOutput) -> StoredRun:
    """What was stored in one step and in later ones."""
    paths = stored.artifacts
    if later is not None and later.artifacts.log_path is not None:
        paths = paths.model_copy(update={"log_path": later.artifacts.log_path})
    return StoredRun(paths, stored.report_path)


async def _newest_events(client: Client, workflow_id: str) -> AsyncIterator[HistoryEvent]:
    """The last events, the newest first."""
    token = b""
    for _ in range(MAX_PAGES):
        page = await client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=client.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id),
                maximum_page_size=PAGE_EVENTS,
                next_page_token=token,
            )
        )
        for event in page.history.events:
            yield event
        token = page.next_page_token
        if not token:
            return
