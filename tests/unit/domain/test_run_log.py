from importlib.metadata import version
from typing import Any

import pytest

from dbt_temporal import __version__
from dbt_temporal.domain.batches import Batches, EndedBatch
from dbt_temporal.domain.log.run_log import RunLog, summary_line
from dbt_temporal.domain.run.turns import SkippedNode
from dbt_temporal.testing import model_id, node, result

A = node("a", relation="main.a")


def test_the_header_says_what_runs() -> None:
    log = RunLog()
    log.header("0.1.0")
    log.planned({"model": 5, "test": 3, "seed": 1, "saved_query": 2}, total=9, levels=3, threads=4, target="dev")
    assert log.since() == [
        "Running with dbt-temporal=0.1.0",
        "Found 5 models, 3 tests, 1 seed, 2 saved queries",
        "Concurrency: 4 threads, 3 parallel levels (target='dev')",
        "",
    ]


def test_a_node_is_numbered_when_it_starts_and_timed_when_it_ends() -> None:
    log = RunLog()
    log.planned({}, total=10, levels=1, threads=1, target=None)
    log.started(A)
    log.ended(A, result("a", execution_time=1.234))
    assert log.tail(2) == ["1 of 10 START table_model main.a", "  => table_model main.a  [OK in 1.23s]"]


def test_a_node_without_a_relation_is_named_by_its_package() -> None:
    log = RunLog()
    log.started(node("test.shop.not_null_a"))
    assert log.tail(1) == ["1 of 0 START test shop.not_null_a"]


def test_an_error_is_followed_by_its_message() -> None:
    log = RunLog()
    log.ended(A, result("a", "error", message="Database Error\n  no such table"))
    assert log.since() == ["  => table_model main.a  [ERROR in 0.00s]", "     Database Error", "       no such table"]


def test_tests_end_with_dbts_words_and_the_number_of_failures() -> None:
    log = RunLog()
    test = node("test.shop.t")
    log.ended(test, result("test.shop.t", "pass", failures=0))
    log.ended(test, result("test.shop.t", "warn", failures=2, message="Got 2 results"))
    log.ended(test, result("test.shop.t", "fail", failures=3, message="Got 3 results"))
    assert [line for line in log.since() if "=>" in line] == [
        "  => test shop.t  [PASS in 0.00s]",
        "  => test shop.t  [WARN 2 in 0.00s]",
        "  => test shop.t  [FAIL 3 in 0.00s]",
    ]
    assert "     Got 2 results" in log.since()


@pytest.mark.parametrize(
    ("seconds", "criteria", "age"),
    [
        (5, {}, "5s old"),
        (725, {"warn_after": {"count": None, "period": None}}, "12m 05s old"),
        (47100, {"warn_after": {"count": 12, "period": "hour"}}, "13h 05m old, more than 12 hours"),
        (183600, {"warn_after": {"count": 1, "period": "day"}, "error_after": {}}, "2d 03h old, more than 1 day"),
        (-90, {}, "-1m 30s old"),
    ],
)
def test_a_source_ends_with_its_age_and_what_was_allowed(seconds: float, criteria: dict[str, Any], age: str) -> None:
    log, source = RunLog(), node("source.shop.raw.orders", relation="raw.orders")
    facts = {"status": "warn", "max_loaded_at_time_ago_in_s": seconds, "criteria": criteria}
    log.ended(source, result(source.unique_id, "warn", freshness=facts))
    assert log.since() == [f"  => source raw.orders  [WARN in 0.00s]  {age}"]


def test_a_source_is_named_as_in_dbts_lines_and_not_by_its_package() -> None:
    log, source = RunLog(), node("source.shop.raw.orders", relation=None)
    log.ended(source, result(source.unique_id, "pass", freshness={"status": "pass"}))
    assert log.since()[0].startswith("  => source raw.orders  [")


def test_a_source_whose_age_nobody_knows_ends_without_one() -> None:
    log, source = RunLog(), node("source.shop.raw.orders", relation="raw.orders")
    log.ended(source, result(source.unique_id, "runtime error", freshness={"status": "runtime error"}, message="gone"))
    assert log.since() == ["  => source raw.orders  [ERROR in 0.00s]", "     gone"]


def test_skips_and_retries_say_why() -> None:
    log = RunLog()
    log.planned({}, total=2, levels=1, threads=1, target=None)
    log.retried(A, 1, 3, "Adapter: connection lost")
    log.skipped(node("b", "a"), SkippedNode(model_id("b"), "model.shop.a failed", model_id("a")))
    assert log.tail(3) == [
        "  => table_model main.a  [RETRY after attempt 1 of 3]",
        "     Adapter: connection lost",
        "1 of 2 SKIP table_model shop.b  [model.shop.a failed]",
    ]


def test_the_summary_counts_like_dbt() -> None:
    results = [result("a"), result("b", "error"), result("c", "skipped"), result("test.shop.t", "warn")]
    assert summary_line(results) == "Done. PASS=1 WARN=1 ERROR=1 SKIP=1 NO-OP=0 TOTAL=4"
    more = [*results, result("d", "reused"), result("e", "cancelled")]
    assert summary_line(more) == "Done. PASS=1 WARN=1 ERROR=1 SKIP=1 NO-OP=0 REUSED=1 CANCELLED=1 TOTAL=6"


def test_the_last_lines_say_how_long_it_took() -> None:
    log = RunLog()
    log.finished(10, 15.3, [result("a")])
    assert log.tail(2) == ["Finished running 10 nodes in 15.30s.", "Done. PASS=1 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=1"]


def test_the_tail_holds_the_newest_lines_and_the_text_all_of_them() -> None:
    log = RunLog()
    for number in range(5):
        log.add(f"line {number}")
    assert log.tail(2) == ["line 3", "line 4"]
    assert log.tail(0) == []
    assert log.since(4) == ["line 4"]
    assert log.text().splitlines() == log.since()


def test_a_part_of_the_log_has_no_more_than_an_answer_takes_but_goes_on() -> None:
    log = RunLog()
    log.add("\n".join(['"' * 100] * 10))
    assert len(log.part(0, 500)) == 2
    assert log.part(9, 500) == ['"' * 100]
    assert log.part(0, 10) == ['"' * 100]
    assert log.part(0, None) == log.since()


def test_the_version_in_the_log_is_that_of_the_package() -> None:
    assert __version__ == version("dbt-temporal")


def test_what_a_macro_printed_is_in_the_log_and_previews_are_not() -> None:
    log = RunLog()
    log.ended(node("operation.shop.greet"), result("greet", output="hello\nyou"))
    log.ended(A, result("a", output="| n |"))
    assert log.since() == [
        "  => operation shop.greet  [OK in 0.00s]",
        "     hello",
        "     you",
        "  => table_model main.a  [OK in 0.00s]",
    ]


def test_what_a_node_says_stands_below_its_end_before_what_went_wrong() -> None:
    log = RunLog()
    log.ended(A, result("a", "error", messages="logged\nprinted", message="no such table"))
    assert log.since(1) == ["     logged", "     printed", "     no such table"]


def test_what_an_attempt_has_said_that_is_made_again_stands_below_it_too() -> None:
    log = RunLog()
    log.retried(A, 1, 3, "Adapter: connection lost", "logged\nprinted")
    assert log.since() == [
        "  => table_model main.a  [RETRY after attempt 1 of 3]",
        "     logged",
        "     printed",
        "     Adapter: connection lost",
    ]


def test_what_a_batch_says_stands_below_it() -> None:
    log = RunLog()
    batches = Batches(windows=[(None, "2026-02-01")], names=["2026-01-31"])
    log.batch_ended(A, batches, EndedBatch(index=0, status="error", message="no such table"), "logged")
    assert log.since(1) == ["     logged", "     no such table"]


def test_what_a_project_hook_says_stands_below_it() -> None:
    log = RunLog()
    log.project_hook(result("operation.shop.start", messages="hello"))
    assert log.since(1) == ["     hello"]
