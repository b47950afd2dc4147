"""The views of a run in progress: plain lines, or a live table under the lines on a terminal."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dbt_temporal.application.ports.runs import Snapshot
from dbt_temporal.entrypoints.cli.following import RunView
from dbt_temporal.entrypoints.cli.shown.joined import Joined

SHOWN_RUNNING = 12
"""The live table holds this many running nodes, the longest-running first; the rest is counted."""
BAR_WIDTH = 30
REFRESHES_PER_SECOND = 8
SUMMARY_BEGINS = "Done. PASS="
REMEMBERED_LINES = 200

_STARTED = re.compile(r"(\d+ of \d+) START (.*)")
_ENDED = re.compile(r"  => (.*?)  \[(?!RETRY\b)")
_STYLES = (
    (re.compile(r"\[(?P<word>ERROR|FAIL)\b"), "red"),
    (re.compile(r"^(?P<word>Storing artifacts failed|on-run-\w+ failed)"), "red"),
    (re.compile(r"\[(?P<word>WARN|RETRY|CANCELLED)\b"), "yellow"),
    (re.compile(r"^\d+ of \d+ (?P<word>SKIP) "), "yellow"),
    (re.compile(r"\[(?P<word>OK|PASS|NO-OP)\b"), "green"),
)
"""The colours of the words of the run log that say how something ended (see `dbt_temporal.domain.log.run_log`)."""


def coloured(line: str) -> Text:
    """A line of the run log, of which the word that says how something ended has a colour, as in dbt's console."""
    text = Text(line)
    for pattern, style in _STYLES:
        found = pattern.search(line)
        if found is not None:
            text.stylize(style, *found.span("word"))
            break
    return text


class Numbers:
    """Puts the number that dbt gives a node before the line that it has ended, from the line that it has started."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def shown(self, line: str) -> str | None:
        """A line as it is shown above the live table; None where that shows it better: a node has started."""
        started = _STARTED.fullmatch(line)
        if started is not None:
            self._of[started[2]] = started[1]
            return None
        ended = _ENDED.match(line)
        number = self._of.pop(ended[1], None) if ended is not None else None
        return line if number is None else f"{number} {line.removeprefix('  => ')}"


def node_label(unique_id: str) -> tuple[str, str]:
    """A node's kind and name: (`test`, `not_null_orders_id`) of `test.shop.not_null_orders_id.0a1b2c3d4e`."""
    kind, _, rest = unique_id.partition(".")
    parts = rest.split(".")[1:]
    if kind == "test" and len(parts) > 1:
        parts = parts[:-1]
    return kind, ".".join(parts) or unique_id


def duration(seconds: float) -> str:
    """Seconds as a person reads them: `4.2s`, `2m 05s`, `1h 02m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"


@dataclass
class ShownLog:
    """What was shown of a run's log.

    Attributes:
        summary_line: dbt's summary line, kept back until all that belongs above it has been said.
        lines: the newest lines.
    """

    summary_line: str | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_LINES))

    def take(self, new_lines: Iterable[str]) -> list[str]:
        """Remembers new lines. Returns those to show now."""
        shown = []
        for line in new_lines:
            if line.startswith(SUMMARY_BEGINS):
                self.summary_line = line
            else:
                shown.append(line)
        self.lines.extend(shown)
        return shown

    def tells(self, message: str) -> bool:
        """Whether the newest lines hold the message already."""
        said = {_plain(line) for line in self.lines}
        return bool(message.strip()) and all(_plain(line) in said for line in message.splitlines())


def _plain(line: str) -> str:
    return line.strip().rstrip(".").lower()


class ProgressView(RunView, Protocol):
    """A view that is open while the run lasts."""

    log: ShownLog

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PlainProgress:
    """The lines of the run log as they appear, and nothing else; for files, pipes and CI."""

    wants_nodes = False
    wants_events = False

    def __init__(self, console: Console) -> None:
        self._console = console
        self.log = ShownLog()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        for line in self.log.take(snapshot.new_log_lines):
            self._console.print(Text(line), soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def away(self, text: str | None) -> None:
        if text is not None:
            self.note(text)


class NoProgress(PlainProgress):
    """Notes alone: for `list`, whose log is its result."""

    def show(self, snapshot: Snapshot) -> None:
        """Prints nothing."""


class LiveProgress:
    """What has ended as lines, each with its time, and below them what runs now, for how long, and how much is done.

    Args:
        console: the terminal.
        clock: a monotonic clock in seconds.
        joined: of a run that was under way already. When what its first snapshot tells has happened, nobody knows.
        time_of_day: for the lines.
    """

    wants_nodes = True
    wants_events = False

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        *,
        joined: Joined | None = None,
        time_of_day: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._console = console
        self._clock = clock
        self._joined = joined
        self._time_of_day = time_of_day
        self._numbers = Numbers()
        self.log = ShownLog()
        self._began = clock() - (joined.run_secs if joined else 0.0)
        self._snapshot = Snapshot()
        self._away: str | None = None
        self._started: dict[str, float | None] = {}
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Prints what has ended, for good, and takes over the rest for the table."""
        # The counts first: they must not lag behind the lines.
        self._snapshot = snapshot
        self._time_running_nodes(snapshot.node_status)
        now = "" if self._joined else f"{self._time_of_day():%H:%M:%S}  "
        self._joined = None
        for line in self.log.take(snapshot.new_log_lines):
            shown = self._numbers.shown(line)
            if shown is not None:
                is_message = not shown.strip() or shown.startswith("     ")
                text = Text.assemble(("" if is_message else now, "dim"), coloured(shown))
                self._console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"), soft_wrap=True)

    def away(self, text: str | None) -> None:
        self._away = text

    def render(self) -> RenderableType:
        away = [] if self._away is None else [Text(self._away, style="yellow")]
        return Group(self._progress_line(), *away, self._running_table())

    def _time_running_nodes(self, status: Mapping[str, str]) -> None:
        # The queries tell what runs, not since when: the time is counted from when it was first seen here, but for what
        # ran already then.
        running = [unique_id for unique_id, word in status.items() if word == "running"]
        self._started = {
            unique_id: self._started[unique_id] if unique_id in self._started else self._start_of(unique_id)
            for unique_id in running
        }

    def _start_of(self, unique_id: str) -> float | None:
        before = self._joined.secs_of(unique_id) if self._joined else 0.0
        return None if before is None else self._clock() - before

    def _progress_line(self) -> RenderableType:
        snapshot = self._snapshot
        elapsed = duration(self._clock() - self._began)
        if not snapshot.total_nodes:
            return Text(f"{(snapshot.phase or 'waiting for a worker').replace('_', ' ')} … {elapsed}", style="cyan")
        counts = snapshot.counts
        done = sum(counts.get(word, 0) for word in ("succeeded", "failed", "skipped"))
        line = Table.grid(padding=(0, 1))
        line.add_row(
            ProgressBar(total=snapshot.total_nodes, completed=done, width=BAR_WIDTH),
            Text(f"{done} of {snapshot.total_nodes} done"),
            Text(f"{counts.get('running', 0)} running", style="cyan"),
            Text(f"{counts.get('failed', 0)} failed", style="red" if counts.get("failed") else "dim"),
            Text(f"{counts.get('skipped', 0)} skipped", style="yellow" if counts.get("skipped") else "dim"),
            Text(elapsed, style="dim"),
        )
        return line

    def _running_table(self) -> RenderableType:
        now = self._clock()
        longest_first = sorted(self._started.items(), key=lambda item: item[1] or 0.0)
        table = Table.grid(padding=(0, 1))
        for unique_id, began in longest_first[:SHOWN_RUNNING]:
            kind, name = node_label(unique_id)
            time_text = Text("" if began is None else duration(now - began), style="cyan", justify="right")
            table.add_row(" ", time_text, Text(kind, style="dim"), Text(name, overflow="ellipsis", no_wrap=True))
        more = len(longest_first) - SHOWN_RUNNING
        if more > 0:
            table.add_row(" ", "", "", Text(f"and {more} more", style="dim"))
        return table


def progress_view(console: Console, *, joined: Joined | None = None) -> ProgressView:
    """The view for a console; `joined` is for a run that was under way already."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveProgress(console, joined=joined)
    return PlainProgress(console)
