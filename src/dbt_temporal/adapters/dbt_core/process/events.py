"""dbt's events, sorted by the node they belong to: its log, and its exception.

Checked on dbt-core 1.11.16, 1.12.0 and dbt-common 1.39: `setup_event_logger`, which makes the logger of dbt.log by the
flags about it, the loggers' `filter`, `write_line` and Python logger, `get_node_info`, and dbt's event names.
"""

from __future__ import annotations

import copy
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbt.cli.flags import Flags
from dbt.events.logging import setup_event_logger
from dbt_common.events.base_types import EventLevel, EventMsg
from dbt_common.events.contextvars import get_node_info
from dbt_common.events.event_manager_client import get_event_manager
from dbt_common.events.logger import PRINT_EVENT_NAMES, _log_level_map

from dbt_temporal.application.attempt_facts import COMPILING, EXECUTING, PHASE
from dbt_temporal.domain.limits import MESSAGES_LIMIT_CHARS
from dbt_temporal.domain.log.said import Kind, SaidLines, marked

LOG_LIMIT_CHARS = 1_000_000
"""A node's log is cut here: a loop that logs must not fill the worker."""

_EXCEPTION_EVENTS = frozenset(
    {
        "CatchableExceptionOnRun",
        "InternalErrorOnRun",
        "GenericExceptionOnRun",
        "RunningOperationCaughtError",
        "RunningOperationUncaughtError",
    }
)

_PHASES = {"NodeCompiling": COMPILING, "NodeExecuting": EXECUTING}
"""What a node is at from these events on."""

_SAID = frozenset({"JinjaLogInfo", "PrintEvent", "AdapterEventInfo", "Note"})
"""What projects and adapters say by themselves at info level: `log(..., info=True)`, `print`."""
_PROGRESS = "Log"
"""Begins the names of events that tell how nodes end, at any level: the run tells that itself."""

_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def without_colors(text: str) -> str:
    return _COLOR.sub("", text)


def is_message(msg: EventMsg) -> bool:
    """Whether an event is something that dbt or the project has to say, and no progress or failure."""
    name = msg.info.name
    return name in _SAID or (msg.info.level == "warn" and not name.startswith(_PROGRESS))


def kind_of(msg: EventMsg) -> Kind:
    """What an event is, by dbt's words."""
    return Kind.of(msg.info.name, msg.info.code, msg.info.level)


class Messages:
    """Messages of one kind of origin, as the console has them, without colors but marked (`domain.log.said`); not all
    where they are too long.

    Lines stay whole: in a part of one, nobody would find the secret that it was cut in.
    """

    def __init__(self) -> None:
        self._said = SaidLines(MESSAGES_LIMIT_CHARS, whole=True)
        self._lock = threading.Lock()

    def add(self, text: str, kind: Kind | None = None) -> None:
        """Takes one, or a line that goes on with the one before it."""
        with self._lock:
            words = without_colors(text)
            for line in (words if kind is None else marked(words, kind)).splitlines():
                self._said.add(line, LOG_LIMIT_CHARS)

    def lines(self) -> list[str]:
        """All of them."""
        with self._lock:
            return list(self._said.lines)


class NodeCapture:
    """What one attempt at a node leaves behind beside its result.

    Args:
        tell: hears what the attempt is at.
    """

    def __init__(self, tell: Callable[[Mapping[str, Any]], None] = lambda _facts: None) -> None:
        self._tell = tell
        self._lines: list[str] = []
        self._size = 0
        self._lock = threading.Lock()
        self._printed: list[str] = []
        self._printed_size = 0
        self.said = Messages()
        self.exception: BaseException | None = None
        self._commits = False
        self.committed = False
        """Whether the database has confirmed a commit of the node's work."""

    @property
    def printed(self) -> str:
        """What the command line would have shown of it on standard output, without instants and colors."""
        return "\n".join(self._printed)

    def print(self, text: str) -> None:
        """Adds to what is printed."""
        with self._lock:
            if self._printed_size < LOG_LIMIT_CHARS:
                self._printed.append(without_colors(text))
                self._printed_size += len(text)

    @property
    def log(self) -> str:
        """The text, in the format of dbt.log."""
        return "\n".join(self._lines)

    def take(self, msg: EventMsg) -> None:
        """Takes one event; called on the thread that fired it."""
        if msg.info.name in _PHASES:
            self._tell({PHASE: _PHASES[msg.info.name]})
        if msg.info.name == "SQLCommit":  # dbt is about to commit; the next statement that ends is the commit
            self._commits = True
        elif msg.info.name == "SQLQueryStatus":
            self.committed = self.committed or self._commits
        if msg.info.name in _EXCEPTION_EVENTS and (error := sys.exc_info()[1]) is not None:
            # dbt fires these while it handles the exception, of which its results keep the text only.
            self.exception = error

    def add_line(self, line: str) -> None:
        """Adds to the log."""
        with self._lock:
            if self._size < LOG_LIMIT_CHARS:
                self._lines.append(line)
                self._size += len(line)
                if self._size >= LOG_LIMIT_CHARS:
                    self._lines.append("... (the log of this node is longer and was cut here)")


class EventRouter:
    """dbt's one event callback of a host.

    Logs of nodes are what dbt.log would have of them, by dbt's own logger; its file lies in `folder`, and stays empty.
    """

    def __init__(self, flags: Flags, folder: Path) -> None:
        self._captures: dict[str, dict[int, NodeCapture]] = {}
        """By node and thread: batches of a model may run side by side."""
        self.said_of_files = Messages()
        """What was said of the files, as each run is to hear it."""
        self.said = Messages()
        """What else was said of no node."""
        self._console, self._logger = _loggers(flags, folder)

    def __call__(self, msg: EventMsg) -> None:
        """Hands an event to the capture of the node whose context it was fired in."""
        capture = self._capture()
        text = self._printed(msg)
        if text is not None and is_message(msg):
            (self if capture is None else capture).said.add(text, kind_of(msg))
        if capture is not None:
            capture.take(msg)
            if text is not None:
                capture.print(text)
            if self._logger is not None and _is_written(self._logger, msg):
                # Not by its Python logger, which would look through the stack for who calls it.
                capture.add_line(without_colors(self._logger.create_line(msg)))

    def hear_of_files(self, events: Iterable[EventMsg]) -> None:
        """Takes what a parse has said: however much that is, there is room for what is said of the selection."""
        for event in events:
            self(event)
        self.said_of_files, self.said = self.said, Messages()

    def _printed(self, msg: EventMsg) -> str | None:
        """What dbt's console would show of an event: without dbt's own secrets (DBT_ENV_SECRET_*)."""
        if self._console is None or not _is_written(self._console, msg):
            return None
        return str(self._console.scrubber(msg.info.msg))

    def _capture(self) -> NodeCapture | None:
        return self._of(get_node_info().get("unique_id", ""))

    def _of(self, unique_id: str) -> NodeCapture | None:
        """That of this thread, or where dbt has made another one for the node, of whichever works at it."""
        captures = self._captures.get(unique_id, {})
        return captures.get(threading.get_ident()) or next(reversed(list(captures.values())), None)

    @contextmanager
    def capturing(self, unique_id: str, capture: NodeCapture) -> Iterator[NodeCapture]:
        thread = threading.get_ident()
        captures = self._captures.setdefault(unique_id, {})
        before = captures.get(thread)
        captures[thread] = capture
        try:
            yield capture
        finally:
            if before is None:
                del captures[thread]
            else:
                captures[thread] = before

    def keep_exception(self, unique_id: str, error: BaseException | None) -> None:
        """Remembers an exception that dbt caught outside of a node's own handling."""
        capture = self._of(unique_id)
        if capture is not None and error is not None:
            capture.exception = error


def _is_written(logger: Any, msg: EventMsg) -> bool:
    """Whether one of dbt's loggers writes an event (`_Logger.write_line`, `EventManager.fire_event`)."""
    level = "error" if msg.info.name in PRINT_EVENT_NAMES else msg.info.level
    return bool(logger.filter(msg) and logger._python_logger.isEnabledFor(_log_level_map[EventLevel(level)]))


def _loggers(flags: Flags, folder: Path) -> tuple[Any, Any]:  # dbt's `_Logger`s
    """dbt's loggers of the console and of dbt.log, which write nothing; None where the flags want no such log."""
    elsewhere = copy.copy(flags)
    object.__setattr__(elsewhere, "LOG_PATH", str(folder))
    setup_event_logger(elsewhere)
    manager = get_event_manager()
    loggers: dict[str, Any] = {logger.name: logger for logger in manager.loggers}
    manager.loggers = []
    for logger in loggers.values():
        for handler in list(logger._python_logger.handlers):
            logger._python_logger.removeHandler(handler)
            if isinstance(handler, logging.FileHandler):
                handler.close()
    return loggers.get("stdout_log"), loggers.get("file_log")
