"""Which run a command is about that was given no ID, said before anything is done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console
from temporalio.client import Client

from dbt_temporal.adapters.temporal.listing import KnownRun, KnownRuns
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.cli.submit import Target

NEWEST_WITHIN = timedelta(days=7)
_LISTED = 10
_OPEN = ("running", "held")


async def named_run(
    client: Client, target: Target, workflow_id: str | None, project: str | None, *, said: bool = True
) -> str:
    """The id that was given, else that of the newest run, which is named on standard error.

    Args:
        client: of the server.
        target: the server.
        workflow_id: what was given.
        project: the newest run of this project.
        said: false where the command itself names the run.

    Raises:
        DbtTemporalError: of type Configuration, where there is none.
    """
    if workflow_id is not None:
        return workflow_id
    found = await _known(client, target).newest(1, since=_since(), project=project)
    if not found:
        raise configuration_error(
            f"no run{_of(project)} has begun in the last seven days: give the ID of one, which "
            "`dbt-temporal runs --since 30d` may list"
        )
    if said:
        say_run(found[0])
    return found[0].workflow_id


async def only_open_run(client: Client, target: Target, project: str | None) -> KnownRun:
    """The one run that goes on.

    Raises:
        DbtTemporalError: of type Configuration, where none does, or several do, which are listed.
    """
    known = _known(client, target)
    found = await known.open_ones(_LISTED + 1, project=project)
    if not found:
        raise configuration_error(f"no run{_of(project)} goes on")
    if len(found) > 1:
        shown = "\n".join(f"  {run_in_words(run)}" for run in found[:_LISTED])
        more = "\n  and more" if len(found) > _LISTED else ""
        raise configuration_error(f"several runs{_of(project)} go on; say which by its ID:\n{shown}{more}")
    return found[0]


def run_in_words(run: KnownRun) -> str:
    """Its id, what it is, and how it stands or when it ended."""
    words = f"{run.command or 'a run'} --select {run.select}" if run.select else run.command or "a run"
    words = words if len(words) <= 80 else f"{words[:79]}…"
    if run.ended_at is None:
        return f"{run.workflow_id}: {words}, {run.status} since {_at(run.started_at)}"
    return f"{run.workflow_id}: {words}, {run.status} at {_at(run.ended_at)}"


def say_run(run: KnownRun) -> None:
    """Names the run that was chosen, on standard error: standard output is for what the command is for."""
    err = Console(stderr=True, highlight=False, emoji=False, markup=False)
    err.print(f"The newest run is {run_in_words(run)}", style="dim", soft_wrap=True)


def _known(client: Client, target: Target) -> KnownRuns:
    return KnownRuns(client, target.connection.task_queue)


def _since() -> datetime:
    return datetime.now(UTC) - NEWEST_WITHIN


def _of(project: str | None) -> str:
    return f" of the project {project!r}" if project else ""


def _at(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
