"""Which run `dbt-temporal retry` takes that was given no ID: found and said before it is submitted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console
from temporalio.client import Client

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.temporal.listing import KnownRuns
from dbt_temporal.adapters.temporal.planned_runs import find_planned_run
from dbt_temporal.application.stored.earlier_runs import EarlierRuns
from dbt_temporal.application.stored.latest import LATEST
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.operators.newest import NEWEST_WITHIN, run_in_words
from dbt_temporal.entrypoints.cli.operators.runs import connected
from dbt_temporal.entrypoints.cli.submit import Submission, Target

LOOKED_AT = 5
"""So many of the project's newest runs are looked at for the place of the store."""


def takes_latest(submission: Submission) -> bool:
    """Whether the run retries the project's latest one, without its name."""
    given = submission.run_input
    return given.command == "retry" and submission.retried_workflow is None and given.retry_from in (None, LATEST)


async def with_latest(submission: Submission, target: Target, err: Console) -> Submission:
    """The submission with the invocation id of the project's latest run, which is said: that one is retried, whatever
    ends meanwhile. The worker finds the latest run by itself where the store cannot be read from here.

    Raises:
        DbtTemporalError: of type Configuration, where the server cannot be reached.
    """
    client = await connected(target)
    known = KnownRuns(client, target.connection.task_queue)
    try:
        invocation_id = await _latest(client, known, submission.run_input.project or target.project, target)
        run = None if invocation_id is None else await known.begun_as(invocation_id)
    except DbtTemporalError:
        invocation_id, run = None, None
    quiet = submission.showing.quiet
    # A run that the server does not know may be one of another store at the same place of this machine.
    if invocation_id is None or run is None:
        _say(err, "Retries the project's latest run, which the worker finds in its artifact store.", quiet)
        return submission
    _say(err, f"Retries {run_in_words(run)}", quiet)
    return replace(submission, run_input=submission.run_input.model_copy(update={"retry_from": invocation_id}))


async def _latest(client: Client, known: KnownRuns, project: str | None, target: Target) -> str | None:
    """What the project's store says, which is where one of its runs keeps its artifacts."""
    for run in await known.newest(LOOKED_AT, since=datetime.now(UTC) - NEWEST_WITHIN, project=project):
        planned = await find_planned_run(client, run.workflow_id)
        if planned is not None and planned.place is not None and run.project:
            store = FsspecArtifactStore(planned.place.rpartition("/")[0], target.environ)
            return await EarlierRuns(store).newest(run.project)
    return None


def _say(err: Console, text: str, quiet: bool) -> None:
    if not quiet:
        err.print(text, style="dim", soft_wrap=True)
