"""Runs as a caller sees them: submit, follow, cancel, and how they ended. Implements the ports in `ports.runs`."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    FailureError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from temporalio.exceptions import TimeoutError as WorkflowTimeoutError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.connection.connect import RETRY_PAUSE_SECS
from dbt_temporal.adapters.temporal.connection.polling import pollers
from dbt_temporal.adapters.temporal.failures import read_run_output
from dbt_temporal.adapters.temporal.stored_places import stored_run
from dbt_temporal.adapters.temporal.telemetry.steps import SpanFactory, no_span
from dbt_temporal.application.ports.runs import Ending, Outcome, Snapshot, StoredRun
from dbt_temporal.domain.details.headline import run_summary
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.log.said import SaidEvent
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput

logger = logging.getLogger(__name__)

WORKFLOW_TYPE = "dbt_run"
COMMAND_MEMO = "command"
_ASKED = ("command", "project", "select")
_ASKED_CHARS = 1000
DEFAULT_TASK_QUEUE = "dbt-tasks"
QUERY_TIMEOUT = timedelta(seconds=2)
"""A query waits for a worker; a reader would rather hear that there is none."""
SNAPSHOT_SECS = 6.0
REQUEST_SECS = 10.0
"""Of a whole call: the time limit of the SDK is that of one of its attempts, which go on while a server is away."""
ANSWER_SECS = 1.5
"""After so much time without an answer to the least of questions, a server counts as away."""
WORKER_SEEN_WITHIN_SECS = 75.0
"""A worker that polls is heard of once in the long poll's minute."""

_LASTING = (
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.UNIMPLEMENTED,
)
"""What the server says for good; of all else, waiting may help."""

WHOLE_ANSWER_CHARS = 200_000
"""An answer with fewer characters of a run's log has all of it; the longest have 1.5 MB."""

_AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
"""What is said in place of a server that does not answer."""

_COUNTED = ("succeeded", "failed", "skipped", "running")


class TemporalRunGateway:
    """Submits runs to one task queue, each in a span where `spans` makes some."""

    def __init__(self, client: Client, task_queue: str, spans: SpanFactory = no_span) -> None:
        self._client = client
        self._task_queue = task_queue
        self._spans = spans

    @property
    def place(self) -> str:
        server = self._client.service_client.config.target_host
        return f"the task queue {self._task_queue!r} (namespace {self._client.namespace!r} at {server})"

    async def submit(
        self, run_input: DbtRunInput | Mapping[str, Any] | None, workflow_id: str, *, summary: str | None = None
    ) -> TemporalRun:
        if isinstance(run_input, DbtRunInput):
            run_input = run_input.model_dump(mode="json", exclude_unset=True)
        facts = {"command": str((run_input or {}).get("command", "build")), "workflow_id": workflow_id}
        try:
            with self._spans(f"submit dbt {facts['command']}", facts):
                handle = await self._client.start_workflow(
                    WORKFLOW_TYPE,
                    args=[] if run_input is None else [dict(run_input)],
                    id=workflow_id,
                    task_queue=self._task_queue,
                    memo={COMMAND_MEMO: asked_for(run_input or {})},
                    static_summary=summary or run_summary(run_input or {}),
                )
        except WorkflowAlreadyStartedError as error:
            raise configuration_error(
                f"a workflow with the id {workflow_id!r} is running already; "
                f"{shlex.join(['dbt-temporal', 'attach', workflow_id])!r} follows it"
            ) from error
        except RPCError as error:
            raise configuration_error(f"{self.place} does not take the run: {error}") from error
        return TemporalRun(handle)

    def find(self, workflow_id: str, run_id: str | None = None) -> TemporalRun:
        return TemporalRun(self._client.get_workflow_handle(workflow_id, run_id=run_id))

    async def invocation_id(self, workflow_id: str) -> str:
        return (await self._described(workflow_id)).raw_info.first_run_id

    async def goes_on(self, workflow_id: str) -> bool:
        """Whether a run has not ended yet. Raises as `invocation_id` does."""
        return (await self._described(workflow_id)).status is WorkflowExecutionStatus.RUNNING

    async def _described(self, workflow_id: str) -> WorkflowExecutionDescription:
        try:
            async with asyncio.timeout(REQUEST_SECS):
                return await self._client.get_workflow_handle(workflow_id).describe()
        except (RPCError, TimeoutError) as error:
            if _is_unknown(error):
                raise _unknown_run(self.place, workflow_id) from error
            raise configuration_error(f"{self.place}: cannot tell of the run {workflow_id!r}: {error}") from error

    async def stored(self, workflow_id: str) -> StoredRun | None:
        try:
            async with asyncio.timeout(REQUEST_SECS):
                return await stored_run(self._client, workflow_id)
        except (RPCError, TimeoutError, FailureError) as error:
            logger.warning("%s does not tell what the run %r has stored: %s", self.place, workflow_id, error)
            return None

    async def answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECS):
                await self._client.workflow_service.get_system_info(GetSystemInfoRequest(), retry=False)
        except TimeoutError:
            return False
        except RPCError as error:
            return error.status not in _AWAY
        return True

    async def has_workers(self) -> bool:
        try:
            async with asyncio.timeout(REQUEST_SECS):
                return bool(await pollers(self._client, self._task_queue, WORKER_SEEN_WITHIN_SECS))
        except (RPCError, TimeoutError):
            return True


class TemporalRun:
    """One run. See `SubmittedRun`."""

    pause_secs = RETRY_PAUSE_SECS

    def __init__(self, handle: WorkflowHandle[Any, Any]) -> None:
        self.handle = handle
        self._log_lines_seen = 0
        self._lines: list[str] = []
        """Of the log, what was asked for and has been in no snapshot."""
        self._numbered_seen = 0
        self._said: list[SaidEvent] = []
        """What was said in those lines, as far as it was asked for: up to the line `_said_asked`."""
        self._said_asked = 0

    @property
    def workflow_id(self) -> str:
        return self.handle.id

    async def snapshot(self, *, with_nodes: bool, with_events: bool = False) -> Snapshot | None:
        try:
            async with asyncio.timeout(SNAPSHOT_SECS):
                # The log first: what the counts say, and which nodes have numbers, is not behind its lines then.
                await self._ask_for_lines()
                new_lines = self._lines
                numbered = await self._newly_numbered() if with_events and new_lines else []
                if with_events:
                    await self._ask_for_said()
                nodes = await self._node_status() if with_nodes else {}
                status: Mapping[str, Any] = await self._query("run_status")
        except (RPCError, TimeoutError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None
        first, said = self._log_lines_seen - len(new_lines), self._said
        self._lines, self._said, self._said_asked = [], [], self._log_lines_seen
        self._numbered_seen += len(numbered)
        return Snapshot(
            phase=status["phase"],
            total_nodes=status["total_nodes"],
            counts={name: status[name] for name in _COUNTED},
            node_status=nodes,
            new_log_lines=new_lines,
            new_numbered=numbered,
            new_said=[event.model_copy(update={"line": event.line - first}) for event in said],
        )

    async def _ask_for_lines(self) -> None:
        """Asks for the lines that nobody has asked for, in several answers where they are many."""
        while True:
            some: list[str] = await self._query("run_log", self._log_lines_seen)
            self._log_lines_seen += len(some)
            self._lines += some
            if sum(map(len, some)) < WHOLE_ANSWER_CHARS:
                return

    async def _node_status(self) -> Mapping[str, str]:
        """Nothing where there are too many for an answer: the counts tell how far the run is."""
        try:
            nodes: Mapping[str, str] = await self._query("node_status")
        except WorkflowQueryFailedError:
            return {}
        return nodes

    async def _newly_numbered(self) -> list[str]:
        try:
            numbered: list[str] = await self._query("numbered_nodes", self._numbered_seen)
        except WorkflowQueryFailedError:  # a worker of a release that does not know the query
            return []
        return numbered

    async def _ask_for_said(self) -> None:
        """Asks for what was said in lines that are in no snapshot yet, in several answers where it is much."""
        while self._said_asked < self._log_lines_seen:
            try:
                some = await self._query("said_events", self._said_asked, self._log_lines_seen)
            except WorkflowQueryFailedError:  # a worker of a release that does not know the query
                some = []
            self._said += [SaidEvent.model_validate(event) for event in some]
            is_all = sum(len(str(event)) for event in some) < WHOLE_ANSWER_CHARS
            self._said_asked = self._log_lines_seen if is_all else self._said[-1].line + 1

    async def _query(self, name: str, *arguments: Any) -> Any:
        return await self.handle.query(name, args=arguments, rpc_timeout=QUERY_TIMEOUT)

    async def outcome(self) -> Outcome:
        noted = False
        while True:
            try:
                return Outcome(Ending.COMPLETED, DbtRunOutput.model_validate(await self.handle.result()))
            except WorkflowFailureError as failure:
                outcome = _outcome_of(failure.cause)
                if outcome.ending is Ending.CANCELLED:
                    return replace(outcome, output=await self._cancelled_output())
                return outcome
            except RPCError as error:
                if error.status in _LASTING:
                    raise self._out_of_reach(error) from error
                if not noted:
                    # Whoever follows the run tells of it (`answers`); a line of the log would tear a live view.
                    logger.info("Temporal does not answer (%s). The run is followed again when it does.", error)
                    noted = True
            await asyncio.sleep(self.pause_secs)

    async def _cancelled_output(self) -> DbtRunOutput | None:
        """What a run that was cancelled came to, of which its end says nothing; None where no worker answers."""
        try:
            async with asyncio.timeout(REQUEST_SECS):
                answer = await self.handle.query("cancelled_output", rpc_timeout=timedelta(seconds=REQUEST_SECS))
        except (RPCError, TimeoutError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None
        return None if answer is None else DbtRunOutput.model_validate(answer)

    async def cancel(self) -> None:
        """Asks the run to stop; nothing happens where it has ended. See `SubmittedRun.cancel`."""
        await self._if_running(self.handle.cancel())

    async def terminate(self, reason: str) -> None:
        """Ends the workflow at once; nothing happens where it has ended. See `SubmittedRun.terminate`."""
        await self._if_running(self.handle.terminate(reason=reason))

    async def _if_running(self, request: Any) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECS):
                await request
        except RPCError as error:
            if not _is_unknown(error):
                raise self._out_of_reach(error) from error
        except TimeoutError as error:
            raise self._out_of_reach(f"not within {REQUEST_SECS:g} seconds") from error

    def _out_of_reach(self, reason: object) -> DbtTemporalError:
        if _is_unknown(reason):
            return _unknown_run("Temporal", self.workflow_id)
        return configuration_error(
            f"Temporal does not answer for the run {self.workflow_id!r} ({reason}). If it is there, it goes on."
        )


def _is_unknown(reason: object) -> bool:
    """Whether the server has said that it has no such workflow."""
    return isinstance(reason, RPCError) and reason.status == RPCStatusCode.NOT_FOUND


def _unknown_run(place: str, workflow_id: str) -> DbtTemporalError:
    return configuration_error(f"{place} has no run {workflow_id!r}; `dbt-temporal runs` lists those that there are")


def _outcome_of(cause: BaseException) -> Outcome:
    if isinstance(cause, ApplicationError):
        return Outcome(Ending.FAILED, read_run_output(cause), cause.type, cause.message)
    if isinstance(cause, CancelledError):
        return Outcome(Ending.CANCELLED, message="the run was cancelled")
    if isinstance(cause, TerminatedError):
        return Outcome(Ending.TERMINATED, message=cause.message)
    if isinstance(cause, WorkflowTimeoutError):
        return Outcome(Ending.TIMED_OUT, message="the workflow ran out of time")
    return Outcome(Ending.FAILED, message=str(cause))


def asked_for(run_input: Mapping[str, Any]) -> dict[str, str]:
    """The memo `command` of a run that begins, by which it is found before it is planned; the plan writes it whole."""
    given = {"command": "build", **run_input}
    return {name: given[name][:_ASKED_CHARS] for name in _ASKED if isinstance(given.get(name), str)}
