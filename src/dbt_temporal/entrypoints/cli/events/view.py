"""The view of a run that is told event by event."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from dbt_temporal.application.ports.runs import Outcome, Snapshot, StoredRun
from dbt_temporal.entrypoints.cli.events.ending import ending_events, is_whole, result_events
from dbt_temporal.entrypoints.cli.events.event import Event, EventWriter, Showing
from dbt_temporal.entrypoints.cli.events.reading import LogReader, said_event
from dbt_temporal.entrypoints.cli.progress import NoProgress, ProgressView, ShownLog, progress_view
from dbt_temporal.entrypoints.cli.shown.failures import Commands
from dbt_temporal.entrypoints.cli.shown.joined import Joined


class EventView:
    """Writes what a run tells, as it comes.

    Args:
        writer: of what is told on the way.
        results: of what the command is for; None where that is the same.
        has_log: whether the run's log is told: of `list`, whose result it is, warnings alone are.
    """

    wants_nodes = False
    wants_events = True

    def __init__(self, writer: EventWriter, results: EventWriter | None = None, *, has_log: bool = True) -> None:
        self._writer = writer
        self._results = results or writer
        self._has_log = has_log
        self._reader = LogReader()
        self._phase = ""
        self.log = ShownLog()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def submitted(self, workflow_id: str) -> None:
        """Says that the run was submitted."""
        msg = f"Submitted {workflow_id}"
        self._writer.write(Event("Note", "info", msg, {"msg": msg, "workflow_id": workflow_id}))

    def show(self, snapshot: Snapshot) -> None:
        """Writes the events of new lines, and at level `debug` the run's phases."""
        if self._has_log:
            self.log.take(snapshot.new_log_lines)
            for event in self._reader.events(snapshot.new_log_lines, snapshot.new_numbered, snapshot.new_said):
                self._writer.write(event)
        else:
            for event in _warnings(snapshot):
                self._writer.write(event)
        if snapshot.phase != self._phase:
            self._phase = snapshot.phase
            msg = f"The run's phase is {snapshot.phase}"
            self._writer.write(Event("Note", "debug", msg, {"msg": msg, "phase": snapshot.phase}))

    def note(self, text: str) -> None:
        self._writer.write(Event("Note", "warn", text, {"msg": text}))

    def away(self, text: str | None) -> None:
        if text is not None:
            self.note(text)

    def results(self, command: str, outcome: Outcome) -> bool:
        """Writes what the command is for. False where it could not be told whole."""
        if outcome.output is not None:
            for event in result_events(command, outcome.output):
                self._results.write(event)
        return is_whole(command, outcome.output)

    def ended(self, outcome: Outcome, ui_link: str | None, commands: Commands | None, stored: StoredRun | None) -> None:
        """Writes how the run has ended."""
        for event in ending_events(outcome, ui_link, self.log, commands, stored):
            self._writer.write(event)


class PipeView(NoProgress):
    """What dbt and the project warn of, on standard error; notes besides. The result alone is on standard output."""

    wants_events = True

    def __init__(self, err: Console) -> None:
        super().__init__(err)
        self._err = err

    def show(self, snapshot: Snapshot) -> None:
        """Prints what was warned of since."""
        for event in _warnings(snapshot):
            self._err.print(Text(event.msg, style="yellow"), soft_wrap=True)


class QuietView(NoProgress):
    """What macros `print`, as dbt has it at level `error`; failures are told at the end."""

    wants_events = True

    def __init__(self, out: Console, err: Console) -> None:
        super().__init__(err)
        self._printed = EventWriter(out, Showing(level="error"))

    def show(self, snapshot: Snapshot) -> None:
        """Writes what was printed since."""
        for said in snapshot.new_said:
            event = said_event(snapshot.new_log_lines[said.line : said.line + said.lines], said)
            if event.is_printed:
                self._printed.write(event)


def _warnings(snapshot: Snapshot) -> Iterator[Event]:
    """What dbt and the project have warned of since."""
    for said in snapshot.new_said:
        event = said_event(snapshot.new_log_lines[said.line : said.line + said.lines], said)
        if event.level in ("warn", "error"):
            yield event


def view_of(
    showing: Showing,
    out: Console,
    err: Console,
    invocation_id: str = "",
    *,
    for_pipes: bool = False,
    joined: Joined | None = None,
) -> ProgressView:
    """The view for two consoles.

    Args:
        showing: what was asked for.
        out: standard output.
        err: standard error.
        invocation_id: dbt's, which JSON lines have.
        for_pipes: whether standard output is for what the command is for alone; JSON lines have all there.
        joined: what is known of the times of a run that was under way already.
    """
    if showing.by_events:
        results = EventWriter(out, showing, invocation_id)
        told = results if showing.format == "json" or not for_pipes else EventWriter(err, showing, invocation_id)
        return EventView(told, results, has_log=not for_pipes)
    if for_pipes:
        return NoProgress(err) if showing.quiet else PipeView(err)
    if showing.quiet:
        return QuietView(out, err)
    return progress_view(out, joined=joined)
