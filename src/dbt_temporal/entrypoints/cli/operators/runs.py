"""`dbt-temporal runs`, `status`, `attach` and `cancel`: runs that somebody else, or another terminal, has started."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.text import Text
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.listing import KnownRun, KnownRuns, UnderWay
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings, build_runtime
from dbt_temporal.application.ports.runs import Snapshot
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.cli.events.event import Showing
from dbt_temporal.entrypoints.cli.events.view import EventView, view_of
from dbt_temporal.entrypoints.cli.following import Follower
from dbt_temporal.entrypoints.cli.operators.newest import named_run, only_open_run, run_in_words
from dbt_temporal.entrypoints.cli.shown.failures import Commands
from dbt_temporal.entrypoints.cli.shown.joined import Joined
from dbt_temporal.entrypoints.cli.shown.rows import print_rows
from dbt_temporal.entrypoints.cli.submit import Target, interrupts_by_signal
from dbt_temporal.entrypoints.cli.summary import exit_code_of, print_summary
from dbt_temporal.entrypoints.exit_codes import SUCCESS

STYLES = {"running": "blue", "held": "yellow", "passed": "green", "skipped": "dim"}
LAST_LINES = 10
_NO_END = float("inf")


async def print_runs(
    target: Target, age: timedelta, project: str | None, status: str | None, limit: int, as_json: bool, out: Console
) -> int:
    """Lists runs, newest first. Returns the exit code."""
    client = await connected(target)
    since = datetime.now(UTC) - age
    found = await _known(client, target).newest(limit, since=since, project=project, status=status)
    if as_json:
        for run in found:
            print(json.dumps(_as_json(run)), file=out.file)
        return SUCCESS
    if not found:
        out.print("No run has begun in this time.")
        return SUCCESS
    now = datetime.now(UTC)
    header = ("STARTED", "STATUS", "FOR", "PROJECT", "COMMAND", "WORKFLOW ID")
    print_rows(out, header, [_row(run, now) for run in found])
    return SUCCESS


async def print_status(target: Target, workflow_id: str | None, project: str | None, out: Console) -> int:
    """Says where a run stands, with the last lines of its log. Returns the exit code, which is not the run's."""
    client = await connected(target)
    run = TemporalRunGateway(client, target.connection.task_queue).find(
        await named_run(client, target, workflow_id, project, said=False)
    )
    snapshot = await run.snapshot(with_nodes=True)
    if snapshot is None:
        raise configuration_error(f"there is no run {run.workflow_id!r}, or no worker that could tell of it")
    known = await _known(client, target).known(run.workflow_id)
    _print_lines(out, [run.workflow_id, *_described(snapshot, known)])
    link = target.ui_link(run.workflow_id)
    if link:
        _print_lines(out, [link])
    _print_lines(out, ["", *snapshot.new_log_lines[-LAST_LINES:]])
    return SUCCESS


async def attach(
    target: Target,
    workflow_id: str | None,
    project: str | None,
    out: Console,
    err: Console,
    showing: Showing | None = None,
) -> int:
    """Follows a run to its end, or tells of one that has ended. Ctrl-C leaves it. Returns the run's exit code."""
    showing = showing or Showing()
    client = await connected(target)
    gateway = TemporalRunGateway(client, target.connection.task_queue)
    run = gateway.find(await named_run(client, target, workflow_id, project))
    invocation_id = await gateway.invocation_id(run.workflow_id) if showing.format == "json" else ""
    joined = _joined(await _known(client, target).under_way(run.workflow_id), datetime.now(UTC))
    with (
        interrupts_by_signal() as interrupts,
        view_of(showing, out, err, invocation_id, joined=joined) as view,
    ):
        follower = Follower(run, gateway, view, interrupts, _NO_END, time.monotonic, detaches=True)
        outcome = await follower.follow()
    if outcome is None:
        again = Commands(run.workflow_id, target.flags).of_run("attach")
        err.print(f"Left. The run goes on; `{again}` follows it again.", soft_wrap=True)
        return SUCCESS
    # A worker of several projects must be told which one a retry is of.
    commands = Commands(run.workflow_id, target.flags, outcome.output.project if outcome.output else project)
    stored = None if outcome.output is not None else await gateway.stored(run.workflow_id)
    ui_link = target.ui_link(run.workflow_id)
    if isinstance(view, EventView):
        view.ended(outcome, ui_link, commands, stored)
    else:
        print_summary(out, outcome, ui_link, view.log, commands, stored, quiet=showing.quiet)
    return exit_code_of(outcome)


async def cancel(target: Target, workflow_ids: Sequence[str], project: str | None, out: Console) -> int:
    """Asks runs to stop; without an id, the only one that goes on. Returns the exit code.

    Raises:
        DbtTemporalError: of type Configuration, where one of them is not there, or it is not clear which is meant.
    """
    client = await connected(target)
    gateway = TemporalRunGateway(client, target.connection.task_queue)
    if not workflow_ids:
        run = await only_open_run(client, target, project)
        _print_lines(out, [f"Cancels {run_in_words(run)}"])
        workflow_ids = [run.workflow_id]
    # First of all, so that nothing is asked where one of the names is wrong.
    going_on = {workflow_id: await gateway.goes_on(workflow_id) for workflow_id in workflow_ids}
    for workflow_id, goes_on in going_on.items():
        said = "has ended already: nothing is asked of it"
        if goes_on:
            await gateway.find(workflow_id).cancel()
            said = "is asked to stop: it ends what it runs, and stores its artifacts"
        _print_lines(out, [f"{workflow_id} {said}"])
    return SUCCESS


async def connected(target: Target) -> Client:
    """A client of the server. Raises Configuration where it does not answer."""
    return await connect(target.connection, runtime=build_runtime(MetricsSettings()))


def _known(client: Client, target: Target) -> KnownRuns:
    return KnownRuns(client, target.connection.task_queue)


def _joined(since: UnderWay, now: datetime) -> Joined:
    # The clock of the server may be ahead of the one here.
    ages = {name: max(0.0, (now - at).total_seconds()) for name, at in since.attempts.items()}
    return Joined(max(0.0, ((since.ended_at or now) - since.begun_at).total_seconds()), ages)


def _described(snapshot: Snapshot, run: KnownRun) -> list[str]:
    cancelled = sum(status == "cancelled" for status in snapshot.node_status.values())
    # The query counts these among the failed ones, as the predecessor's does.
    told = {**snapshot.counts, "failed": snapshot.counts.get("failed", 0) - cancelled, "cancelled": cancelled}
    counts = ", ".join(f"{count} {name}" for name, count in told.items() if count)
    phase = f"phase: {snapshot.phase}"
    if run.ended_at is not None:
        phase = f"ended: {run.status}, at {run.ended_at.astimezone():%Y-%m-%d %H:%M:%S}"
    lines = [phase, f"nodes: {snapshot.total_nodes}" + (f" ({counts})" if counts else "")]
    for status in ("running", "error"):
        nodes = [node for node, each in snapshot.node_status.items() if each == status]
        if nodes:
            more = f" and {len(nodes) - LAST_LINES} more" if len(nodes) > LAST_LINES else ""
            lines.append(f"{status}: {', '.join(nodes[:LAST_LINES])}{more}")
    return lines


def _row(run: KnownRun, now: datetime) -> list[Text]:
    words = f"{run.command} --select {run.select}" if run.select else run.command
    return [
        Text(f"{run.started_at.astimezone():%Y-%m-%d %H:%M:%S}"),
        Text(run.status, style=STYLES.get(run.status, "red")),
        Text(_span(((run.ended_at or now) - run.started_at).total_seconds())),
        Text(run.project),
        Text(words if len(words) <= 40 else f"{words[:39]}…"),
        Text(run.workflow_id),
    ]


def _print_lines(out: Console, lines: Sequence[str]) -> None:
    for line in lines:
        out.print(line, soft_wrap=True, markup=False)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _as_json(run: KnownRun) -> dict[str, str | None]:
    return {
        "workflow_id": run.workflow_id,
        "run_id": run.run_id,
        "project": run.project,
        "command": run.command,
        "select": run.select or None,
        "status": run.status,
        "started_at": run.started_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
    }
