"""Events of a run's end: what it came to, what has failed and what to do, and what its command is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO

from rich.console import Console

from dbt_temporal.application.ports.runs import Ending, Outcome, StoredRun
from dbt_temporal.domain.log.run_log import summary_line
from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult
from dbt_temporal.entrypoints.cli.events.event import Event, LogLevel
from dbt_temporal.entrypoints.cli.events.reading import node_info, stats_event
from dbt_temporal.entrypoints.cli.listing import TOO_LARGE, left_out_in_words, names_left_out
from dbt_temporal.entrypoints.cli.progress import ShownLog, node_label
from dbt_temporal.entrypoints.cli.shown.failures import Commands, print_failures, print_message
from dbt_temporal.entrypoints.cli.summary import failures_of, headline_of, places_of, told_by_end, warnings_of


def ending_events(
    outcome: Outcome, ui_link: str | None, log: ShownLog, commands: Commands | None, stored: StoredRun | None
) -> Iterator[Event]:
    """What is to be said when a run has ended, as `print_summary` says it; dbt's summary line is the last."""
    output = outcome.output
    if told_by_end(outcome) and not log.tells(outcome.message or ""):
        yield _why_it_ended(outcome)
    if output is not None:
        yield from _node_events(output)
        yield from _problem_events(output, outcome, commands)
    for error in output.hook_errors if output else ():
        yield _note("warn", f"Hook {error.hook_workflow_type} ({error.event}) failed: {error.error}")
    succeeded = output is not None and output.success
    for name, place in places_of(outcome, stored, ui_link, None if succeeded else commands):
        yield Event("Note", "info", f"{name}: {place}", {"msg": f"{name}: {place}", name.replace(" ", "_"): place})
    last = log.summary_line
    if last is None and output is not None and not output.skipped:
        last = summary_line(output.node_results)
    if last is not None:
        yield stats_event(last)


def result_events(command: str, output: DbtRunOutput) -> Iterator[Event]:
    """What a command is for: the listing, compiled code, rows, what a macro has printed."""
    if command == "list":
        lines = [result.message for result in output.node_results if result.message is not None]
        if len(lines) < len(output.node_results):
            yield Event("MainEncounteredError", "error", TOO_LARGE, {"exc": TOO_LARGE})
        else:
            yield from (Event("PrintEvent", "info", line, {"msg": line}) for line in lines)
        return
    for name in names_left_out(output):
        text = left_out_in_words(command, name)
        yield Event("MainEncounteredError", "error", text, {"exc": text})
    for result in output.node_results:
        if not result.output or command == "debug":  # the run's log has that
            continue
        _, name = node_label(result.unique_id)
        data = {"unique_id": result.unique_id, "node_name": name}
        if result.compiled_code is not None:
            yield Event("CompiledNode", "info", result.output, data | {"compiled": result.compiled_code})
        elif command == "show":
            yield Event("ShowNode", "info", result.output, data | {"preview": result.output})
        else:
            yield Event("PrintEvent", "info", result.output, {"msg": result.output})


def is_whole(command: str, output: DbtRunOutput | None) -> bool:
    """Whether what the command is for can be told whole."""
    if output is None:
        return True
    if command == "show":
        return not names_left_out(output)
    return command != "list" or all(each.message is not None for each in output.node_results)


def _node_events(output: DbtRunOutput) -> Iterator[Event]:
    for result in output.node_results:
        run_result = {
            "status": _status(result),
            "message": result.message or "",
            "execution_time": result.execution_time,
            "num_failures": result.failures or 0,
            "adapter_response": result.adapter_response,
            "timing_info": [each.model_dump(mode="json") for each in result.timing],
        }
        data = {"run_result": run_result, "node_info": node_info(result.unique_id, None, _status(result))}
        yield Event("NodeFinished", "debug", f"Finished running node {result.unique_id}", data)


def _problem_events(output: DbtRunOutput, outcome: Outcome, commands: Commands | None) -> Iterator[Event]:
    if output.skipped:
        yield _note("warn", f"Skipped: {output.skip_reason or 'no reason given'}")
        return
    failures, warnings = failures_of(output, outcome), warnings_of(output)
    headline = headline_of(outcome, output)
    if headline is None:
        return
    counts = {"num_errors": len(failures), "num_warnings": len(warnings)}
    level: LogLevel = "info"
    if failures or not output.success:
        level = "error"
    elif warnings:
        level = "warn"
    yield Event("EndOfRunSummary", level, headline, counts)
    known = output.failed_nodes or []
    for result in failures:
        failure = [(" ".join(node_label(result.unique_id)), result)]
        text = _printed(partial(print_failures, failures=failure, known=known, commands=commands))
        name = "RunResultFailure" if result.dbt_status == "fail" else "RunResultError"
        yield Event(name, "error", text, _of_node(result))
    for result in warnings:
        label = " ".join(node_label(result.unique_id))
        text = f"Warning in {label}\n" + _printed(partial(print_message, result=result))
        yield Event("RunResultWarning", "warn", text, _of_node(result))


def _why_it_ended(outcome: Outcome) -> Event:
    message = outcome.message or "no reason given"
    text = f"{outcome.error_type or 'Unknown'} Error\n  {message}"
    if outcome.ending is not Ending.FAILED:
        text = f"The run was stopped: {message}"
    return Event("MainEncounteredError", "error", text, {"exc": message})


def _of_node(result: NodeExecutionResult) -> dict[str, object]:
    return {"msg": result.message or "", "node_info": node_info(result.unique_id, None, _status(result))}


def _status(result: NodeExecutionResult) -> str:
    return result.status if result.status == "cancelled" else result.dbt_status or result.status


def _note(level: LogLevel, msg: str) -> Event:
    return Event("Note", level, msg, {"msg": msg})


def _printed(show: Callable[[Console], None]) -> str:
    """What is printed of something, as text."""
    console = Console(file=StringIO(), highlight=False)
    show(console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().strip("\n")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
