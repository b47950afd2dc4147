"""dbt's commands on our command line: what `--help` says of each, and its flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.entrypoints.cli.flags import (
    ARGS_FLAG,
    DATE_FLAGS,
    EVENT_TIME_FLAGS,
    FULL_REFRESH_FLAG,
    INLINE_FLAG,
    LISTING_FLAGS,
    ON_FAILURE_FLAG,
    RETRY_FROM_FLAG,
    RUN_FLAGS,
    SELECTION_FLAGS,
    STATE_FLAGS,
    SUBMIT_FLAGS,
)
from dbt_temporal.entrypoints.cli.input_flags import Decorator, flag_options


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
        selecting = LISTING_FLAGS if self.name == "list" else SELECTION_FLAGS
        selection = [*selecting, RETRY_FROM_FLAG] if self.selects else []
        ours = [ON_FAILURE_FLAG] if "on_failure" in COMMANDS[self.name].fields else []
        return [
            *self.own,
            *selection,
            *STATE_FLAGS,
            *RUN_FLAGS,
            *DATE_FLAGS,
            *ours,
            *flag_options(self.name),
            *SUBMIT_FLAGS,
        ]


_BUILDING = (FULL_REFRESH_FLAG, *EVENT_TIME_FLAGS)
_MACRO: Decorator = click.argument("macro", required=False)
_SQL: Decorator = click.option("--sql", metavar="SQL", help="A statement instead of a macro (from dbt-core 1.12 on).")
_LIMIT: Decorator = click.option("--limit", type=int, help="How many rows [default: 5]; all with -1.")
_COMPILE: Decorator = click.option("--compile/--no-compile", default=None, help="Compile first [default: do].")
_STATIC: Decorator = click.option(
    "--static", is_flag=True, default=None, help="Make a static_index.html with manifest and catalog in it, too."
)
_EMPTY_CATALOG: Decorator = click.option(
    "--empty-catalog", is_flag=True, default=None, help="Do not ask the database: an empty catalog."
)
_CONNECTION: Decorator = click.option(
    "--connection", is_flag=True, default=None, help="Check nothing but the connection."
)
_OUTPUT_KEYS: Decorator = click.option(
    "--output-keys", multiple=True, metavar="KEYS", help="With `--output json`: which properties of nodes."
)


def _output(*formats: str) -> Decorator:
    choice = click.Choice(formats, case_sensitive=False)
    return click.option("--output", type=choice, help=f"The format [default: {formats[0]}].")


_EARLIER_RUN: Decorator = click.argument("earlier_run", metavar="[ID]", required=False)

DBT_COMMANDS: tuple[CliCommand, ...] = (
    CliCommand("build", "Run seeds, models, snapshots and tests in order.", _BUILDING),
    CliCommand("run", "Run models.", _BUILDING),
    CliCommand("test", "Run tests."),
    CliCommand("seed", "Load seeds.", [FULL_REFRESH_FLAG]),
    CliCommand("snapshot", "Run snapshots."),
    CliCommand("clone", "Make clones of the relations of the --state manifest.", [FULL_REFRESH_FLAG]),
    CliCommand(
        "compile",
        "Compile to SQL without running it; print the nodes named, or an inline query.",
        [INLINE_FLAG, _output("text", "json"), FULL_REFRESH_FLAG],
    ),
    CliCommand(
        "show",
        "Run the query of a node, or an inline one, and print its first rows on standard output.",
        [INLINE_FLAG, _LIMIT, _output("text", "json"), FULL_REFRESH_FLAG],
    ),
    CliCommand(
        "list",
        "List the nodes of a selection on standard output, and run nothing.",
        [_output("selector", "json", "name", "path"), _OUTPUT_KEYS],
    ),
    CliCommand(
        "docs-generate",
        "Compile, and make catalog.json and the pages of the project's documentation.",
        [_COMPILE, _STATIC, _EMPTY_CATALOG],
    ),
    CliCommand(
        "run-operation", "Run a macro; what it prints is on standard output.", [_MACRO, ARGS_FLAG, _SQL], selects=False
    ),
    CliCommand("parse", "Parse the project, and store its manifest.json.", selects=False),
    CliCommand("debug", "Check the project and the connection, as the worker sees them.", [_CONNECTION], selects=False),
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
