"""The log: one line per record, as text or as JSON, with the fields of the run that it belongs to, without secrets."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any

import orjson

from dbt_temporal.adapters.telemetry.settings import LogSettings
from dbt_temporal.application.log_context import current_fields, current_redactor
from dbt_temporal.domain.secrets.redaction import Redactor

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_CHATTY = ("temporalio", "asyncio", "fsspec", "botocore", "aiobotocore", "urllib3", "opentelemetry")
"""Libraries whose start and end, and each request, is no news; their warnings are."""


class _Formatter(logging.Formatter):
    """Finds a record's parts, without secrets: those of the worker, and those of the run that is going on."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def _safe(self, text: str) -> str:
        of_run = current_redactor()
        text = self._redactor.text(text)
        return text if of_run is None else of_run.text(text)

    def _message(self, record: logging.LogRecord) -> str:
        return self._safe(record.getMessage())

    def _trace(self, record: logging.LogRecord) -> str | None:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._safe("\n".join(parts)) if parts else None


class JsonFormatter(_Formatter):
    """A JSON object per line: timestamp, level, logger, message, the fields of the run, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
            **_fields(record),
        }
        trace = self._trace(record)
        if trace:
            line["exception"] = trace
        return orjson.dumps(line, default=str).decode()


class TextFormatter(_Formatter):
    """A line for people, the fields of the run at its end; more lines of a message, and a traceback, follow."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        message, *more = self._message(record).split("\n")
        trace = self._trace(record)
        line = f"{time} {record.levelname} {record.name}: {message}{' |' if fields else ''}{fields}"
        return "\n".join([line, *more, *([trace] if trace else [])])


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of what goes on here, and those of the run that Temporal's SDK gives to records of its own."""
    info = getattr(record, "temporal_workflow", None) or getattr(record, "temporal_activity", None) or {}
    by_sdk = {
        "workflow_id": info.get("workflow_id"),
        "invocation_id": info.get("run_id") or info.get("workflow_run_id"),
    }
    return {**{name: value for name, value in by_sdk.items() if value}, **current_fields()}


def configure_logging(
    settings: LogSettings, secrets: frozenset[str] = frozenset(), stream: IO[str] | None = None
) -> None:
    """Sets the process's log up; what was set up before goes.

    No line shows `secrets`, which are the worker's own. It goes to stderr by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = JsonFormatter if settings.format == "json" else TextFormatter
    handler.setFormatter(formatter(Redactor(secrets)))
    level = _LEVELS[settings.level]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))


class LogLines:
    """A text stream whose lines become log records: for what else is printed, where every line must be JSON."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._open = ""

    def write(self, text: str) -> int:
        """Logs every line that is complete now."""
        *lines, self._open = (self._open + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.info("%s", line.rstrip())
        return len(text)

    def flush(self) -> None:
        """Nothing waits but an open line."""

    def isatty(self) -> bool:
        return False
