"""One event, and how events are written: the levels, formats and JSON lines are dbt's.

Checked against dbt-core 1.11 by tests/unit/entrypoints/events (names, codes) and its code: `setup_event_logger`
(dbt/events/logging.py), `_TextLogger` and `_JsonLogger` (dbt_common/events/logger.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from rich.console import Console
from rich.text import Text

from dbt_temporal.entrypoints.cli.progress import coloured

LogLevel = Literal["debug", "info", "warn", "error", "none"]
LogFormat = Literal["text", "debug", "json", "default"]
LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)
FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)

CODES: Mapping[str, str] = {
    "MainReportVersion": "A001",
    "MainEncounteredError": "Z002",
    "FoundStats": "W006",
    "ConcurrencyLine": "Q027",
    "LogStartLine": "Q011",
    "LogModelResult": "Q012",
    "LogSnapshotResult": "Q015",
    "LogSeedResult": "Q016",
    "LogTestResult": "Q007",
    "LogFreshnessResult": "Q018",
    "LogNodeNoOpResult": "Q019",
    "LogNodeResult": "Q008",
    "LogBatchResult": "Q046",
    "LogHookEndLine": "Q033",
    "LogCancelLine": "Q022",
    "SkippingDetails": "Q034",
    "NodeFinished": "Q025",
    "FinishedRunningStats": "E047",
    "EndOfRunSummary": "Z030",
    "RunResultError": "Z024",
    "RunResultFailure": "Z022",
    "RunResultWarning": "Z021",
    "StatsLine": "Z023",
    "Formatting": "Z017",
    "Note": "Z050",
    "PrintEvent": "Z052",
    "ShowNode": "Q041",
    "CompiledNode": "Q042",
}
"""dbt's events that we tell, and the codes that dbt has for them."""

_PRINTED = frozenset({"PrintEvent", "ShowNode", "CompiledNode"})
_CUSTOM_PREFIX = "DBT_ENV_CUSTOM_ENV_"
"""Of variables that dbt puts into each event."""


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        name: dbt's, one of `CODES` where the event is ours to tell, and not only to pass on.
        level: debug, info, warn or error.
        msg: the text, of one line or several.
        data: its fields, by dbt's names as far as dbt has them.
        code: dbt's, where it is none of those of `CODES`.
    """

    name: str
    level: LogLevel
    msg: str
    data: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = None

    @property
    def is_printed(self) -> bool:
        """Whether it is what a command is for, or `print`ed: at every level but `none`, and without a time, as dbt."""
        return self.name in _PRINTED


@dataclass(frozen=True)
class Showing:
    """How a command tells of its run.

    Attributes:
        format: `default` is a live view on a terminal, and the lines of the log elsewhere.
        level: what is left out below it; with `none` all is.
    """

    format: LogFormat = "default"
    level: LogLevel = "info"

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> Showing:
        """What flags say, which win over each other as with dbt."""
        level: LogLevel = flags.get("log_level") or "info"
        if level != "none":
            level = "error" if flags.get("quiet") else "debug" if flags.get("debug") else level
        return cls(flags.get("log_format") or "default", level)

    @property
    def by_events(self) -> bool:
        """Whether it is told event by event, and not by the view of a person at a terminal."""
        return self.format != "default" or self.level not in ("info", "error")

    @property
    def quiet(self) -> bool:
        """Whether nothing is told but failures and what macros print."""
        return self.level in ("error", "none")

    def tells(self, event: Event) -> bool:
        """Whether an event is told at this level."""
        if self.level == "none":
            return False
        return event.is_printed or LEVELS.index(event.level) >= LEVELS.index(self.level)


def utc_now() -> datetime:
    return datetime.now(UTC)


class EventWriter:
    """Writes events to a console, in one of dbt's formats.

    Args:
        console: where to.
        showing: the format, and what is left out.
        invocation_id: dbt's, of the run.
        now: the time of an event: when it is heard of.
        environ: which holds what each event says besides.
    """

    def __init__(
        self,
        console: Console,
        showing: Showing,
        invocation_id: str = "",
        now: Callable[[], datetime] = utc_now,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._console = console
        self._showing = showing
        self._invocation_id = invocation_id
        self._now = now
        self._extra = {
            name.removeprefix(_CUSTOM_PREFIX): value
            for name, value in environ.items()
            if name.startswith(_CUSTOM_PREFIX)
        }

    def write(self, event: Event) -> None:
        """Writes an event, unless it is left out."""
        if not self._showing.tells(event):
            return
        if self._showing.format == "json":
            print(json.dumps(self._as_json(event), sort_keys=True), file=self._console.file, flush=True)
        elif event.is_printed and self._showing.format != "debug":
            print(event.msg, file=self._console.file, flush=True)
        else:
            first, *rest = event.msg.split("\n")
            self._console.print(Text(self._stamp(event)) + coloured(first), soft_wrap=True)
            for line in rest:
                self._console.print(coloured(line), soft_wrap=True)

    def _stamp(self, event: Event) -> str:
        if self._showing.format == "debug":
            return f"{self._now():%H:%M:%S.%f} [{event.level:<5}] [MainThread]: "
        # At level `warn` there are few lines, whose format nobody has asked for.
        return "" if self._showing == Showing("default", "warn") else f"{self._now():%H:%M:%S}  "

    def _as_json(self, event: Event) -> dict[str, Any]:
        return {
            "info": {
                "category": "",
                "code": CODES[event.name] if event.code is None else event.code,
                "extra": self._extra,
                "invocation_id": self._invocation_id,
                "level": event.level,
                "msg": event.msg,
                "name": event.name,
                "pid": os.getpid(),
                "thread": "MainThread",
                "ts": self._now().isoformat().replace("+00:00", "Z"),
            },
            "data": dict(event.data),
        }
