"""dbt's commands on our command line: what `--help` says of each, and its flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from dbt_temporal.entrypoints.cli.flags import (
    EVENT_TIME_FLAGS,
    FULL_REFRESH_FLAG,
    RETRY_FROM_FLAG,
    RUN_FLAGS,
    SELECTION_FLAGS,
    SUBMIT_FLAGS,
    Decorator,
)


@dataclass(frozen=True)
class CliCommand:
    """One command.

    Attributes:
        name: the run contract's; where dbt calls it by two words, the command has these as well.
        help: the text of `--help`.
        own: flags and arguments of its own.
        selects: whether it has flags to select nodes, and can do what an earlier run did not.
    """

    name: str
    help: str
    own: Sequence[Decorator] = ()
    selects: bool = True

    @property
    def flags(self) -> list[Decorator]:
        selection = [*SELECTION_FLAGS, RETRY_FROM_FLAG] if self.selects else []
        return [*self.own, *selection, *RUN_FLAGS, *SUBMIT_FLAGS]


_BUILDING = (FULL_REFRESH_FLAG, *EVENT_TIME_FLAGS)
_EARLIER_RUN: Decorator = click.argument("earlier_run", metavar="[ID]", required=False)

DBT_COMMANDS: tuple[CliCommand, ...] = (
    CliCommand("build", "Run seeds, models, snapshots and tests in order.", _BUILDING),
    CliCommand("run", "Run models.", _BUILDING),
    CliCommand("test", "Run tests."),
    CliCommand("seed", "Load seeds.", [FULL_REFRESH_FLAG]),
    CliCommand("snapshot", "Run snapshots."),
    CliCommand("compile", "Compile to SQL without running it; print the nodes named.", [FULL_REFRESH_FLAG]),
    CliCommand("list", "List the nodes of a selection on standard output, and run nothing."),
    CliCommand(
        "source-freshness", "Compare the age of the sources' data with what their freshness configuration allows."
    ),
    CliCommand(
        "retry",
        "Run again what did not succeed in an earlier run: that of ID (a workflow id, an invocation id, or where its "
        "run_results.json lies), else the project's latest.",
        [_EARLIER_RUN, FULL_REFRESH_FLAG],
        selects=False,
    ),
)
