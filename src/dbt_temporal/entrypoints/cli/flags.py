"""dbt's flags on our command line, by dbt's own names, and the run input that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from dbt_temporal.application.steps.logical_dates import dates_used
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.domain.run.invocation import is_invocation_id
from dbt_temporal.entrypoints.cli.input_flags import Decorator, given_flags, of_variable
from dbt_temporal.entrypoints.cli.known.names import (
    complete_project,
    complete_selection,
    complete_selector,
    complete_target,
)
from dbt_temporal.entrypoints.cli.values import (
    artifact_reference,
    joined,
    read_env_references,
    read_environment,
    read_event_time,
    read_instant,
    read_length,
    read_mapping,
    read_vars,
)

Function = TypeVar("Function", bound=Callable[..., Any])


def _selecting(*names: str) -> Decorator:
    text = "What to run, in dbt's selection grammar. Several values are united."
    return click.option(
        *names, "select", multiple=True, metavar="SELECTION", help=text, shell_complete=complete_selection
    )


_NARROWING: list[Decorator] = [
    click.option(
        "--exclude",
        multiple=True,
        metavar="SELECTION",
        help="What to leave out of the selection.",
        shell_complete=complete_selection,
    ),
    click.option(
        "--selector",
        metavar="NAME",
        help="A named selector of the project's selectors.yml.",
        shell_complete=complete_selector,
    ),
    click.option("--sources", metavar="PATH", help="Folder or URL with the current sources.json, for source_status:."),
]

SELECTION_FLAGS: list[Decorator] = [_selecting("-s", "--select", "-m", "--models", "--model"), *_NARROWING]
LISTING_FLAGS: list[Decorator] = [
    _selecting("-s", "--select"),
    click.option(
        "-m",
        "--models",
        "--model",
        "models",
        multiple=True,
        metavar="SELECTION",
        help="As --select, of models alone.",
        shell_complete=complete_selection,
    ),
    *_NARROWING,
]
"""Of `list`, to which dbt gives both words a meaning of their own."""

STATE_FLAGS: list[Decorator] = [
    click.option(
        "--indirect-selection",
        type=click.Choice(["eager", "cautious", "buildable", "empty"], case_sensitive=False),
        help="Which tests are selected along with the nodes that they test; else as dbt resolves it.",
    ),
    click.option(
        "--state",
        metavar="PATH",
        help="Folder, URL or latest:TARGET of the manifest.json to compare and defer to; of `retry`, run_results.json.",
    ),
    click.option("--defer/--no-defer", default=None, help="Take what is not selected from the --state manifest."),
    click.option("--defer-state", metavar="PATH", help="As --state, for --defer alone."),
]

RUN_FLAGS: list[Decorator] = [
    click.option(
        "--vars",
        "vars_",
        metavar="YAML",
        default="{}",
        callback=read_vars,
        help="Project variables, as a YAML mapping.",
    ),
    click.option("-t", "--target", metavar="NAME", help="The target of the profile.", shell_complete=complete_target),
    click.option("-x/ ", "--fail-fast/--no-fail-fast", default=None, help="Stop at the first failure."),
    click.option(
        "--project",
        metavar="NAME",
        help="Which of the worker's projects; needed where it has several.",
        shell_complete=complete_project,
    ),
    click.option(
        "--env",
        metavar="KEY=VALUE",
        multiple=True,
        callback=read_environment,
        help="An environment variable of this run. Repeatable.",
    ),
    click.option(
        "--env-from",
        metavar="KEY=env:VARIABLE|file:/PATH",
        multiple=True,
        callback=read_env_references,
        help="As --env, with a secret that the worker reads from its own environment or a file. Repeatable.",
    ),
]

RETRY_FROM_FLAG: Decorator = click.option(
    "--retry-from",
    metavar="PATH",
    help="A run_results.json (or its folder or URL): run only what did not succeed there.",
)

FULL_REFRESH_FLAG: Decorator = click.option(
    "-f", "--full-refresh", is_flag=True, default=None, help="Rebuild incremental models, and seeds, from scratch."
)

INLINE_FLAG: Decorator = click.option("--inline", metavar="SQL", help="This query, with Jinja, in place of nodes.")
ARGS_FLAG: Decorator = click.option(
    "--args", metavar="YAML", callback=read_mapping, help="Arguments of the macro, as a YAML mapping."
)

EVENT_TIME_FLAGS: list[Decorator] = [
    click.option(
        "--event-time-start",
        metavar="TIME",
        callback=read_event_time,
        help="Start of the microbatch window (inclusive).",
    ),
    click.option(
        "--event-time-end", metavar="TIME", callback=read_event_time, help="End of the microbatch window (exclusive)."
    ),
]

DATE_FLAGS: list[Decorator] = [
    click.option(
        "--scheduled-time",
        metavar="TIME",
        callback=read_instant,
        help="What the run is for, in place of its start: {{ scheduled_time }} in --vars, --env and event times.",
    ),
    click.option(
        "--data-interval",
        metavar="TIME",
        callback=read_length,
        help="How far {{ data_interval_start }} is before that: 1d, 1h; else by the schedule that starts the run.",
    ),
]

ON_FAILURE_FLAG: Decorator = click.option(
    "--on-failure",
    type=click.Choice(["fail", "hold"]),
    help="Whether a run of which nodes have failed ends, or is kept open for `dbt-temporal node` [default: fail].",
)

FLAG_OF_VARIABLE = {
    "TEMPORAL_ADDRESS": "--address",
    "TEMPORAL_NAMESPACE": "--namespace",
    "TEMPORAL_TASK_QUEUE": "--task-queue",
}
CONNECTION_FLAGS: list[Decorator] = [
    click.option("--address", metavar="HOST:PORT", help="The Temporal server; else TEMPORAL_ADDRESS, else a dev one."),
    click.option("--namespace", help="The Temporal namespace; else TEMPORAL_NAMESPACE, else `default`."),
    click.option("--task-queue", help="The workers' task queue; else TEMPORAL_TASK_QUEUE, else `dbt-tasks`."),
]

SHOWING_FLAGS: list[Decorator] = [
    click.option(
        "-q/ ",
        "--quiet/--no-quiet",
        default=False,
        help="Print failures and results alone.",
        **of_variable("quiet"),
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "debug", "json", "default"], case_sensitive=False),
        default="default",
        help="How this terminal is told of the run: lines with their time, with their level, or JSON as dbt's.",
        **of_variable("log_format"),
    ),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warn", "error", "none"], case_sensitive=False),
        default="info",
        help="What this terminal is told at least.",
        **of_variable("log_level"),
    ),
]
"""How a command tells of its run; as with dbt, each has a variable."""

SUBMIT_FLAGS: list[Decorator] = [
    *CONNECTION_FLAGS,
    click.option("--workflow-id", metavar="ID", help="The workflow id; by default made of command, project and time."),
    *SHOWING_FLAGS,
    click.option("--no-wait", is_flag=True, help="Submit, print the workflow id and return."),
    click.option(
        "--wait-for-worker",
        type=click.FloatRange(min=0),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="Give up where no worker has come to take the run in this time.",
    ),
]


def with_flags(flags: Iterable[Decorator]) -> Callable[[Function], Function]:
    """Adds flags to a command, in the order in which `--help` shows them."""

    def decorate(function: Function) -> Function:
        for flag in reversed(list(flags)):
            flag(function)
        return function

    return decorate


def run_input_of(command: str, flags: dict[str, Any]) -> DbtRunInput:
    """The run input that the flags of a command make. Flags that the command does not have may be missing.

    Raises:
        click.UsageError: (exit code 2) naming what is wrong and what is allowed.
    """
    place = None if command == "retry" else flags.get("state")
    state = artifact_reference("--state", place, "manifest.json", "run_results.json", "sources.json")
    raw: dict[str, Any] = {
        "command": command,
        **given_flags(flags),
        "project": flags.get("project"),
        "select": joined(flags.get("select", ())),
        "exclude": joined(flags.get("exclude", ())),
        "selector": flags.get("selector"),
        "indirect_selection": flags.get("indirect_selection"),
        "vars": flags.get("vars_", {}),
        "target": flags.get("target"),
        "full_refresh": flags.get("full_refresh"),
        "fail_fast": flags.get("fail_fast"),
        "env": flags.get("env", {}) | flags.get("env_from", {}),
        "state_manifest_ref": state,
        "sources_ref": artifact_reference("--sources", flags.get("sources"), "sources.json"),
        "defer_manifest_ref": _defer_reference(flags, state),
        "retry_from": _retried(command, flags),
        "macro": flags.get("macro"),
        "args": flags.get("args"),
        "sql": flags.get("sql"),
        "inline": flags.get("inline"),
        "limit": flags.get("limit"),
        "output": flags.get("output"),
        "output_keys": [key for value in flags.get("output_keys", ()) for key in value.split()] or None,
        "compile": flags.get("compile"),
        "static": flags.get("static"),
        "empty_catalog": flags.get("empty_catalog"),
        "connection": flags.get("connection"),
        "event_time_start": flags.get("event_time_start"),
        "event_time_end": flags.get("event_time_end"),
        "scheduled_time": flags.get("scheduled_time"),
        "data_interval": flags.get("data_interval"),
        "on_failure": flags.get("on_failure"),
        **_of_models_alone(flags),
    }
    try:
        run_input = parse_run_input(raw)
        dates_used(run_input)
        return run_input
    except DbtTemporalError as error:
        raise click.UsageError(_in_flag_names(error.message)) from error


def _of_models_alone(flags: dict[str, Any]) -> dict[str, Any]:
    """What `list --models` means: a selection, and models as the only type."""
    models = joined(flags.get("models", ()))
    if models is None:
        return {}
    for name in ("select", "resource_types"):
        if flags.get(name):
            other = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"give either --models or {other}, not both: --models is --select of models alone.")
    return {"select": models, "resource_types": ["model"]}


def _retried(command: str, flags: dict[str, Any]) -> str | None:
    """What names the run to retry; None where there is none, or where an id that only the server knows names it."""
    named = flags.get("earlier_run")
    if command == "retry" and flags.get("state") is not None:
        if named is not None:
            raise click.UsageError("give either ID or --state, not both: each names the run to retry.")
        return artifact_reference("--state", flags["state"], "run_results.json")
    if named is not None and is_invocation_id(named):
        return str(named)
    if named is not None and ("/" in named or named.endswith(".json")):
        return artifact_reference("ID", named, "run_results.json")
    return artifact_reference("--retry-from", flags.get("retry_from"), "run_results.json")


def _defer_reference(flags: dict[str, Any], state: str | None) -> str | None:
    defer_state = flags.get("defer_state")
    if flags.get("defer") is None and defer_state is not None:
        raise click.UsageError(f"--defer-state {defer_state!r} has no effect without --defer.")
    if not flags.get("defer"):
        return None
    reference = artifact_reference("--defer-state", defer_state, "manifest.json") or state
    if reference is None:
        raise click.UsageError("--defer needs a manifest to defer to: give --state or --defer-state.")
    return reference


def _in_flag_names(message: str) -> str:
    """The run input's message in the words of the command line."""
    text = (
        message.removeprefix("invalid workflow input: ").removeprefix("selector: ").removeprefix("event_time_start: ")
    )
    return (
        text.replace("event_time_start", "--event-time-start")
        .replace("event_time_end", "--event-time-end")
        .replace("either selector, or select and exclude", "either --selector, or --select and --exclude")
    )
