"""Giving a run that was ended from outside its end: by going through it once more, with the answers that it had."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.closed_runs import finding
from dbt_temporal.adapters.temporal.closed_runs.history import RunHistory, Turn, read_history
from dbt_temporal.adapters.temporal.closed_runs.messages import TidiedRun, TidyInput, TidyOutput
from dbt_temporal.adapters.temporal.closed_runs.recorded_runtime import RecordedRuntime
from dbt_temporal.adapters.temporal.executions.arguments import read_arguments
from dbt_temporal.adapters.temporal.executions.in_history import find_parts
from dbt_temporal.adapters.temporal.executions.references import digest_of_part, referred_to
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.run.executions.parts import split_parts
from dbt_temporal.application.run.live_state import STATUS_ATTRIBUTE
from dbt_temporal.application.run.updates import carry_out_update, check_update
from dbt_temporal.application.steps.messages import EndRunInput
from dbt_temporal.application.steps.store_artifacts import StoreArtifacts
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

ROUNDS = 50
"""Of the event loop in which a turn's news has surely reached all of the run. A turn that asks for steps says itself
when it is through."""
MAX_ROUNDS = 20_000
NOT_PLANNED = "it ended before it was planned, so there is nothing to store"
NOT_BEGUN = "it ended before anything of it ran; its log is stored"
NOT_WRITTEN = "its worker writes no artifacts (WRITE_ARTIFACTS)"
GOES_ON = "its invocation goes on in run {run_id} (the workflow was reset, or tried again), which stores the artifacts"

logger = logging.getLogger(__name__)


async def tidy(client: Client, store_artifacts: StoreArtifacts, which: TidyInput) -> TidyOutput:
    """Stores the artifacts of one run. Repeating it stores the same again.

    Raises:
        DbtTemporalError: of type Configuration, where there is nothing to tidy; what storing raises.
        RPCError: the server does not answer.
    """
    try:
        handle = client.get_workflow_handle(which.workflow_id, run_id=which.run_id)
        events: AsyncIterator[HistoryEvent] = handle.fetch_history_events()
        history = await read_history(which.workflow_id, which.run_id, events, client.data_converter)
        if history.ending is None:
            raise configuration_error(f"the run of {which.workflow_id!r} was not ended from outside, or still runs")
        await _add_carried(client, history)
        successor = history.next_run_id or await _successor(client, history)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise configuration_error(f"the server does not have the run of {which.workflow_id!r} any more") from error
        raise
    if successor is not None:
        return TidyOutput(report=_report(history, note=GOES_ON.format(run_id=successor)))
    runtime = RecordedRuntime(history, client.data_converter.payload_converter, store_artifacts)
    run = await go_through(history, runtime)
    if runtime.failure is not None:
        raise runtime.failure
    logger.info("the run of %r was %s; its artifacts are stored", which.workflow_id, history.ending)
    return _tidied(history, run, runtime)


async def _add_carried(client: Client, history: RunHistory) -> None:
    """Adds what the execution refers to and had not got when it was ended."""
    if history.continued_run_id is None:
        return
    try:
        _, carried = read_arguments(history.arguments, goes_on=True)
    except DbtTemporalError:
        return  # the run says so
    parts = split_parts(carried or b"")
    history.parts |= {digest_of_part(part): part for part in parts if not referred_to([part])}
    missing = [digest for digest in referred_to(parts) if digest not in history.parts]
    if missing:
        history.parts |= await find_parts(client, history.workflow_id, history.continued_run_id, missing)


async def _successor(client: Client, history: RunHistory) -> str | None:
    """The run that has taken the invocation over: a reset begins one with the same first run."""
    newest = await client.get_workflow_handle(history.workflow_id).describe()
    is_other = newest.run_id != history.run_id and newest.raw_info.first_run_id == history.first_run_id
    return newest.run_id if is_other else None


async def go_through(history: RunHistory, runtime: RecordedRuntime) -> DbtRun:
    """Goes through a run as it was, and has it end as a cancelled one where its history ends.

    Raises:
        DbtTemporalError: of type Configuration, where this release would have done something else than the run did.
    """
    run = DbtRun(runtime, history.first_run_id)
    try:
        given, carried = read_arguments(history.arguments, goes_on=history.goes_on)
    except DbtTemporalError:
        return run
    task = asyncio.create_task(run.execute(given, carried))
    updating: list[asyncio.Task[Any] | None] = []
    try:
        if carried is not None:
            # What it had been handed is known, though it may not have had a turn yet.
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
        for turn in history.turns:
            runtime.take(turn)
            for name, arguments in turn.updates:
                updating.append(await _settled_for(run, name, arguments))
            if turn.cancelled:
                task.cancel()
            await _settle(runtime, turn)
        run.was_ended(f"The run was {history.ending}.", history.rest.time)
        runtime.close(history.rest)
        task.cancel()
        await asyncio.wait({task})
        _look_at(task)
    finally:
        for each in (task, *filter(None, updating)):
            each.cancel()
    return run


async def _settled_for(run: DbtRun, name: str, arguments: list[Any]) -> asyncio.Task[Any] | None:
    """Carries an update out that the run took, when it is where the update found it. Returns what goes on with it."""
    for _ in range(MAX_ROUNDS):
        try:
            check_update(run, name, *arguments)
        except DbtTemporalError:
            await asyncio.sleep(0)
        else:
            under_way = carry_out_update(run, name, *arguments)
            if asyncio.iscoroutine(under_way):
                return asyncio.create_task(under_way)
            return None
    raise configuration_error(
        f"this release of dbt-temporal does not take the update {name} where the run did: have a worker of its release "
        "tidy up"
    )


async def _settle(runtime: RecordedRuntime, turn: Turn) -> None:
    """Lets the run do what it did in a turn."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
    for _ in range(MAX_ROUNDS):
        if runtime.has_asked(turn.commands):
            return
        await asyncio.sleep(0)
    missing = ", ".join(sorted({command.name or command.kind for command in turn.commands})[:5])
    raise configuration_error(
        f"this release of dbt-temporal does not do what the run did ({missing}): have a worker of its release tidy up"
    )


def _look_at(task: asyncio.Task[object]) -> None:
    """A run that was cancelled or has failed is at its end; anything else is a fault of ours."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, DbtTemporalError):
        raise DbtTemporalError(ErrorType.ENGINE_CRASHED, f"{type(error).__name__}: {error}", retryable=False) from error


def _tidied(history: RunHistory, run: DbtRun, runtime: RecordedRuntime) -> TidyOutput:
    plan = run.plan
    if plan is None:
        return TidyOutput(report=_report(history, note=NOT_PLANNED), end=runtime.end)
    counts = run.run_status()
    report = _report(history).model_copy(
        update={
            "project": plan.project,
            "artifacts": run.stored.artifacts if run.stored else None,
            "note": NOT_WRITTEN if not plan.write_artifacts else None if run.stored else NOT_BEGUN,
            **{name: counts[name] for name in ("succeeded", "failed", "skipped")},
        }
    )
    attributes = dict(plan.search_attributes)
    if STATUS_ATTRIBUTE in attributes:
        attributes[STATUS_ATTRIBUTE] = "cancelled"
    return TidyOutput(report=report, end=_end(history, runtime), search_attributes=attributes)


def _end(history: RunHistory, runtime: RecordedRuntime) -> EndRunInput | None:
    """What is left to do. A lease stays while statements of the run may not have ended: others look after it."""
    end = runtime.end
    if end is None or datetime.now(UTC) - history.rest.time >= finding.SETTLED_AFTER:
        return end
    return end.model_copy(update={"lease_scope": None})


def _report(history: RunHistory, note: str | None = None) -> TidiedRun:
    return TidiedRun(
        workflow_id=history.workflow_id,
        run_id=history.run_id,
        invocation_id=history.first_run_id,
        ending=history.ending,
        note=note,
    )
