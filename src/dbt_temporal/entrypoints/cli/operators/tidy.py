"""`dbt-temporal tidy`: has workers store the artifacts of runs that were ended from outside."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.closed_runs.finding import ClosedRuns
from dbt_temporal.adapters.temporal.closed_runs.messages import TidiedRun, TidyInput
from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings, build_runtime
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.entrypoints.exit_codes import COULD_NOT_RUN, SUCCESS

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_age(text: str) -> timedelta | None:
    """A number with m, h or d as a time span; None where it is none, or begins before the year 1."""
    match = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    age = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    return None if age is None or age >= datetime.now(UTC) - datetime.min.replace(tzinfo=UTC) else age


async def tidy_up(target: Target, workflow_ids: Sequence[str], age: timedelta, console: Console) -> int:
    """Tidies up after the runs of these workflows, or after all that were ended in so much time. Returns the exit code.

    Raises:
        DbtTemporalError: of type Configuration, where the server does not answer, or no worker would do it.
    """
    queue = target.connection.task_queue
    client = await connect(target.connection, runtime=build_runtime(MetricsSettings()))
    gateway, runs = TemporalRunGateway(client, queue), ClosedRuns(client, queue)
    try:
        if workflow_ids:
            found = [await _named(runs, workflow_id) for workflow_id in workflow_ids]
        else:
            now = datetime.now(UTC)
            found = await runs.find(now - age, now)
            if not found:
                console.print(f"No run of {gateway.place} was ended from outside in this time.", soft_wrap=True)
                return SUCCESS
        if not await gateway.has_workers():
            raise configuration_error(f"no worker takes tasks from {gateway.place}: tidying up needs one")
        with console.status(f"Tidying up after {len(found)} runs"):
            outcomes = await asyncio.gather(*(_tidied(runs, which) for which in found))
    except RPCError as error:
        raise configuration_error(f"{gateway.place} does not answer: {error}") from error
    for which, outcome in outcomes:
        _print(console, which, outcome)
    return COULD_NOT_RUN if any(isinstance(outcome, str) for _, outcome in outcomes) else SUCCESS


async def _named(runs: ClosedRuns, workflow_id: str) -> TidyInput:
    try:
        return await runs.run_of(workflow_id)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise configuration_error(f"there is no workflow {workflow_id!r}") from error
        raise


async def _tidied(runs: ClosedRuns, which: TidyInput) -> tuple[TidyInput, TidiedRun | str]:
    """What came of it, or why nothing did."""
    try:
        return which, await (await runs.tidy(which)).result()
    except WorkflowFailureError as failure:
        cause = failure.cause
        return which, cause.message if isinstance(cause, ApplicationError) else str(cause)
    except DbtTemporalError as error:
        return which, error.message


def _print(console: Console, which: TidyInput, outcome: TidiedRun | str) -> None:
    """A few lines for each run: ids and places are too long for columns."""

    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, soft_wrap=True, markup=False)

    if isinstance(outcome, str):
        line(which.workflow_id)
        line(f"  not stored: {outcome}", "red")
        return
    line(f"{which.workflow_id} was {outcome.ending}")
    if outcome.project:
        counts = f"{outcome.succeeded} succeeded, {outcome.failed} failed, {outcome.skipped} skipped"
        line(f"  project {outcome.project}, invocation {outcome.invocation_id}: {counts}")
    paths = outcome.artifacts
    place = (paths.run_results_path or paths.log_path) if paths else None
    line(f"  {place or outcome.note or 'nothing was stored'}")
