"""docs/coming-from-dbt.md names each command and flag of dbt's, and says of each what our command line makes of it."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator, Sequence

import click
import pytest
from dbt.cli.main import cli as dbt

from dbt_temporal.domain.run.commands import ABSENT
from dbt_temporal.entrypoints.cli.flags import run_input_of
from dbt_temporal.entrypoints.cli.main import cli as ours
from dbt_temporal.entrypoints.cli.reading.words import DbtCommand, behind_the_command, why_refused
from tests.unit.repository.doc_pages import ROOT, Page

PAGE = Page("docs/coming-from-dbt.md")
PROGRAM = click.Context(ours, **ours.context_settings)
"""Commands keep the names of the option for help that their first context gives them."""
EVERY = "every command"
BESIDES = f"what {EVERY} has besides"
VALUES = {
    **dict.fromkeys(("vars", "args", "sqlparse", "warn_error_options"), "{}"),
    **dict.fromkeys(("state", "defer_state"), "latest:prod"),
    "event_time_start": "2026-01-01",
    "event_time_end": "2026-01-02",
    "sample": "3 days",
}
"""Values of our flags, where not any text will do."""
BESIDE = {
    "defer": ["--defer-state", "latest:prod"],
    "defer_state": ["--defer"],
    "event_time_start": ["--event-time-end", "2026-01-02"],
    "event_time_end": ["--event-time-start", "2026-01-01"],
}
"""What must stand beside a flag."""


def words_of(cell: str) -> list[str]:
    """All that may be written, of the flags that a cell has: `-d --[no-]debug` is `-d`, `--debug` and `--no-debug`."""
    found = [word for flag in re.findall(r"`([^`]*)`", cell) for word in flag.split()]
    switches = [word.replace("--[no-]", "--no-") for word in found if "[no-]" in word]
    return [word.replace("[no-]", "") for word in found] + switches


def rows() -> dict[str, dict[str, list[str]]]:
    """The words of the flags of each command, by what the page says of them."""
    table = PAGE.table("| command | same | other | absent |")
    kinds = ("same", "other", "absent")
    return {row[0].strip("`*"): dict(zip(kinds, map(words_of, row[1:]), strict=True)) for row in table}


ROWS = rows()
COMPLETED = {row[0].strip("`*") for row in PAGE.table("| command | same | other | absent |") if BESIDES in row[3]}
REASONS = {row[0]: row[2] for row in PAGE.table("| flag | here | |")}


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def our_command(words: str) -> click.Command | None:
    found: click.Command | None = ours
    for word in words.split():
        found = found.commands.get(word) if isinstance(found, click.Group) else None
    return found


RUNS = sorted(words for words in ROWS if isinstance(our_command(words), DbtCommand))


def read(words: str, args: Sequence[str]) -> None:
    """Reads a command line of ours up to the input of its run.

    Raises:
        click.UsageError: it is refused.
    """
    command = our_command(words)
    assert command is not None
    with command.make_context(words, list(args), PROGRAM) as ctx:
        if isinstance(command, DbtCommand):
            run_input_of(str(command.name), ctx.params)


def given(words: str, word: str) -> list[str]:
    """A command line with this flag, its value, and what must stand beside."""
    command = our_command(words)
    assert command is not None
    macro = ["hello"] if words == "run-operation" and word != "--sql" else []
    if not word.startswith("-"):
        return macro
    param = next(each for each in command.params if word in (*each.opts, *each.secondary_opts))
    assert isinstance(param, click.Option)
    value: list[str] = []
    if not param.is_flag:
        choices = param.type.choices if isinstance(param.type, click.Choice) else ()
        number = isinstance(param.type, click.types.IntParamType)
        value = [str(choices[0]) if choices else "2" if number else VALUES.get(str(param.name).rstrip("_"), "model")]
    beside = [] if word.startswith("--no-") else BESIDE.get(str(param.name), [])
    return [*macro, word, *value, *beside]


def test_the_tables_are_what_they_are_made_to_be_now() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "coming-from-dbt" / "make.py"))["filled"](PAGE.text)
    assert made == PAGE.text, "make coming-from-dbt"


def test_every_file_that_the_page_links_to_exists() -> None:
    assert PAGE.broken_links() == []


def test_every_command_line_of_the_page_is_one_that_we_read() -> None:
    lines = re.findall(r"`dbt-temporal ([^`\n]+)`", PAGE.text)
    lines += [line.removeprefix("dbt-temporal ") for text in PAGE.blocks("bash") for line in text.splitlines()]
    assert lines
    for line in lines:
        words = behind_the_command(shlex.split(re.sub(r"[][]", "", line)))
        command: click.Command = ours
        while isinstance(command, click.Group) and not words[0].startswith("-"):
            command = command.commands[words.pop(0)]
        assert isinstance(command, click.Group) or command.make_context(str(command.name), words, PROGRAM)


@pytest.mark.parametrize(("words", "command"), [*commands(dbt)], ids=lambda each: each if isinstance(each, str) else "")
def test_every_flag_of_every_command_of_dbt_is_on_the_page(words: str, command: click.Command) -> None:
    words = {"ls": "list"}.get(words, words)
    rows = {row[0].strip("`").removeprefix("dbt "): row for row in PAGE.table("| dbt | here | |")}
    assert words in rows
    assert ("absent" in rows[words][1]) == (our_command(words) is None)
    named = [word for row in (EVERY, words) for found in ROWS[row].values() for word in found]
    for param in command.params:
        written = (*param.opts, *param.secondary_opts) if isinstance(param, click.Option) else [str(param.name).upper()]
        assert set(filter(str.strip, written)) <= set(named), param.name


def test_flags_before_the_command_are_on_the_page() -> None:
    named = {word for row in ("dbt`, before the command", EVERY) for found in ROWS[row].values() for word in found}
    for param in dbt.params:
        assert set(filter(str.strip, (*param.opts, *param.secondary_opts))) <= named, param.name


@pytest.mark.parametrize("words", [words for words in ROWS if our_command(words)])
def test_what_the_page_calls_the_same_or_other_is_accepted(words: str) -> None:
    every = ROWS[EVERY] if words in RUNS else {}
    accepted = [each for row in (ROWS[words], every) for kind in ("same", "other") for each in row.get(kind, ())]
    assert accepted
    for word in accepted:
        read(words, given(words, word))


@pytest.mark.parametrize("words", [words for words in ROWS if our_command(words)])
def test_what_the_page_calls_absent_is_refused_for_the_reason_that_it_says(words: str) -> None:
    command = our_command(words)
    assert command is not None
    taken = {*ROWS[words]["same"], *ROWS[words]["other"]}
    every = ROWS[EVERY]["absent"] if words in RUNS else [word for found in ROWS[EVERY].values() for word in found]
    assert (words in RUNS) != (words in COMPLETED)
    for word in [*ROWS[words]["absent"], *(word for word in every if word not in taken)]:
        with pytest.raises(click.UsageError) as refused:
            read(words, [word])
        reason = why_refused(str(command.name), word) if words in RUNS else None
        assert reason is None or reason in refused.value.message
        assert reason is None or reason in REASONS.values()


@pytest.mark.parametrize("words", [words for words in ROWS if words in ABSENT])
def test_a_command_that_is_absent_is_refused_for_the_reason_that_the_page_says(words: str) -> None:
    with pytest.raises(click.UsageError) as refused, ours.make_context("dbt-temporal", [words]) as ctx:
        ours.resolve_command(ctx, [words])
    assert ABSENT[words] in refused.value.message
    assert [words, ABSENT[words]] in [[row[0].strip("`")[4:], row[2]] for row in PAGE.table("| dbt | here | |")]


def test_every_flag_of_every_command_may_stand_before_it_with_its_value() -> None:
    for param in dbt.params:
        if isinstance(param, click.Option) and param.name != "version":
            value = [] if param.is_flag else ["value"]
            for word in filter(str.strip, (*param.opts, *param.secondary_opts)):
                assert behind_the_command([word, *value, "build"]) == ["build", word, *value]
