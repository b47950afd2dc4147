"""The program `dbt-temporal`, from its first line on: what takes long is begun before the command line is imported."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line, and ends the process with its exit code."""
    if sys.argv[1:] == ["worker"]:
        from dbt_temporal.entrypoints.worker import head_start

        head_start.begin()
    from dbt_temporal.entrypoints.cli.main import main as run_command_line

    run_command_line()
