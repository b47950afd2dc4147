"""How large the history of a workflow is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client


@dataclass
class History:
    """The history of a workflow; sizes in bytes."""

    events: int = 0
    size: int = 0
    largest_payload: int = 0


async def read_history(client: Client, workflow_id: str, run_id: str | None) -> History:
    """Of a workflow that has ended, together with those that it started or that it went on as.

    Events and size are the server's own counts, which its limits hold for.
    """
    history = History()
    unread = [(workflow_id, run_id)]
    while unread:
        handle = client.get_workflow_handle(unread[-1][0], run_id=unread.pop()[1])
        told = (await handle.describe()).raw_description.workflow_execution_info
        history.events += told.history_length
        history.size += told.history_size_bytes
        async for event in handle.fetch_history_events():
            history.largest_payload = max(history.largest_payload, *_payload_sizes(event), 0)
            unread += _further_executions(handle.id, event)
    return history


def _further_executions(workflow_id: str, event: HistoryEvent) -> list[tuple[str, str | None]]:
    """Workflow id and run id of the execution that goes on, or begins, with the event."""
    if event.HasField("workflow_execution_continued_as_new_event_attributes"):
        return [(workflow_id, event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id)]
    if event.HasField("child_workflow_execution_started_event_attributes"):
        child = event.child_workflow_execution_started_event_attributes.workflow_execution
        return [(child.workflow_id, child.run_id)]
    return []


def _payload_sizes(value: Any) -> Iterator[int]:
    """The bytes of each payload in a message, or in a field of one, however deep."""
    if isinstance(value, Payload):
        yield value.ByteSize()
    elif isinstance(value, Message):
        for _, part in value.ListFields():
            yield from _payload_sizes(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _payload_sizes(part)
    elif hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        for part in value:
            yield from _payload_sizes(part)
