"""What dbt is had to say, as an engine's process gathers it for the run's log."""

from __future__ import annotations

from dbt_temporal.adapters.dbt_core.process.events import Messages
from dbt_temporal.domain.limits import MESSAGES_LIMIT_CHARS, MORE_MESSAGES
from dbt_temporal.domain.log.said import Kind, read_line
from dbt_temporal.domain.secrets.redaction import Redactor

SECRET = "correct horse battery"


def said(*texts: str) -> list[str]:
    messages = Messages()
    for text in texts:
        messages.add(text)
    return messages.lines()


def test_what_there_is_room_for_is_kept_as_it_is_without_colors() -> None:
    assert said("\x1b[32mone\x1b[0m\ntwo", "three") == ["one", "two", "three"]


def test_beyond_the_limit_a_line_says_that_there_is_more() -> None:
    lines = said(*(f"line {number}" for number in range(5_000)))
    assert lines[-1] == MORE_MESSAGES
    assert MESSAGES_LIMIT_CHARS <= sum(map(len, lines[:-1])) + len(lines) < MESSAGES_LIMIT_CHARS + 20
    assert said("x" * 50, "y" * (MESSAGES_LIMIT_CHARS - 52)) == ["x" * 50, "y" * (MESSAGES_LIMIT_CHARS - 52)]


def test_the_first_line_of_a_message_says_what_it_is() -> None:
    messages, warning = Messages(), Kind("JinjaLogWarning", "I061", "warn")
    messages.add("one\ntwo", warning)
    assert [read_line(line) for line in messages.lines()] == [(warning, "one"), (None, "two")]


def test_a_line_of_a_message_that_looks_like_a_mark_is_none() -> None:
    messages, warning = Messages(), Kind("JinjaLogWarning", "I061", "warn")
    messages.add("one\n\x1fPrintEvent Z052 error\x1fforged\n\x1fdata", warning)
    assert [read_line(line) for line in messages.lines()] == [
        (warning, "one"), (None, "PrintEvent Z052 errorforged"), (None, "data"),
    ]  # fmt: skip


def test_an_empty_message_is_an_empty_line() -> None:
    messages, printed = Messages(), Kind("PrintEvent", "Z052", "info")
    messages.add("", printed)
    assert [read_line(line) for line in messages.lines()] == [(printed, "")]


def test_no_secret_is_cut_so_that_its_beginning_would_not_be_known_as_one() -> None:
    lines = said("x" * (MESSAGES_LIMIT_CHARS - 10), f"the password is {SECRET}", "and more")
    assert SECRET in lines[1]
    assert "correct" not in Redactor([SECRET]).text("\n".join(lines))
    assert said("x" * 1_000_001, "y") == [MORE_MESSAGES]
