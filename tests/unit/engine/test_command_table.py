"""The tables of commands agree with each other and with dbt."""

from __future__ import annotations

from typing import get_args

from dbt.cli.types import Command as DbtCommand

from dbt_temporal.adapters.dbt_core.process.run.tasks import TASKS
from dbt_temporal.domain.run.commands import ABSENT, COMMANDS, Command, misplaced
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli.commands import DBT_COMMANDS

NOT_RUNS = {"deps", "serve"}
"""Those of ours are about the machine where they are called: they start no run."""


def test_every_command_is_in_every_table() -> None:
    assert set(get_args(Command)) == set(COMMANDS)
    assert set(TASKS) == set(COMMANDS) - {"retry"}, "which becomes another command"
    assert {command.name for command in DBT_COMMANDS} == set(COMMANDS)


def test_every_command_of_dbt_is_there_or_has_no_run() -> None:
    runs = {facts.which for facts in COMMANDS.values()}
    assert runs | NOT_RUNS | set(ABSENT) == {command.value for command in DbtCommand}


def test_fields_of_single_commands_are_fields_of_the_input_and_refused_elsewhere() -> None:
    assert {field for facts in COMMANDS.values() for field in facts.fields} <= DbtRunInput.model_fields.keys()
    assert misplaced("show", ["inline", "limit", "select"]) is None
    assert misplaced("build", ["args"]) == "args: the command 'build' has none; it is for run-operation"
    assert (
        misplaced("test", ["empty"])
        == "empty: the command 'test' has none; it is for run, build, seed, snapshot, compile"
    )
