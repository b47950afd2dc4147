"""What the history of a workflow says: its size, its billable actions, and when its nodes began and ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

_ACTIONS = {
    "workflow_execution_started_event_attributes": 1,  # a run, one that it went on as, and a child
    "start_child_workflow_execution_initiated_event_attributes": 1,  # a child costs two: the other one is its own start
    "timer_started_event_attributes": 1,
    "upsert_workflow_search_attributes_event_attributes": 1,
    "workflow_execution_signaled_event_attributes": 1,
    "workflow_execution_update_accepted_event_attributes": 1,
    "workflow_execution_update_rejected_event_attributes": 1,
    "nexus_operation_scheduled_event_attributes": 1,
}
"""What Temporal Cloud bills of each event (docs.temporal.io/cloud/actions). Activities: one for each attempt."""


@dataclass
class History:
    """The history of a run; sizes in bytes, instants in seconds since the first event.

    Attributes:
        events, size: of all its executions together.
        most_events, most_size: of the largest one.
        executions: of the run itself, and the workflows that it started.
        actions: billable ones, without heartbeats and queries, which are in no history.
        nodes_began, nodes_ended: when the first node was scheduled, and the last one completed.
        steps: how long each step that is no node took, from when it was scheduled until it had completed; by its name.
    """

    events: int = 0
    size: int = 0
    most_events: int = 0
    most_size: int = 0
    executions: int = 0
    largest_payload: int = 0
    actions: int = 0
    nodes_began: float | None = None
    nodes_ended: float | None = None
    steps: dict[str, float] = field(default_factory=dict)
    _began: datetime | None = field(default=None, repr=False)

    def take(self, event: HistoryEvent, scheduled: dict[int, tuple[str, float]]) -> None:
        """Counts an event.

        Args:
            event: the next one.
            scheduled: the events that scheduled activities in this execution, by id: their names, and when that was.
        """
        self.largest_payload = max(self.largest_payload, *_payload_sizes(event), 0)
        self.actions += _ACTIONS.get(event.WhichOneof("attributes") or "", 0)
        if event.HasField("activity_task_started_event_attributes"):
            # Attempts that failed and were tried again by the server have no events of their own.
            self.actions += max(event.activity_task_started_event_attributes.attempt, 1)
        elif event.HasField("marker_recorded_event_attributes"):
            self.actions += event.marker_recorded_event_attributes.marker_name != "core_patch"
        self._began = self._began or event.event_time.ToDatetime()
        now = (event.event_time.ToDatetime() - self._began).total_seconds()
        # Nodes are called <resource_type>:<name>; other steps have no colon.
        name = event.activity_task_scheduled_event_attributes.activity_type.name
        if name:
            scheduled[event.event_id] = name, now
            if ":" in name and self.nodes_began is None:
                self.nodes_began = now
        completed = scheduled.get(event.activity_task_completed_event_attributes.scheduled_event_id)
        if completed is not None:
            name, began = completed
            if ":" in name:
                self.nodes_ended = now
            else:
                self.steps[name] = self.steps.get(name, 0.0) + now - began


async def read_history(client: Client, workflow_id: str, run_id: str | None) -> History:
    """Of a workflow that has ended, together with those that it started or that it went on as.

    Events and size are the server's own counts, which its limits hold for.
    """
    history = History()
    unread = [(workflow_id, run_id)]
    while unread:
        handle = client.get_workflow_handle(unread[-1][0], run_id=unread.pop()[1])
        told = (await handle.describe()).raw_description.workflow_execution_info
        history.executions += 1
        history.events += told.history_length
        history.size += told.history_size_bytes
        history.most_events = max(history.most_events, told.history_length)
        history.most_size = max(history.most_size, told.history_size_bytes)
        scheduled: dict[int, tuple[str, float]] = {}
        async for event in handle.fetch_history_events():
            history.take(event, scheduled)
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
