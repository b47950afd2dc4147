"""The history of a run, as its code had it: turn by turn, what came in, and what was asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.common import RawValue
from temporalio.converter import DataConverter
from temporalio.exceptions import (
    CancelledError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowAlreadyStartedError,
)

from dbt_temporal.adapters.temporal.executions.references import digest_of_part
from dbt_temporal.adapters.temporal.leases.messages import GRANTED_SIGNAL
from dbt_temporal.adapters.temporal.payloads.plan_pieces import PIECE_SIGNAL, SentPieces
from dbt_temporal.adapters.temporal.workflow.runtime import is_of_workflow
from dbt_temporal.application.run.updates import UPDATES


class Command(NamedTuple):
    """What the run has asked for: the so-and-so-many-th of its kind and name."""

    kind: str
    """`step`, `hook`, `start of hook` or `sleep`."""
    name: str
    number: int


@dataclass(frozen=True)
class Answer:
    """How a command ended: by a value, by a failure, or with neither (a sleep, an empty result)."""

    value: RawValue | None = None
    failure: BaseException | None = None


@dataclass
class Turn:
    """What the run's code was told at one moment, in one workflow task, and what it asked for then.

    Attributes:
        time: what `now` was.
        events: the length of the history.
        size: its bytes.
        answers: to earlier commands, in their order.
        cancelled: whether the run was asked to stop.
        updates: names and arguments of those that were carried out.
        has_word: whether it was signalled that its lease is granted.
        commands: what the code asked for then.
    """

    time: datetime
    events: int
    size: int
    answers: list[tuple[Command, Answer]] = field(default_factory=list)
    cancelled: bool = False
    updates: list[tuple[str, list[Any]]] = field(default_factory=list)
    has_word: bool = False
    commands: list[Command] = field(default_factory=list)


@dataclass
class RunHistory:
    """The whole of it.

    Attributes:
        workflow_id: the workflow's.
        run_id: of this execution.
        first_run_id: of the first execution of the chain, which is the invocation id.
        arguments: of the workflow.
        goes_on: whether it continues another execution.
        turns: all that its code has seen.
        rest: what had come in and no worker has taken up; its time is that of the end.
        ending: in words how it was ended from outside; None where it was not.
        pieces: of plans, by the end of the history.
        parts: of what it carries, by their digests, as far as they are in this history.
        continued_run_id: the execution that it continues.
        next_run_id: the execution that goes on with the same invocation (after a reset), if there is one.
    """

    workflow_id: str
    run_id: str
    first_run_id: str = ""
    arguments: list[Any] = field(default_factory=list)
    goes_on: bool = False
    turns: list[Turn] = field(default_factory=list)
    rest: Turn = field(default_factory=lambda: Turn(datetime.now(UTC), 0, 0))
    ending: str | None = None
    pieces: SentPieces = field(default_factory=SentPieces)
    parts: dict[bytes, bytes] = field(default_factory=dict)
    continued_run_id: str | None = None
    next_run_id: str | None = None

    @property
    def argument(self) -> Any:
        """The run's input."""
        return self.arguments[0] if self.arguments else None


async def read_history(
    workflow_id: str, run_id: str, events: AsyncIterable[HistoryEvent], converter: DataConverter
) -> RunHistory:
    """Reads the history of one execution.

    Raises:
        RPCError: there is none, or the server does not answer.
        ApplicationError: of type Configuration, where something in it cannot be decoded.
    """
    reader = _Reader(RunHistory(workflow_id, run_id), converter)
    async for event in events:
        await reader.take(event)
    return reader.history


class _Reader:
    def __init__(self, history: RunHistory, converter: DataConverter) -> None:
        self.history = history
        self._converter = converter
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._commands: dict[int, Command] = {}
        self._hook_starts: dict[int, Command] = {}
        self._began: HistoryEvent | None = None
        self._readers = _readers(self)

    async def take(self, event: HistoryEvent) -> None:
        self.history.rest.time = _time(event)
        read = self._readers.get(event.event_type)
        if read is not None:
            await read(event)

    async def started(self, event: HistoryEvent) -> None:
        attributes = event.workflow_execution_started_event_attributes
        self.history.first_run_id = attributes.first_execution_run_id
        self.history.goes_on = bool(attributes.continued_execution_run_id)
        self.history.continued_run_id = attributes.continued_execution_run_id or None
        self.history.arguments = await self._converter.decode(attributes.input.payloads)

    async def task_started(self, event: HistoryEvent) -> None:
        self._began = event

    async def task_completed(self, _event: HistoryEvent) -> None:
        """What has come in until the task began was told in it; commands follow."""
        began, turn = self._began, self.history.rest
        if began is None:
            return
        turn.time, turn.events = _time(began), began.event_id
        turn.size = began.workflow_task_started_event_attributes.history_size_bytes
        self.history.turns.append(turn)
        self.history.rest = Turn(turn.time, 0, 0)

    async def cancelled(self, _event: HistoryEvent) -> None:
        self.history.rest.cancelled = True

    async def signalled(self, event: HistoryEvent) -> None:
        attributes = event.workflow_execution_signaled_event_attributes
        if attributes.signal_name == GRANTED_SIGNAL:
            self.history.rest.has_word = True
        elif attributes.signal_name == PIECE_SIGNAL:
            piece = await self._converter.decode(attributes.input.payloads, [str, int, bytes])
            self.history.pieces.take(*piece)
            self.history.parts[digest_of_part(piece[-1])] = piece[-1]

    async def updated(self, event: HistoryEvent) -> None:
        """An update is accepted in the task that it was brought by."""
        called = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        if called.name in UPDATES and self.history.turns:
            arguments = await self._converter.decode(called.args.payloads)
            self.history.turns[-1].updates.append((called.name, arguments))

    async def step_asked(self, event: HistoryEvent) -> None:
        self._asked(event, "step", event.activity_task_scheduled_event_attributes.activity_type.name)

    async def sleep_asked(self, event: HistoryEvent) -> None:
        """The run's own pauses. What the workflow waits for besides, to show changes, is told by its summary."""
        summary = ""
        if event.user_metadata.HasField("summary"):
            (summary,) = await self._converter.decode([event.user_metadata.summary], [str])
        if not is_of_workflow(summary):
            self._asked(event, "sleep", "")

    async def hook_asked(self, event: HistoryEvent) -> None:
        workflow_id = event.start_child_workflow_execution_initiated_event_attributes.workflow_id
        self._asked(event, "start of hook", workflow_id)
        self._hook_starts[event.event_id] = self._commands[event.event_id]
        self._commands[event.event_id] = self._next("hook", workflow_id)

    def _asked(self, event: HistoryEvent, kind: str, name: str) -> None:
        command = self._next(kind, name)
        self._commands[event.event_id] = command
        if self.history.turns:
            self.history.turns[-1].commands.append(command)

    def _next(self, kind: str, name: str) -> Command:
        self._numbers[kind, name] += 1
        return Command(kind, name, self._numbers[kind, name])

    async def step_completed(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_completed_event_attributes
        self._answered(attributes.scheduled_event_id, Answer(await self._value(attributes.result)))

    async def step_failed(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_failed_event_attributes
        self._answered(attributes.scheduled_event_id, await self._failure(attributes.failure))

    async def step_timed_out(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_timed_out_event_attributes
        self._answered(attributes.scheduled_event_id, await self._failure(attributes.failure))

    async def step_cancelled(self, event: HistoryEvent) -> None:
        scheduled = event.activity_task_canceled_event_attributes.scheduled_event_id
        self._answered(scheduled, Answer(failure=asyncio.CancelledError()))

    async def slept(self, event: HistoryEvent) -> None:
        started = event.timer_fired_event_attributes.started_event_id
        if started in self._commands:
            self._answered(started, Answer())

    async def hook_started(self, event: HistoryEvent) -> None:
        initiated = event.child_workflow_execution_started_event_attributes.initiated_event_id
        self.history.rest.answers.append((self._hook_starts[initiated], Answer()))

    async def hook_not_started(self, event: HistoryEvent) -> None:
        initiated = event.start_child_workflow_execution_failed_event_attributes.initiated_event_id
        error = WorkflowAlreadyStartedError(self._hook_starts[initiated].name, "")
        self.history.rest.answers.append((self._hook_starts[initiated], Answer(failure=error)))

    async def hook_completed(self, event: HistoryEvent) -> None:
        attributes = event.child_workflow_execution_completed_event_attributes
        self._answered(attributes.initiated_event_id, Answer(await self._value(attributes.result)))

    async def hook_failed(self, event: HistoryEvent) -> None:
        attributes = event.child_workflow_execution_failed_event_attributes
        self._answered(attributes.initiated_event_id, await self._failure(attributes.failure))

    async def hook_cancelled(self, event: HistoryEvent) -> None:
        initiated = event.child_workflow_execution_canceled_event_attributes.initiated_event_id
        self._answered(initiated, Answer(failure=CancelledError("Cancelled")))

    async def hook_timed_out(self, event: HistoryEvent) -> None:
        initiated = event.child_workflow_execution_timed_out_event_attributes.initiated_event_id
        error = TimeoutError("timed out", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[])
        self._answered(initiated, Answer(failure=error))

    async def hook_terminated(self, event: HistoryEvent) -> None:
        initiated = event.child_workflow_execution_terminated_event_attributes.initiated_event_id
        self._answered(initiated, Answer(failure=TerminatedError("terminated")))

    async def terminated(self, event: HistoryEvent) -> None:
        attributes = event.workflow_execution_terminated_event_attributes
        by = f" by {attributes.identity}" if attributes.identity else ""
        reason = f": {attributes.reason}" if attributes.reason else ""
        self.history.ending = f"terminated{by}{reason}"

    async def timed_out(self, event: HistoryEvent) -> None:
        self.history.ending = "out of time (a timeout of the workflow)"
        self.history.next_run_id = event.workflow_execution_timed_out_event_attributes.new_execution_run_id or None

    def _answered(self, event_id: int, answer: Answer) -> None:
        self.history.rest.answers.append((self._commands[event_id], answer))

    async def _value(self, payloads: Payloads) -> RawValue | None:
        if not payloads.payloads:
            return None
        first: list[Payload] = [payloads.payloads[0]]
        value: RawValue = (await self._converter.decode(first, [RawValue]))[0]
        return value

    async def _failure(self, failure: Failure) -> Answer:
        return Answer(failure=await self._converter.decode_failure(failure))


def _readers(reader: _Reader) -> dict[int, Callable[[HistoryEvent], Awaitable[None]]]:
    kind = EventType
    return {
        kind.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: reader.started,
        kind.EVENT_TYPE_WORKFLOW_TASK_STARTED: reader.task_started,
        kind.EVENT_TYPE_WORKFLOW_TASK_COMPLETED: reader.task_completed,
        kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: reader.cancelled,
        kind.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: reader.signalled,
        kind.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: reader.updated,
        kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: reader.step_asked,
        kind.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: reader.step_completed,
        kind.EVENT_TYPE_ACTIVITY_TASK_FAILED: reader.step_failed,
        kind.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: reader.step_timed_out,
        kind.EVENT_TYPE_ACTIVITY_TASK_CANCELED: reader.step_cancelled,
        kind.EVENT_TYPE_TIMER_STARTED: reader.sleep_asked,
        kind.EVENT_TYPE_TIMER_FIRED: reader.slept,
        kind.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: reader.hook_asked,
        kind.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED: reader.hook_not_started,
        kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: reader.hook_started,
        kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: reader.hook_completed,
        kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: reader.hook_failed,
        kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: reader.hook_cancelled,
        kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: reader.hook_timed_out,
        kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: reader.hook_terminated,
        kind.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: reader.terminated,
        kind.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: reader.timed_out,
    }


def _time(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime(tzinfo=UTC)
