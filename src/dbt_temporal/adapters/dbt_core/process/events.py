"""dbt's events, sorted by the node they belong to: its log, and its exception.

Checked on dbt-common 1.39: `_TextLogger` (the format of dbt.log), `get_node_info`, and dbt's event names.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dbt_common.events.base_types import EventMsg
from dbt_common.events.contextvars import get_node_info
from dbt_common.events.functions import env_scrubber
from dbt_common.events.logger import LineFormat, LoggerConfig, _TextLogger

LOG_LIMIT_CHARS = 1_000_000
"""A node's log is cut here: a loop that logs must not fill the worker."""

_EXCEPTION_EVENTS = frozenset({"CatchableExceptionOnRun", "InternalErrorOnRun", "GenericExceptionOnRun"})
_NOISE = frozenset({"CacheAction", "CacheDumpGraph"})


_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def without_colors(text: str) -> str:
    return _COLOR.sub("", text)


class NodeCapture:
    """What one attempt at a node leaves behind beside its result."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._lock = threading.Lock()
        self.exception: BaseException | None = None

    @property
    def log(self) -> str:
        """The text, in the format of dbt.log."""
        return "\n".join(self._lines)

    def take(self, msg: EventMsg, line: str) -> None:
        """Takes one event; called on the thread that fired it."""
        name = msg.info.name
        if name in _EXCEPTION_EVENTS and (error := sys.exc_info()[1]) is not None:
            # dbt fires these while it handles the exception, of which its results keep the text only.
            self.exception = error
        with self._lock:
            if self._size < LOG_LIMIT_CHARS:
                self._lines.append(line)
                self._size += len(line)
                if self._size >= LOG_LIMIT_CHARS:
                    self._lines.append("... (the log of this node is longer and was cut here)")


class EventRouter:
    """dbt's one event callback of a host."""

    def __init__(self) -> None:
        self._captures: dict[str, NodeCapture] = {}
        self._formatter = _TextLogger(
            LoggerConfig(name="dbt_temporal", line_format=LineFormat.DebugText, scrubber=env_scrubber)
        )

    def __call__(self, msg: EventMsg) -> None:
        """Hands an event to the capture of the node whose context it was fired in."""
        capture = self._captures.get(get_node_info().get("unique_id", ""))
        if capture is not None and msg.info.name not in _NOISE:
            capture.take(msg, without_colors(self._formatter.create_line(msg)))

    @contextmanager
    def capturing(self, unique_id: str, capture: NodeCapture) -> Iterator[NodeCapture]:
        before = self._captures.get(unique_id)
        self._captures[unique_id] = capture
        try:
            yield capture
        finally:
            if before is None:
                self._captures.pop(unique_id, None)
            else:
                self._captures[unique_id] = before

    def keep_exception(self, unique_id: str, error: BaseException | None) -> None:
        """Remembers an exception that dbt caught outside of a node's own handling."""
        capture = self._captures.get(unique_id)
        if capture is not None and error is not None:
            capture.exception = error
