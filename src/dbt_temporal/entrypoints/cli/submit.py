"""Submitting a run from the command line and seeing it through: from the flags to dbt's exit code."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from temporalio.client import Client, Plugin
from temporalio.runtime import Runtime

from dbt_temporal.adapters.project_config_file import read_project_name
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.payloads.in_clear import refuse_in_clear
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings, build_runtime
from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings
from dbt_temporal.adapters.temporal.telemetry.tracing_start import start_tracing
from dbt_temporal.application.ports.runs import Ending, Outcome, RunGateway
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli.events.event import Showing
from dbt_temporal.entrypoints.cli.events.view import EventView, view_of
from dbt_temporal.entrypoints.cli.flags import FLAG_OF_VARIABLE
from dbt_temporal.entrypoints.cli.following import Follower, Interrupts
from dbt_temporal.entrypoints.cli.listing import print_left_out, print_listing, print_missing_code, print_output
from dbt_temporal.entrypoints.cli.progress import ProgressView
from dbt_temporal.entrypoints.cli.shown.failures import Commands
from dbt_temporal.entrypoints.cli.summary import exit_code_of, print_summary
from dbt_temporal.entrypoints.dev.registry import DevRegistry
from dbt_temporal.entrypoints.exit_codes import COULD_NOT_RUN, SUCCESS
from dbt_temporal.entrypoints.settings import read_settings

FOR_PIPES = frozenset({"list", "show", "run-operation"})
"""Commands whose standard output holds what they are for alone."""


@dataclass(frozen=True)
class Submission:
    run_input: DbtRunInput
    workflow_id: str
    wait: bool
    wait_for_worker_secs: float
    retried_workflow: str | None = None
    """The id of the workflow whose run is retried, where the input does not name it."""
    showing: Showing = field(default_factory=Showing)
    """How the run is told of."""

    def commands(self, server_flags: Sequence[str]) -> Commands:
        """Those about this run, with the flags by which its server is reached."""
        given = self.run_input
        can_show = not given.vars and not given.env and given.command != "retry"
        return Commands(self.workflow_id, server_flags, given.project, given.target, can_show)


@dataclass(frozen=True)
class Target:
    """Where to submit, how a person opens the UI there, and how the submission is traced."""

    connection: ConnectionSettings
    tracing: TracingSettings
    environ: Mapping[str, str]
    ui_url: str | None = None
    project: str | None = None
    """The name of the project that runs are of which name none, where that is known here."""
    flags: Sequence[str] = ()
    """What was given on the command line to get there."""

    def ui_link(self, workflow_id: str) -> str | None:
        if self.ui_url is None:
            return None
        return f"{self.ui_url.rstrip('/')}/namespaces/{self.connection.namespace}/workflows/{workflow_id}"


def find_target(environ: Mapping[str, str], flags: Mapping[str, str | None]) -> Target:
    """Where to submit: the flags first, then the environment, then a dev server that runs for this user.

    Raises:
        SettingsError: a variable is wrong.
        DbtTemporalError: of type Configuration, where several dev servers run.
    """
    by_flag = {name: value for name, value in flags.items() if value}
    merged = {**environ, **by_flag}
    ui_url = environ.get("TEMPORAL_UI_URL", "").strip() or None
    folders: list[str] = []
    if not merged.get("TEMPORAL_ADDRESS", "").strip():
        dev = DevRegistry(read_settings(merged).cache_dir).server_for(Path.cwd())
        if dev is not None:
            of_dev = {
                "TEMPORAL_ADDRESS": dev.address,
                "TEMPORAL_NAMESPACE": dev.namespace,
                "TEMPORAL_TASK_QUEUE": dev.task_queue,
            }
            merged, ui_url = {**merged, **of_dev, **by_flag}, ui_url or dev.ui_url
            folders = dev.projects
    settings = read_settings(merged)
    given = settings.projects
    if not folders and given.projects_dir is None:
        folders = [*(given.project_dirs or (given.project_dir or str(Path.cwd()),))]
    project = read_project_name(Path(folders[0])) if len(folders) == 1 else None
    words = [word for name, value in by_flag.items() for word in (FLAG_OF_VARIABLE[name], value)]
    return Target(settings.connection, settings.tracing, merged, ui_url, project, words)


def server_variables(flags: Mapping[str, str | None]) -> dict[str, str | None]:
    """What the flags of the server say, by the names of the variables that they go before."""
    return {variable: flags[flag.removeprefix("--").replace("-", "_")] for variable, flag in FLAG_OF_VARIABLE.items()}


async def submit(submission: Submission, target: Target, out: Console, err: Console) -> int:
    """Submits a run and follows it to its end. Returns dbt's exit code.

    Raises:
        DbtTemporalError: of type Configuration, where the server cannot be reached or does not take the run.
    """
    runtime, queue = build_runtime(MetricsSettings()), target.connection.task_queue
    ui_link = target.ui_link(submission.workflow_id)
    tracing = start_tracing(target.tracing)
    if tracing is None:
        client = await connect_to_submit(target, runtime)
        gateway = TemporalRunGateway(client, queue)
        return await submit_to(gateway, submission, ui_link, out, err, target.flags)
    try:
        with tracing.continuing(target.environ):
            client = await connect_to_submit(target, runtime, [tracing.plugin])
            gateway = TemporalRunGateway(client, queue, tracing.span)
            return await submit_to(gateway, submission, ui_link, out, err, target.flags)
    finally:
        await tracing.close()


async def connect_to_submit(target: Target, runtime: Runtime, plugins: Sequence[Plugin] = ()) -> Client:
    """A connection by which inputs of runs may be sent.

    Raises:
        DbtTemporalError: of type Configuration, where the server cannot be reached, or runs there are encrypted and no
            key is given.
    """
    connection = target.connection
    client = await connect(connection, runtime=runtime, plugins=plugins)
    await refuse_in_clear(client, connection.task_queue, is_meant=connection.is_in_clear_on_purpose)
    return client


async def submit_to(
    gateway: RunGateway,
    submission: Submission,
    ui_link: str | None,
    out: Console,
    err: Console,
    server_flags: Sequence[str] = (),
) -> int:
    """As `submit`, at a gateway that is connected, which further commands reach with these flags."""
    for_pipes = submission.run_input.command in FOR_PIPES
    with interrupts_by_signal() as interrupts:
        run = await gateway.submit(await _complete(submission, gateway), submission.workflow_id)
        if not submission.wait:
            print(run.workflow_id, file=out.file, flush=True)
            err.print(f"Submitted to {gateway.place}.", soft_wrap=True)
            if ui_link:
                err.print(f"Follow it at {ui_link}", soft_wrap=True)
            return SUCCESS
        showing = submission.showing
        invocation_id = await gateway.invocation_id(run.workflow_id) if showing.format == "json" else ""
        with view_of(showing, out, err, invocation_id, for_pipes=for_pipes) as view:
            if isinstance(view, EventView):
                view.submitted(run.workflow_id)
            elif not showing.quiet:
                err.print(f"Submitted {run.workflow_id}", style="dim", soft_wrap=True)
            follower = Follower(run, gateway, view, interrupts, submission.wait_for_worker_secs, time.monotonic)
            outcome = await follower.follow()
    if outcome is None:
        return COULD_NOT_RUN
    shown = _show_results(submission.run_input, outcome, view, out, err)
    exit_code = exit_code_of(outcome) if shown else COULD_NOT_RUN
    if not for_pipes or exit_code != SUCCESS:
        stored = None if outcome.output is not None else await gateway.stored(run.workflow_id)
        commands = submission.commands(server_flags)
        if isinstance(view, EventView):
            view.ended(outcome, ui_link, commands, stored)
        else:
            place = err if for_pipes else out
            print_summary(place, outcome, ui_link, view.log, commands, stored, quiet=showing.quiet)
    return exit_code


async def _complete(submission: Submission, gateway: RunGateway) -> DbtRunInput:
    if submission.retried_workflow is None:
        return submission.run_input
    invocation_id = await gateway.invocation_id(submission.retried_workflow)
    return submission.run_input.model_copy(update={"retry_from": invocation_id})


def _show_results(run_input: DbtRunInput, outcome: Outcome, view: ProgressView, out: Console, err: Console) -> bool:
    """Prints what the command is for. False where it could not be shown whole."""
    if outcome.output is None or outcome.ending is Ending.CANCELLED:
        return True
    if run_input.command == "compile":
        print_missing_code(err, outcome.output, run_input.select)
    if isinstance(view, EventView):
        return view.results(run_input.command, outcome)
    if run_input.command == "list":
        return print_listing(out, err, outcome.output)
    if run_input.command != "debug":  # the run's log has that
        print_output(out, outcome.output)
    return print_left_out(err, run_input.command, outcome.output)


@contextmanager
def interrupts_by_signal() -> Iterator[Interrupts]:
    """Turns Ctrl-C and SIGTERM into interrupts while the block runs."""
    interrupts = Interrupts()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupts.interrupt)
    try:
        yield interrupts
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
