"""What is said of failed nodes at the end of a run: what went wrong, where, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from dbt_temporal.domain.failed_nodes import FailedNode
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.state import first_line

MAX_WHOLE = 5
"""So many failures are told of with all that is known; the others in two lines."""
MAX_SHOWN = 20
MAX_MESSAGE_LINES = 12

_WIDTH = len("compiled SQL")


@dataclass(frozen=True)
class Commands:
    """Our commands about one run, ready to be copied.

    Attributes:
        workflow_id: the run's.
        flags: what the person has given to reach the server, which the next command needs as well.
        project: the project, where the person has named it.
        target: the target, likewise.
        can_show: whether `show` would run a test's query as the run did: vars and environment are not said again.
    """

    workflow_id: str
    flags: Sequence[str] = ()
    project: str | None = None
    target: str | None = None
    can_show: bool = False

    def of_run(self, command: str, *words: str) -> str:
        """A command about the run."""
        return shlex.join(["dbt-temporal", command, self.workflow_id, *words, *self.flags])

    @property
    def retry(self) -> str:
        """The command that runs again what did not succeed."""
        return self.of_run("retry", *_given("--project", self.project))

    def show(self, name: str) -> str | None:
        """The command that prints some of the rows that a test finds; None where it would not find the same ones."""
        if not self.can_show:
            return None
        given = [*_given("--project", self.project), *_given("--target", self.target)]
        return shlex.join(["dbt-temporal", "show", "--select", name, *given, *self.flags])


def _given(flag: str, value: str | None) -> list[str]:
    return [flag, value] if value else []


def print_failures(
    console: Console,
    failures: Sequence[tuple[str, NodeExecutionResult]],
    known: Sequence[FailedNode],
    commands: Commands | None,
) -> None:
    """Prints the first failures whole, then some shortly, and how many more there are.

    Args:
        console: the terminal.
        failures: results of failed nodes, each with its kind and name.
        known: what is told of some of them beside that.
        commands: those about the run.
    """
    by_id = {node.unique_id: node for node in known}
    for label, result in failures[:MAX_WHOLE]:
        _print(console, "")
        _print(console, f"Failure in {label}", "red")
        print_message(console, result)
        if result.unique_id in by_id:
            _print_known(console, by_id[result.unique_id], result.message or "", commands)
    for label, result in failures[MAX_WHOLE:MAX_SHOWN]:
        _print(console, "")
        _print(console, f"Failure in {label}", "red")
        _print(console, f"  {first_line(result.message)}" if result.message else f"  Status: {_status(result)}")
    more = len(failures) - MAX_SHOWN
    if more > 0:
        _print(console, "")
        place = "run_results.json" if commands is None else commands.of_run("results")
        _print(console, f"and {more} more: {place}", "red")


def print_message(console: Console, result: NodeExecutionResult) -> None:
    """The message of a result, its first lines where it is long."""
    age = result.freshness.age_in_words() if result.freshness is not None else None
    lines = (result.message or age or f"Status: {_status(result)}").splitlines()
    if len(lines) > MAX_MESSAGE_LINES:
        lines = [*lines[:MAX_MESSAGE_LINES], f"... and {len(lines) - MAX_MESSAGE_LINES} more lines"]
    for line in lines:
        _print(console, f"  {line}")


def _print_known(console: Console, node: FailedNode, message: str, commands: Commands | None) -> None:
    width = len(str(max((line.number for line in node.lines), default=0)))
    for line in node.lines:
        mark = ">" if line.is_named else " "
        _print(console, f"  {mark} {line.number:>{width}} | {line.text}", "bold" if line.is_named else "dim")
    for name, text in _facts(node, message, commands):
        first, *rest = text.splitlines() or [""]
        _print(console, f"  {name:<{_WIDTH}}  {first}")
        for each in rest:
            _print(console, f"  {'':<{_WIDTH}}  {each}")


def _facts(node: FailedNode, message: str, commands: Commands | None) -> Iterator[tuple[str, str]]:
    if node.path and node.path not in message:
        yield "file", node.path
    if node.query:
        yield "query", node.query
    if node.code_path:
        yield "compiled SQL", node.code_path
    if node.stored_failures:
        yield "failing rows", f"select * from {node.stored_failures}"
    elif node.found_rows:
        shown = commands and commands.show(node.name)
        if shown:
            yield "failing rows", shown
    if commands is not None:
        yield "log", commands.of_run("logs", node.name)


def _status(result: NodeExecutionResult) -> str:
    return result.dbt_status or result.status


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
