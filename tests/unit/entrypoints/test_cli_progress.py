from __future__ import annotations

import re
from datetime import datetime
from io import StringIO

import pytest
from rich.console import Console

from dbt_temporal.application.ports.runs import Snapshot
from dbt_temporal.entrypoints.cli.progress import (
    LiveProgress,
    NoProgress,
    Numbers,
    PlainProgress,
    coloured,
    duration,
    node_label,
    progress_view,
)
from dbt_temporal.entrypoints.cli.running import consoles
from dbt_temporal.entrypoints.cli.shown.joined import Joined

SUMMARY = "Done. PASS=1 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=1"


def plain_console() -> Console:
    return Console(file=StringIO(), width=40, highlight=False)


def terminal() -> Console:
    return Console(file=StringIO(), width=100, force_terminal=True, color_system=None, highlight=False)


def written(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def running(*unique_ids: str) -> dict[str, str]:
    return dict.fromkeys(unique_ids, "running")


def rendered(view: LiveProgress) -> str:
    console = terminal()
    console.print(view.render())
    return written(console)


def test_without_a_terminal_the_lines_of_the_log_are_printed_whole_and_unchanged() -> None:
    console = plain_console()
    line = "1 of 2 START table_model dev.[bold]orders:key:" + "x" * 100
    with progress_view(console) as view:
        assert isinstance(view, PlainProgress)
        view.show(Snapshot(new_log_lines=[line, "", "second"]))
    assert written(console) == f"{line}\n\nsecond\n"


def test_what_others_have_named_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for console in consoles({}):
        console.print("Submitted to the task queue 'a[/b]:key:'", soft_wrap=True)
    said = capsys.readouterr()
    assert said.out == said.err == "Submitted to the task queue 'a[/b]:key:'\n"


def test_the_summary_line_waits_for_the_end() -> None:
    console = plain_console()
    view = PlainProgress(console)
    view.show(Snapshot(new_log_lines=["a", SUMMARY]))
    assert written(console) == "a\n"
    assert view.log.summary_line == SUMMARY


def test_no_progress_prints_notes_alone() -> None:
    console = plain_console()
    view = NoProgress(console)
    view.show(Snapshot(new_log_lines=["a"]))
    view.note("No worker")
    assert written(console) == "No worker\n"


def test_an_outage_of_the_server_stands_in_the_live_view_while_it_lasts() -> None:
    console = terminal()
    view = LiveProgress(console, Clock())
    view.away("Temporal does not answer since 06:00:00")
    assert "since 06:00:00" in rendered(view)
    view.away(None)
    assert "since 06:00:00" not in rendered(view)
    assert not written(console)


def test_without_a_terminal_an_outage_is_a_line() -> None:
    console = plain_console()
    view = PlainProgress(console)
    view.away("Temporal does not answer since 06:00:00")
    view.away(None)
    assert written(console) == "Temporal does not answer since 06:00:00\n"


def test_a_terminal_gets_the_live_view() -> None:
    assert isinstance(progress_view(terminal()), LiveProgress)


def test_the_live_view_shows_what_runs_and_for_how_long_longest_first() -> None:
    clock = Clock()
    view = LiveProgress(terminal(), clock)
    view.show(Snapshot(total_nodes=9, node_status=running("model.shop.a"), counts={"running": 1}))
    clock.now += 5
    nodes = running("model.shop.b", "model.shop.a")
    counts = {"running": 2, "succeeded": 3, "failed": 1, "skipped": 2}
    view.show(Snapshot(total_nodes=9, node_status=nodes, counts=counts))
    clock.now += 1.5
    text = rendered(view)
    assert "6 of 9 done" in text
    assert "2 running" in text
    assert "1 failed" in text
    assert text.index("6.5s model a") < text.index("1.5s model b")


def test_many_running_nodes_are_counted_not_listed() -> None:
    view = LiveProgress(terminal(), Clock())
    nodes = running(*(f"model.shop.m{n}" for n in range(20)))
    view.show(Snapshot(total_nodes=20, node_status=nodes, counts={"running": 20}))
    assert "and 8 more" in rendered(view)


def test_before_the_plan_is_known_the_phase_is_shown() -> None:
    view = LiveProgress(terminal(), Clock())
    assert "waiting for a worker" in rendered(view)
    view.show(Snapshot(phase="pre_run_hooks"))
    assert "pre run hooks" in rendered(view)


def test_ended_nodes_stay_above_the_live_view_and_starts_do_not() -> None:
    console = terminal()
    lines = ["1 of 2 START table_model dev.a", "  => table_model dev.a  [ERROR in 1.00s]", "     no such column"]
    with LiveProgress(console, Clock(), time_of_day=lambda: datetime(2026, 1, 31, 6, 0, 10)) as view:
        view.show(Snapshot(new_log_lines=lines))
    text = written(console)
    assert "START" not in text
    assert "06:00:10  1 of 2 table_model dev.a  [ERROR in 1.00s]\n" in text
    assert "06:00:10       no such column" not in text
    assert "[ERROR in 1.00s]" in text
    assert "no such column" in text


@pytest.mark.parametrize(
    ("line", "word", "style"),
    [
        ("  => table_model dev.a  [OK in 0.57s]", "OK", "green"),
        ("  => test shop.t  [PASS in 0.57s]", "PASS", "green"),
        ("  => table_model dev.a  [ERROR in 0.57s]", "ERROR", "red"),
        ("  => test shop.t  [FAIL 3 in 0.57s]", "FAIL", "red"),
        ("  => test shop.t  [WARN 3 in 0.57s]", "WARN", "yellow"),
        ("  => table_model dev.a  [RETRY after attempt 1 of 3]", "RETRY", "yellow"),
        ("3 of 9 SKIP table_model dev.a  [model.shop.b failed]", "SKIP", "yellow"),
        ("on-run-start failed:", "on-run-start failed", "red"),
    ],
)
def test_the_word_that_says_how_it_ended_has_a_colour_and_nothing_else(line: str, word: str, style: str) -> None:
    text = coloured(line)
    (span,) = text.spans
    assert (text.plain, text.plain[span.start : span.end], span.style) == (line, word, style)


@pytest.mark.parametrize("line", ["Found 3 models", SUMMARY, ""])
def test_other_lines_have_no_colour(line: str) -> None:
    assert coloured(line).spans == []


def test_a_node_that_has_ended_has_the_number_with_which_it_has_started() -> None:
    numbers = Numbers()
    assert numbers.shown("1 of 9 START table_model dev.a") is None
    assert numbers.shown("2 of 9 START test shop.t") is None
    retry = "  => table_model dev.a  [RETRY after attempt 1 of 3]"
    assert numbers.shown(retry) == retry
    assert numbers.shown("  => test shop.t  [FAIL 3 in 0.57s]") == "2 of 9 test shop.t  [FAIL 3 in 0.57s]"
    assert numbers.shown("  => table_model dev.a  [OK in 1.00s]") == "1 of 9 table_model dev.a  [OK in 1.00s]"
    for line in ("  => hook operation.shop.start  [OK in 0.01s]", "3 of 9 SKIP test shop.u  [a failed]", "other"):
        assert numbers.shown(line) == line


def test_what_had_happened_before_somebody_came_has_no_time_and_what_follows_has() -> None:
    console = terminal()
    with LiveProgress(
        console, Clock(), joined=Joined(90.0), time_of_day=lambda: datetime(2026, 1, 31, 6, 0, 10)
    ) as view:
        view.show(Snapshot(new_log_lines=["Found 3 models", "  => table_model dev.a  [OK in 1.00s]"]))
        assert re.search(r"\d\d:\d\d:", written(console)) is None
        view.show(Snapshot(new_log_lines=["  => table_model dev.b  [OK in 1.00s]"]))
    assert "06:00:10    => table_model dev.b" in written(console)


def test_what_ran_before_somebody_came_is_told_since_its_begin_or_without_a_time() -> None:
    clock = Clock()
    ages = {"model:a": 30.0, "model:c/2026-01-31": 20.0, "model:c/2026-02-01": 5.0}
    view = LiveProgress(terminal(), clock, joined=Joined(90.0, ages))
    view.show(Snapshot(total_nodes=9, node_status=running("model.shop.a", "model.shop.b", "model.shop.c")))
    clock.now += 2
    view.show(Snapshot(total_nodes=9, node_status=running("model.shop.a", "model.shop.b", "model.shop.c", "model.x.d")))
    clock.now += 1
    text = rendered(view)
    assert "1m 33s" in text, "of the run"
    assert re.findall(r"^ *(\S+s|) +model (\w)", text, re.MULTILINE) == [
        ("", "b"), ("33.0s", "a"), ("23.0s", "c"), ("1.0s", "d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("unique_id", "activity"),
    [
        ("model.shop.orders.v2", "model:orders"),
        ("test.shop.not_null_orders_id.cf6c17daed", "test:not_null_orders_id"),
        ("source.shop.raw.orders", "source:orders"),
        ("unit_test.shop.orders.adds_up", "unit_test:adds_up"),
        ("model.shop.orders", "model.shop.orders"),
    ],
)
def test_a_node_is_found_by_the_id_of_its_activity(unique_id: str, activity: str) -> None:
    joined = Joined(9.0, {activity: 5.0, "model:order": 7.0, "seed:orders": 8.0})
    assert joined.secs_of(unique_id) == 5.0


@pytest.mark.parametrize(
    ("unique_id", "label"),
    [
        ("model.shop.orders", ("model", "orders")),
        ("model.shop.orders.v2", ("model", "orders.v2")),
        ("test.shop.not_null_orders_id.cf6c17daed", ("test", "not_null_orders_id")),
        ("test.shop.orders_are_paid", ("test", "orders_are_paid")),
        ("unit_test.shop.orders.adds_up", ("unit_test", "orders.adds_up")),
        ("source.shop.raw.orders", ("source", "raw.orders")),
    ],
)
def test_a_node_is_shown_by_kind_and_name(unique_id: str, label: tuple[str, str]) -> None:
    assert node_label(unique_id) == label


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0s"), (59.9, "59.9s"), (125, "2m 05s"), (3720, "1h 02m")])
def test_durations_are_told_as_people_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
