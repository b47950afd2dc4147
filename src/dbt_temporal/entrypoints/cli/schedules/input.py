"""The run input that the words after `--` make: the same as if they were submitted."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.core import ParameterSource

from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli.flags import SUBMIT_FLAGS, run_input_of, with_flags
from dbt_temporal.entrypoints.cli.reading.words import DbtCommand, behind_the_command

_OF_SUBMITTING = frozenset(
    param.name for param in click.command()(with_flags(SUBMIT_FLAGS)(lambda **_flags: None)).params
)


def input_of_words(root: click.Command, words: Sequence[str]) -> DbtRunInput:
    """The input of the runs.

    Args:
        root: our command line.
        words: a dbt command and its flags: `build --select orders`, `source freshness`.

    Raises:
        click.UsageError: as for a run that is submitted; where the command is none of dbt's; where a flag is about
            submitting alone.
    """
    command, rest, path = root, list(words), []
    while isinstance(command, click.Group) and rest:
        rest = behind_the_command(rest)
        path.append(rest.pop(0))
        found = command.commands.get(path[-1])
        if found is None:
            break
        command = found
    if not isinstance(command, DbtCommand):
        allowed = ", ".join(facts.words for facts in COMMANDS.values())
        raise click.UsageError(f"{' '.join(path)!r} is no command of dbt; after `--` may come: {allowed}.")
    with command.make_context(" ".join(path), rest) as ctx:
        given = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        misplaced = sorted(f"--{name.replace('_', '-')}" for name in given if name in _OF_SUBMITTING)
        if misplaced:
            raise click.UsageError(
                f"{', '.join(misplaced)} is about submitting one run; the server of a schedule is named before `--`."
            )
        if ctx.params.get("earlier_run") and run_input_of("retry", ctx.params).retry_from is None:
            raise click.UsageError(
                "retry: name the run by its invocation id, or leave it out for the project's latest."
            )
        # Runs of a schedule know nothing of the terminal in which it was made.
        of_terminal = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT]
        return run_input_of(str(command.name), {**ctx.params, **dict.fromkeys(of_terminal)})
