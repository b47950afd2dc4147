"""Runs what a command is for, and turns its errors into messages and exit codes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import click

from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.flags import FLAG_OF_VARIABLE
from dbt_temporal.entrypoints.exit_codes import COULD_NOT_RUN


class Failure(click.ClickException):
    """A message for the user, and dbt's exit code for what could not run."""

    exit_code = COULD_NOT_RUN


def run_program(
    start: Callable[[], Any],
    run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run,
    flags: Mapping[str, Any] | None = None,
) -> int:
    """Runs a program, which may be a coroutine for `run`, and turns its errors into messages.

    Args:
        start: the program.
        run: runs the coroutine.
        flags: what was given on the command line; messages name these flags, and not the variables in their place.
    """
    from dbt_temporal.entrypoints.settings import SettingsError

    try:
        result = start()
        if isinstance(result, Coroutine):
            result = run(result)
    except SettingsError as error:
        raise Failure(_by_flags(str(error), flags or {})) from error
    except DbtTemporalError as error:
        raise Failure(_by_flags(error.message, flags or {})) from error
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return COULD_NOT_RUN
    return int(result or 0)


def _by_flags(message: str, flags: Mapping[str, Any]) -> str:
    named = message
    for variable, flag in FLAG_OF_VARIABLE.items():
        if flags.get(flag.removeprefix("--").replace("-", "_")):
            named = re.sub(rf"\b{variable}\b", flag, named)
    return named if named == message else named.replace("invalid environment:", "invalid flags or environment:")


def consoles(flags: Mapping[str, Any]) -> tuple[Any, Any]:
    """Standard output and standard error, with colours as the terminal and NO_COLOR have it, unless a flag says."""
    from rich.console import Console

    # What is printed are names and messages of others: `:key:` and `[bold]` stay as they are.
    as_it_is: dict[str, Any] = {"highlight": False, "emoji": False, "markup": False}
    no_color = True if flags.get("use_colors") is False else None
    return Console(no_color=no_color, **as_it_is), Console(no_color=no_color, stderr=True, **as_it_is)


def run_at_server(flags: dict[str, Any], work: Callable[[Any, Any], Coroutine[Any, Any, int]]) -> None:
    """Does work with the server that the flags name and the console, and exits with its code."""
    from rich.console import Console

    from dbt_temporal.entrypoints.cli.submit import find_target, server_variables

    async def run() -> int:
        return await work(find_target(os.environ, server_variables(flags)), Console(highlight=False, emoji=False))

    sys.exit(run_program(run, flags=flags))
