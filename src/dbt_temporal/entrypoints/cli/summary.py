"""What the command line says when a run has ended, in dbt's words, and dbt's exit codes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from dbt_temporal.application.ports.runs import Ending, Outcome, StoredRun
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.log.run_log import summary_line
from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult
from dbt_temporal.entrypoints.cli.progress import ShownLog, node_label
from dbt_temporal.entrypoints.cli.shown.failures import Commands, print_failures, print_message
from dbt_temporal.entrypoints.exit_codes import COULD_NOT_RUN, NODE_FAILED, SUCCESS


def exit_code_of(outcome: Outcome) -> int:
    """0 all well, 1 the run ended with a failure of its own, 2 it could not run or was stopped."""
    if outcome.ending is Ending.COMPLETED:
        succeeded = outcome.output is None or outcome.output.success
        return SUCCESS if succeeded else NODE_FAILED
    if outcome.ending is Ending.FAILED and outcome.error_type == ErrorType.DBT_RUN_FAILED:
        return NODE_FAILED
    return COULD_NOT_RUN


def print_summary(
    console: Console,
    outcome: Outcome,
    ui_link: str | None,
    log: ShownLog,
    commands: Commands | None = None,
    stored: StoredRun | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Says how the run ended, as far as its log has not said it. dbt's summary line is the last one.

    Args:
        console: the terminal.
        outcome: the end of the run.
        ui_link: to the run in Temporal's UI.
        log: what was shown of its log.
        commands: those about the run, which are offered where it did not succeed.
        stored: what it has stored, where it has no output that says so.
        quiet: whether failures alone are told.
    """
    output = outcome.output
    if told_by_end(outcome) and not log.tells(outcome.message or ""):
        _print_why_it_ended(console, outcome)
    if output is not None:
        _print_problems(console, output, outcome, commands, quiet=quiet)
    for error in output.hook_errors if output else ():
        _print(console, f"Hook {error.hook_workflow_type} ({error.event}) failed: {error.error}", "yellow")
    if quiet:
        return
    succeeded = output is not None and output.success
    _print_places(console, places_of(outcome, stored, ui_link, None if succeeded else commands))
    last = log.summary_line
    if last is None and output is not None and not output.skipped:
        last = summary_line(output.node_results)
    if last is not None:
        _print(console, "")
        _print(console, last)


def told_by_end(outcome: Outcome) -> bool:
    """Whether it is how the workflow ended that says why the run did: an output would, if it went to its end."""
    return outcome.ending is not Ending.COMPLETED and (outcome.output is None or outcome.ending is Ending.CANCELLED)


def failures_of(output: DbtRunOutput, outcome: Outcome) -> list[NodeExecutionResult]:
    """The nodes that somebody is to look at: nobody has to where it was the run that was cancelled."""
    failed = ("error",) if outcome.ending is Ending.CANCELLED else ("error", "cancelled")
    return [result for result in output.node_results if result.status in failed]


def warnings_of(output: DbtRunOutput) -> list[NodeExecutionResult]:
    """The nodes that have warned."""
    return [result for result in output.node_results if result.dbt_status == "warn"]


def headline_of(outcome: Outcome, output: DbtRunOutput) -> str | None:
    """What stands above failures and warnings; None of a cancelled run that has none of them."""
    failures, warnings = len(failures_of(output, outcome)), len(warnings_of(output))
    counts = f"{_counted(failures, 'error')} and {_counted(warnings, 'warning')}:"
    if outcome.ending is Ending.CANCELLED:
        return f"Cancelled with {counts}" if failures or warnings else None
    if failures:
        return f"Completed with {counts}"
    if not output.success:
        return f"Did not succeed: {outcome.message or 'no reason given'}"
    return f"Completed with {_counted(warnings, 'warning')}:" if warnings else "Completed successfully"


def _print_problems(
    console: Console, output: DbtRunOutput, outcome: Outcome, commands: Commands | None, *, quiet: bool
) -> None:
    """Failures, then warnings, each with its message, as dbt lists them at its end; with `quiet` failures alone."""
    if quiet and output.success:
        return
    if output.skipped:
        _print(console, f"Skipped: {output.skip_reason or 'no reason given'}", "yellow")
        return
    failures, warnings = failures_of(output, outcome), warnings_of(output)
    headline = headline_of(outcome, output)
    if headline is None:
        return
    style = "red" if failures or not output.success else "yellow" if warnings else "green"
    _print(console, "")
    _print(console, headline, style)
    labelled = [(" ".join(node_label(result.unique_id)), result) for result in failures]
    print_failures(console, labelled, output.failed_nodes or [], commands)
    for result in () if quiet else warnings:
        _print(console, "")
        _print(console, f"Warning in {' '.join(node_label(result.unique_id))}", "yellow")
        print_message(console, result)


def _print_why_it_ended(console: Console, outcome: Outcome) -> None:
    _print(console, "")
    message = outcome.message or "no reason given"
    if outcome.ending is not Ending.FAILED:
        _print(console, f"The run was stopped: {message}", "yellow")
        return
    # dbt's own messages begin with the kind of error already.
    first, *rest = message.splitlines()
    headline = f"{outcome.error_type or 'Unknown'} Error"
    if not first.strip().lower().startswith(headline.lower()):
        first, rest = headline, [f"  {line}" for line in (first, *rest)]
    _print(console, first, "red")
    for line in rest:
        _print(console, line)


def places_of(
    outcome: Outcome, stored: StoredRun | None, ui_link: str | None, commands: Commands | None
) -> list[tuple[str, str]]:
    """Where to look, and how to retry the run: what each is, and the place or the command.

    Args:
        outcome: the end of the run.
        stored: what it has stored, where it has no output that says so.
        ui_link: to the run in Temporal's UI.
        commands: those about the run, where one of them is to be offered.
    """
    output = outcome.output
    if output is not None and output.artifacts is not None:
        stored = StoredRun(output.artifacts, output.report_path)
    places = _stored_places(stored) if stored else []
    if ui_link:
        places.append(("Temporal UI", ui_link))
    if commands and stored and stored.artifacts.run_results_path:  # what did succeed is known to a later run
        places.append(("retry", commands.retry))
    return places


def _print_places(console: Console, places: Sequence[tuple[str, str]]) -> None:
    if not places:
        return
    _print(console, "")
    width = max(len(name) for name, _ in places)
    for name, place in places:
        _print(console, f"{name:<{width}}  {place}")


def _stored_places(stored: StoredRun) -> list[tuple[str, str]]:
    """The folder with what it holds, and the report, which people open."""
    paths = stored.artifacts
    places = [paths.run_results_path, paths.manifest_path, paths.catalog_path, paths.sources_path, paths.log_path]
    places.append(paths.sql_path)
    files = [place.rpartition("/") for place in places if place]
    folders = dict.fromkeys(folder for folder, _, _ in files)
    shown = [
        ("artifacts", f"{folder}/ ({', '.join(name for each, _, name in files if each == folder)})")
        for folder in folders
    ]
    return [*shown, ("report", stored.report_path)] if stored.report_path else shown


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
