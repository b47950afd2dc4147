"""What dbt and a project have said keeps its kind on the way into the run's log, whatever happens to the text."""

from __future__ import annotations

import json

import pytest

from dbt_temporal.application.fitting import fit_said
from dbt_temporal.domain.limits import MORE_MESSAGES
from dbt_temporal.domain.log.run_log import RunLog
from dbt_temporal.domain.log.said import Kind, marked, plain, read_line
from dbt_temporal.domain.secrets.redaction import Redactor
from dbt_temporal.testing import node, result

LOGGED = Kind("JinjaLogInfo", "I062", "info")
PRINTED = Kind("PrintEvent", "Z052", "info")
WARNED = Kind("JinjaLogWarning", "I061", "warn")
ORDERS = node("orders", relation="dev.orders")


def test_a_message_is_read_as_it_was_marked() -> None:
    assert read_line(marked("hello", WARNED)) == (WARNED, "hello")
    assert read_line("hello") == (None, "hello")
    assert plain(f"{marked('one', LOGGED)}\ntwo\n{marked('three', WARNED)}") == "one\ntwo\nthree"


def test_nothing_that_is_said_is_taken_for_a_mark() -> None:
    forged = marked("said by the project", WARNED)
    assert read_line(marked(forged, PRINTED))[0] == PRINTED
    assert plain(marked(forged, PRINTED)).endswith("said by the project")


def test_a_line_of_the_run_itself_is_never_taken_for_what_was_said() -> None:
    log = RunLog()
    log.add("\x1fdata from elsewhere")
    assert log.since() == ["data from elsewhere"]


@pytest.mark.parametrize("cut", range(1, len(marked("", WARNED)) + 1))
def test_of_a_mark_that_was_cut_nothing_is_shown(cut: int) -> None:
    assert read_line(marked("", WARNED)[:cut])[1] == ""


def test_of_a_mark_in_which_a_word_was_masked_nothing_is_shown() -> None:
    text = Redactor(["JinjaLogWarning"]).text(marked("all but ten", WARNED))
    assert read_line(text) == (None, "all but ten")


def test_marks_take_no_room_where_messages_are_cut() -> None:
    lines = [marked("x" * 99, LOGGED) for _ in range(10)]
    assert fit_said("\n".join(lines), 1000) == "\n".join(lines)
    cut = fit_said("\n".join(lines), 200 + 50)
    assert plain(cut) == "\n".join(["x" * 99, "x" * 99, "x" * 50, MORE_MESSAGES])
    assert [read_line(line)[0] for line in cut.split("\n")] == [LOGGED, LOGGED, LOGGED, None]


def test_warnings_and_what_is_printed_are_not_lost_among_information() -> None:
    lines = [*(marked("x" * 99, LOGGED) for _ in range(90)), marked("printed", PRINTED), "twice", marked("ten", WARNED)]
    said = fit_said("\n".join([*lines, marked("logged", LOGGED)]))
    assert [plain(line) for line in said.split("\n")][-4:] == [MORE_MESSAGES, "printed", "twice", "ten"]
    assert [read_line(line)[0] for line in said.split("\n")][-4:] == [LOGGED, PRINTED, None, WARNED]


def test_many_short_messages_do_not_make_a_long_answer_by_their_marks() -> None:
    said = fit_said("\n".join(marked("x", kind) for _ in range(3000) for kind in (LOGGED, WARNED)))
    assert len(json.dumps(said)) < 32 * 1024


def test_the_log_has_the_words_alone_and_knows_what_each_was_and_whose() -> None:
    log = RunLog()
    log.say(f"{marked('first', WARNED)}\nmore of it\n{marked('second', PRINTED)}")
    log.add("between")
    log.ended(ORDERS, result("orders", messages=marked("third", LOGGED)))
    assert log.since()[:3] == ["first", "more of it", "second"]
    assert log.since()[-1] == "     third"
    assert log.said_part(0, len(log), None) == [
        {"line": 0, "lines": 2, "name": "JinjaLogWarning", "code": "I061", "level": "warn"},
        {"line": 2, "name": "PrintEvent", "code": "Z052", "level": "info"},
        {
            "line": 5,
            "name": "JinjaLogInfo",
            "code": "I062",
            "level": "info",
            "indent": 5,
            "unique_id": "model.shop.orders",
        },
    ]
    assert [each["line"] for each in log.said_part(1, 5, None)] == [2]
    assert log.text().splitlines() == log.since() == log.part(0, None) == log.tail(len(log))


def test_what_was_said_is_told_in_parts_that_fit() -> None:
    log = RunLog()
    log.say("\n".join(marked(f"line {number}", LOGGED) for number in range(9)))
    first = log.said_part(0, 9, 200)
    assert 0 < len(first) < 9
    assert len(log.said_part(0, 9, 1)) == 1


def test_a_log_that_goes_on_elsewhere_knows_what_was_said() -> None:
    log, other = RunLog(), RunLog()
    log.say(marked("first", WARNED))
    other.restore(log.snapshot(), log.carried())
    other.say(marked("second", LOGGED))
    assert [each["name"] for each in other.said_part(0, 2, None)] == ["JinjaLogWarning", "JinjaLogInfo"]
