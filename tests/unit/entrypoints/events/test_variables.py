"""dbt's variables for flags about a terminal hold where the command is typed; flags win over them."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner
from dbt.cli.main import cli as dbt

from dbt_temporal.entrypoints.cli import main as cli_module
from dbt_temporal.entrypoints.cli.events.event import FORMATS, LEVELS, Showing
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.cli.schedules.input import input_of_words

NAMES = ("quiet", "log_format", "log_level", "debug", "print", "use_colors")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The flags of the commands that were invoked; nothing is sent anywhere."""
    flags: list[dict[str, Any]] = []
    monkeypatch.setattr(cli_module, "_submit", lambda _command, values: flags.append(values))
    return flags


def invoke(*args: str, **env: str) -> tuple[int, str]:
    ended = CliRunner().invoke(cli, list(args), env=env)
    return ended.exit_code, " ".join(ended.output.split())


@pytest.mark.parametrize("name", NAMES)
def test_the_variables_are_those_that_dbt_reads(name: str) -> None:
    dbts = next(each.envvar for each in dbt.commands["build"].params if each.name == name)
    assert next(each.envvar for each in cli.commands["build"].params if each.name == name) == dbts


@pytest.mark.parametrize(("name", "choices"), [("log_format", FORMATS), ("log_level", LEVELS)])
def test_formats_and_levels_are_those_of_dbt(name: str, choices: tuple[str, ...]) -> None:
    for root in (dbt, cli):
        kind = next(each.type for each in root.commands["build"].params if each.name == name)
        assert isinstance(kind, click.Choice)
        assert tuple(kind.choices) == choices


@pytest.mark.parametrize(
    ("env", "showing"),
    [
        ({"DBT_QUIET": "true"}, Showing(level="error")),
        ({"DBT_LOG_FORMAT": "JSON"}, Showing("json")),
        ({"DBT_ENGINE_LOG_FORMAT": "json", "DBT_LOG_FORMAT": "text"}, Showing("json")),
        ({"DBT_LOG_LEVEL": "warn"}, Showing(level="warn")),
        ({"DBT_DEBUG": "1"}, Showing(level="debug")),
        ({"DBT_DEBUG": "", "DBT_QUIET": " "}, Showing()),
    ],
)
def test_a_variable_stands_for_its_flag(given: list[dict[str, Any]], env: dict[str, str], showing: Showing) -> None:
    exit_code, output = invoke("build", **env)
    assert exit_code == 0, output
    assert Showing.of(given[-1]) == showing


def test_flags_win_over_variables(given: list[dict[str, Any]]) -> None:
    env = {"DBT_QUIET": "true", "DBT_LOG_FORMAT": "json", "DBT_LOG_LEVEL": "error", "DBT_PRINT": "false"}
    args = ["--no-quiet", "--log-format", "text", "--log-level", "info", "--print"]
    assert invoke("build", *args, **env)[0] == 0
    assert Showing.of(given[-1]) == Showing("text")
    assert given[-1]["print"] is True


@pytest.mark.parametrize(("variable", "field"), [("DBT_PRINT", "print"), ("DBT_USE_COLORS", "use_colors")])
def test_what_the_run_has_a_field_for_is_its_input(given: list[dict[str, Any]], variable: str, field: str) -> None:
    assert invoke("run-operation", "m", **{variable: "false"})[0] == 0
    assert given[-1][field] is False


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("DBT_QUIET", "perhaps", "true"),
        ("DBT_LOG_FORMAT", "yaml", "'text', 'debug', 'json', 'default'"),
        ("DBT_LOG_LEVEL", "loud", "'debug', 'info', 'warn', 'error', 'none'"),
        ("DBT_PRINT", "perhaps", "true"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_allowed(
    given: list[dict[str, Any]], variable: str, value: str, allowed: str
) -> None:
    exit_code, output = invoke("build", **{variable: value})
    assert exit_code == 2
    assert variable in output
    assert repr(value) in output
    assert allowed in output
    assert not given


def test_runs_of_a_schedule_know_nothing_of_the_terminal_in_which_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_DEBUG", "true")
    monkeypatch.setenv("DBT_PRINT", "false")
    run_input = input_of_words(cli, ["build", "--debug"])
    assert (run_input.debug, run_input.print) == (True, None)
