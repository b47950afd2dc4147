"""The runs that a namespace knows, as Temporal's visibility has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.client import Client, WorkflowExecution
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.gateway import COMMAND_MEMO, WORKFLOW_TYPE
from dbt_temporal.adapters.temporal.planned_runs import begun_with
from dbt_temporal.adapters.temporal.workflow_ids import named_in_id
from dbt_temporal.application.stored.retention import OpenRuns
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

STATUS_ATTRIBUTE = "DbtStatus"

_BY_EXECUTION = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING: "running",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: "passed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: "failed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: "cancelled",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: "terminated",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "timed out",
}
_LONG_AGO = datetime.fromtimestamp(0, UTC)
_MORE_EXACT = {"running": ("held",), "passed": ("skipped",)}
"""What DbtStatus may say beside the status of the workflow."""


@dataclass(frozen=True)
class KnownRun:
    """One run.

    Attributes:
        workflow_id: its workflow's.
        run_id: of that execution.
        project: empty where nobody has named it, and the run was not planned.
        command: dbt's, as the run's input names it.
        select: its selection, where it has one.
        status: one of RUN_STATUSES.
        started_at: when.
        ended_at: None where it goes on.
    """

    workflow_id: str
    run_id: str
    project: str
    command: str
    select: str
    status: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class UnderWay:
    """Since when what goes on of a run has done so.

    Attributes:
        begun_at: when the run began, in its first execution.
        ended_at: None where it goes on.
        attempts: attempts at nodes, by the ids of their activities.
    """

    begun_at: datetime
    ended_at: datetime | None
    attempts: Mapping[str, datetime]


class KnownRuns:
    """The runs of one task queue."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def newest(
        self, limit: int, *, since: datetime, project: str | None = None, status: str | None = None
    ) -> list[KnownRun]:
        """The newest ones, newest first.

        Args:
            limit: how many at most.
            since: those that began after this.
            project: those of this project alone.
            status: those with this status alone, one of RUN_STATUSES.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not say.
        """
        query = f"{runs_of(self._task_queue)} AND StartTime > '{since.isoformat()}'"
        return await self._found(query, limit, project, status)

    async def _found(self, query: str, limit: int, project: str | None, status: str | None) -> list[KnownRun]:
        found: list[KnownRun] = []
        try:
            async for execution in self._client.list_workflows(query):
                run = await _known_run(execution)
                if project in (None, run.project) and status in (None, run.status):
                    found.append(run)
                if len(found) == limit:
                    break
        except RPCError as error:
            raise configuration_error(f"the server does not list runs: {error.message}") from error
        return found

    async def open_ones(self, limit: int, *, project: str | None = None) -> list[KnownRun]:
        """Those that go on, newest first, whenever they began. See `newest`."""
        return await self._found(f"{runs_of(self._task_queue)} AND ExecutionStatus = 'Running'", limit, project, None)

    async def begun_as(self, invocation_id: str) -> KnownRun | None:
        """The run with an invocation id, which is the id of its first execution; None where none is known any more.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not say.
        """
        try:
            async for execution in self._client.list_workflows(f"RunId = '{invocation_id}'"):
                # It may have gone on in further executions; its id may have been given to another run since.
                newest = await self._client.get_workflow_handle(execution.id).describe()
                is_it = newest.raw_info.first_run_id == invocation_id
                return await _known_run(newest if is_it else execution)
        except RPCError as error:
            raise configuration_error(f"the server does not tell of {invocation_id}: {error.message}") from error
        return None

    async def under_way(self, workflow_id: str) -> UnderWay:
        """Since when a run and its activities have been going on. Raises as `known` does."""
        handle = self._client.get_workflow_handle(workflow_id)
        try:
            described = await handle.describe()
            _, begun_at = await _first_execution(self._client, described)
        except RPCError as error:
            raise _not_told(workflow_id, error) from error
        pending = described.raw_description.pending_activities
        times = {
            each.activity_id: each.last_started_time if each.HasField("last_started_time") else each.scheduled_time
            for each in pending
        }
        # Where the first execution is not known any more, this one's beginning is the best that there is.
        begun_at = max(begun_at, described.start_time) if begun_at == _LONG_AGO else begun_at
        return UnderWay(begun_at, described.close_time, {name: time.ToDatetime(UTC) for name, time in times.items()})

    async def known(self, workflow_id: str) -> KnownRun:
        """One of them.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not say.
        """
        try:
            return await _known_run(await self._client.get_workflow_handle(workflow_id).describe())
        except RPCError as error:
            raise _not_told(workflow_id, error) from error


def _not_told(workflow_id: str, error: RPCError) -> DbtTemporalError:
    return configuration_error(f"the server does not tell of the run {workflow_id!r}: {error.message}")


async def open_runs(client: Client) -> OpenRuns:
    """The runs of a namespace that go on, of all task queues, with the earlier runs that they read artifacts of.

    Raises:
        DbtTemporalError: of type Configuration, where the server does not say.
    """
    query = f"WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'"
    begun: dict[str, datetime] = {}
    read: set[str] = set()
    try:
        async for execution in client.list_workflows(query):
            first, at = await _first_execution(client, execution)
            begun[first] = at
            read |= await _earlier_runs(client, execution.id, first)
    except RPCError as error:
        raise configuration_error(f"the server does not list runs: {error.message}") from error
    return OpenRuns(frozenset(begun) | read, min(begun.values(), default=None))


async def _earlier_runs(client: Client, workflow_id: str, first_run_id: str) -> set[str]:
    """As far as the server knows the run's beginning, and the keys to read it are here."""
    try:
        return await begun_with(client, workflow_id, first_run_id)
    except (FailureError, DbtTemporalError):
        return set()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return set()


async def _first_execution(client: Client, execution: WorkflowExecution) -> tuple[str, datetime]:
    """The id of a run's first execution, and when that began. Where the server does not know any more, long ago."""
    first, at = execution.run_id, execution.start_time
    try:
        found = await client.get_workflow_handle(execution.id, run_id=first).describe()
        first = found.raw_info.first_run_id
        if first != execution.run_id:  # it has gone on in this execution
            at = _LONG_AGO
            at = (await client.get_workflow_handle(execution.id, run_id=first).describe()).start_time
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    return first, at


def runs_of(task_queue: str) -> str:
    """The runs of a task queue, as a visibility query; more conditions may follow."""
    quoted = task_queue.replace("\\", "\\\\").replace("'", "\\'")
    # A run that goes on in another execution is that one.
    return f"WorkflowType = '{WORKFLOW_TYPE}' AND TaskQueue = '{quoted}' AND ExecutionStatus != 'ContinuedAsNew'"


async def _known_run(execution: WorkflowExecution) -> KnownRun:
    asked = await _memo(execution)
    command, project = named_in_id(execution.id)
    status = _BY_EXECUTION.get(execution.raw_info.status, "running")
    said = _said(execution, STATUS_ATTRIBUTE)
    if said in _MORE_EXACT.get(status, ()):
        status = said
    return KnownRun(
        workflow_id=execution.id,
        run_id=execution.run_id,
        project=str(asked.get("project") or _said(execution, "DbtProject") or project),
        command=str(asked.get("command") or _said(execution, "DbtCommand") or command),
        select=str(asked.get("select") or ""),
        status=status,
        started_at=execution.start_time,
        ended_at=execution.close_time,
    )


def _said(execution: WorkflowExecution, attribute: str) -> str:
    """What a search attribute says, which is never encrypted; empty where there is none."""
    values = execution.search_attributes.get(attribute)
    return str(values[0]) if values else ""


async def _memo(execution: WorkflowExecution) -> dict[str, Any]:
    """What was asked for; nothing where the keys to read it are not here."""
    try:
        asked = await execution.memo_value(COMMAND_MEMO, {})
    except (FailureError, DbtTemporalError):
        return {}
    return asked if isinstance(asked, dict) else {}
