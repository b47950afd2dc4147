"""The worker's log as its settings want it, and a console that suits it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import IO, cast

from pydantic import BaseModel, SecretStr
from rich.console import Console

from dbt_temporal.adapters.telemetry.logs import LogLines, configure_logging
from dbt_temporal.domain.secrets.redaction import secret_values
from dbt_temporal.entrypoints.settings import Settings

logger = logging.getLogger("dbt_temporal.worker")

_WIDE = 10_000
"""A log line is as long as it is: nothing is folded."""


def start_log(settings: Settings, environ: Mapping[str, str]) -> None:
    """Sets the log up; it shows neither the worker's own secrets nor those that dbt marks as such."""
    secrets = frozenset(_own_secrets(settings)) | secret_values({}, worker_env=environ)
    configure_logging(settings.logs, secrets)


class _LastingConsole(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read the output has gone. By default rich ends the program; a worker works on, and ends in order."""
        self.quiet = True
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # else Python fails to flush at its end


def worker_console(settings: Settings) -> Console:
    """Where the worker says what happens: the terminal, or the log where every line must be JSON."""
    if settings.logs.format == "text":
        console = _LastingConsole()
        console.soft_wrap = not console.is_terminal  # in a file, a line of the log stays one
        return console
    return Console(file=cast(IO[str], LogLines(logger)), width=_WIDE, color_system=None)


def _own_secrets(settings: BaseModel) -> Iterator[str]:
    for _, value in settings:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _own_secrets(value)
