"""dbt's flags in the run's input: those of dbt's command line, command by command, spelled and read as there."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dbt.cli.flags import Flags, args_to_context
from dbt.cli.main import cli

from dbt_temporal.adapters.dbt_core.process.bootstrap import Settings, make_flags
from dbt_temporal.adapters.dbt_core.process.command_line import command_line, flag_params
from dbt_temporal.adapters.dbt_core.process.run.setup import samples_until
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.commands import COMMANDS, commands_with
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.entrypoints.cli.main import cli as our_cli
from dbt_temporal.entrypoints.cli.reading.words import why_refused
from tests.integration.engine_driver import new_invocation
from tests.integration.flags import flag_table

pytestmark = pytest.mark.every_dbt_version

DOCS = Path(__file__).parents[3] / "docs"
VERSION = tuple(map(int, version("dbt-core").split(".")[:2]))
SINCE_1_12 = {("maximum_seed_size_mib", name) for name in COMMANDS} | {("empty", "seed")}
"""Flags of commands that dbt-core 1.11 has not."""
OUR_NAMES = {"defer": "--defer", "state": "--state", "defer_state": "--defer-state", "macro": "macro", "vars": "--vars"}


def options(command: str) -> Iterator[click.Parameter]:
    """Of one of dbt's commands, by our name of it."""
    found: click.Command = cli
    for word in COMMANDS[command].words.split():
        assert isinstance(found, click.Group)
        found = found.commands[word]
    yield from (param for param in found.params if not str(param.name).startswith("deprecated_"))


PAIRS = [(command, str(param.name)) for command in COMMANDS for param in options(command)]


def has_reason(name: str, command: str) -> bool:
    """Whether it is said why a run's input has no such field; `list --models` are two of them."""
    return why_refused(command, f"--{name.replace('_', '-')}") is not None or name == "models"


def has(flag: str, command: str) -> bool:
    """Whether a command has a flag by our table, for this version of dbt."""
    of_it = not FLAGS[flag].commands or command in FLAGS[flag].commands
    return of_it and (VERSION >= (1, 12) or (flag, command) not in SINCE_1_12)


def test_every_option_of_every_command_has_a_field_or_a_reason() -> None:
    fields = {*flag_table.INPUT, *FLAGS}
    for command, name in PAIRS:
        there = name in fields and command in (commands_with(flag_table.INPUT.get(name, name)) or COMMANDS)
        assert there != has_reason(name, command), (command, name)


def test_every_option_of_every_command_is_on_our_command_line_or_refused_with_a_reason() -> None:
    for command, name in PAIRS:
        ours = {str(param.name) for param in our_cli.commands[command].params}
        assert has_reason(name, command) or {"vars": "vars_"}.get(name, name) in ours, (command, name)


def test_the_page_about_dbts_command_line_is_the_same_by_each_version() -> None:
    maker = runpy.run_path(str(DOCS / "coming-from-dbt" / "make.py"))
    text = (DOCS / "coming-from-dbt.md").read_text(encoding="utf-8")
    assert maker["filled"](text) == text


def test_each_flag_belongs_to_the_commands_that_have_it_in_dbt() -> None:
    ours = {(command, name) for command in COMMANDS for name in FLAGS if has(name, command)}
    assert ours == {(command, name) for command, name in PAIRS if name in FLAGS}


def test_each_flag_is_spelled_and_hidden_as_in_dbt() -> None:
    for command in COMMANDS:
        for param in options(command):
            if str(param.name) in FLAGS and isinstance(param, click.Option):
                flag = FLAGS[str(param.name)]
                switch = bool in DbtRunInput.model_fields[str(param.name)].annotation.__args__  # type: ignore[union-attr]
                assert param.is_flag == switch
                assert bool(param.secondary_opts) == (flag.has_no and switch)
                assert param.hidden == flag.hidden, param.name


def value_of(name: str) -> Any:
    """One other than the default, for the input."""
    text = flag_table.FLAGS[name].value
    assert text is not None, name
    value = yaml.safe_load(text)
    return [value] if name in ("resource_types", "exclude_resource_types") else value


def settings(folder: Path) -> Settings:
    (folder / "dbt_project.yml").write_text("name: project\nversion: '1.0'\n")
    return Settings(str(folder), str(folder), None, {}, str(folder / "target"))


@pytest.mark.parametrize("name", FLAGS)
def test_dbt_reads_the_words_of_the_command_line_as_what_a_run_has(name: str, tmp_path: Path) -> None:
    for command in COMMANDS:
        if not has(name, command) or command == "retry":
            continue
        value = value_of(name)
        if name == "sample":
            value = {key: str(instant) for key, instant in value.items()}
        given = {name: value}
        invocation = new_invocation(command=command, **given, **({"macro": "m"} if command == "run-operation" else {}))
        places = ["--project-dir", str(tmp_path), "--profiles-dir", str(tmp_path)]
        here = settings(tmp_path)
        theirs = Flags(args_to_context([*command_line(invocation)[1:], *places]))
        ours = make_flags(command, here, flag_params(invocation.input))
        assert repr(getattr(ours, name.upper())) == repr(getattr(theirs, name.upper())), command


def test_a_switch_that_is_off_wins_over_the_project(tmp_path: Path) -> None:
    here = settings(tmp_path)
    (tmp_path / "dbt_project.yml").write_text(
        "name: p\nversion: '1.0'\nflags: {warn_error: true, populate_cache: true}\n"
    )
    assert make_flags("build", here, {}).WARN_ERROR
    off = parse_run_input({"warn_error": False, "populate_cache": False, "store_failures": False})
    flags = make_flags("build", here, flag_params(off))
    assert (flags.WARN_ERROR, flags.POPULATE_CACHE, flags.STORE_FAILURES) == (False, False, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"resource_types": ["modle"]}, "Invalid value for '--resource-types"),
        ({"sample": "3 fortnights"}, "Invalid grain size"),
        ({"warn_error_options": {"error": ["NoSuchWarning"]}}, "NoSuchWarning"),
    ],
)
def test_what_dbt_does_not_take_is_told_in_its_words(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DbtTemporalError, match="`dbt build`") as caught:
        make_flags("build", settings(tmp_path), flag_params(parse_run_input(given)))
    assert said in caught.value.message


def test_a_relative_sample_ends_with_the_runs_start_on_every_host(tmp_path: Path) -> None:
    params = flag_params(parse_run_input({"sample": "2 months"}))
    with samples_until(datetime(2026, 3, 31, 12, tzinfo=UTC)):
        window = make_flags("run", settings(tmp_path), params).SAMPLE
    assert (window.start, window.end) == (
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 3, 31, 12, tzinfo=UTC),
    )
