"""Events are read out of what a run's log writes, with the names and codes that dbt has for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dbt.adapters.events.types as of_adapters
import dbt.events.types as of_core
import dbt_common.events.types as of_common
import pytest

from dbt_temporal.domain.batches import Batches, EndedBatch
from dbt_temporal.domain.log.run_log import RunLog, summary_line
from dbt_temporal.domain.log.said import Kind, SaidEvent, marked
from dbt_temporal.domain.run.turns import SkippedNode
from dbt_temporal.entrypoints.cli.events.event import CODES, Event
from dbt_temporal.entrypoints.cli.events.reading import LogReader, stats_event
from dbt_temporal.testing import node, result

WARNED, PRINTED = Kind("JinjaLogWarning", "I061", "warn"), Kind("PrintEvent", "Z052", "info")
ORDERS = node("orders", relation="dev.orders")
SEED = node("seed.shop.countries", relation="dev.countries", materialization="seed")
TEST = node("test.shop.orders_are_paid", "orders")
SOURCE = node("source.shop.raw.payments", relation="raw.payments")
VIEW = node("view.with.dots", relation="dev.view", materialization="view")


def events_of(*write: Callable[[RunLog], None]) -> list[Event]:
    log = RunLog()
    log.planned({"model": 2, "test": 1}, total=9, levels=3, threads=4, target="dev")
    reader = LogReader()
    list(reader.events(log.since(), log.numbered()))
    lines, numbered = len(log), len(log.numbered())
    for each in write:
        each(log)
    said = [SaidEvent.model_validate(event) for event in log.said_part(lines, len(log), None)]
    places = [event.model_copy(update={"line": event.line - lines}) for event in said]
    return list(reader.events(log.since(lines), log.numbered(numbered), places))


def info(event: Event) -> dict[str, Any]:
    return dict(event.data["node_info"])


def test_the_beginning_of_a_run_has_dbts_events() -> None:
    log = RunLog()
    log.header("1.2.3")
    log.project("shop", engine="dbt-core")
    log.planned({"model": 2}, total=2, levels=1, threads=1, target="it's (here)")
    events = list(LogReader().events(log.since()))
    assert [event.name for event in events] == [
        "MainReportVersion", "Note", "FoundStats", "ConcurrencyLine", "Formatting",
    ]  # fmt: skip
    assert events[0].data == {"version": "-temporal=1.2.3"}
    assert events[1].msg == "Project shop: engine=dbt-core"
    assert events[2].data == {"stat_line": "2 models"}
    assert events[3].data == {"num_threads": 1, "target_name": "it's (here)"}


def test_a_model_starts_and_ends_with_its_number_and_its_unique_id() -> None:
    started, ended = events_of(
        lambda log: log.started(ORDERS), lambda log: log.ended(ORDERS, result("orders", execution_time=4.2))
    )
    assert (started.name, started.level, started.msg) == ("LogStartLine", "info", "1 of 9 START table_model dev.orders")
    assert (started.data["index"], started.data["total"]) == (1, 9)
    assert info(started) == {
        "unique_id": "model.shop.orders",
        "node_name": "orders",
        "resource_type": "model",
        "materialized": "table",
        "node_status": "started",
    }
    assert (ended.name, ended.level) == ("LogModelResult", "info")
    assert info(ended) == info(started) | {"node_status": "success"}
    facts = {name: ended.data[name] for name in ("description", "index", "total", "status", "execution_time")}
    assert facts == {
        "description": "table_model dev.orders", "index": 1, "total": 9, "status": "success", "execution_time": 4.2,
    }  # fmt: skip


def test_nodes_that_run_beside_each_other_are_not_confused() -> None:
    *_, first, second = events_of(
        lambda log: log.started(ORDERS),
        lambda log: log.started(VIEW),
        lambda log: log.ended(VIEW, result(VIEW.unique_id)),
        lambda log: log.ended(ORDERS, result("orders")),
    )
    assert (info(first)["unique_id"], info(second)["unique_id"]) == (VIEW.unique_id, ORDERS.unique_id)


def test_a_message_belongs_to_the_event_of_its_node() -> None:
    _, ended, note = events_of(
        lambda log: log.started(ORDERS),
        lambda log: log.ended(ORDERS, result("orders", "error", message="Database Error\n  no such column")),
        lambda log: log.add("fail_fast is on now"),
    )
    assert (ended.name, ended.level, ended.data["status"]) == ("LogModelResult", "error", "error")
    assert ended.msg.splitlines()[1:] == ["     Database Error", "       no such column"]
    assert (note.name, note.level, note.data) == ("Note", "info", {"msg": "fail_fast is on now"})


@pytest.mark.parametrize(
    ("status", "level", "failures"), [("pass", "info", 0), ("warn", "warn", 3), ("fail", "error", 3)]
)
def test_a_test_has_the_level_that_it_has_with_dbt(status: str, level: str, failures: int) -> None:
    _, ended = events_of(
        lambda log: log.started(TEST), lambda log: log.ended(TEST, result(TEST.unique_id, status, failures=failures))
    )
    assert (ended.name, ended.level) == ("LogTestResult", level)
    assert (ended.data["status"], ended.data["num_failures"]) == (status, failures)
    assert ended.data["name"] == "shop.orders_are_paid"


def test_each_kind_of_node_has_an_event_of_its_own() -> None:
    _, seed, _, source, _, cancelled = events_of(
        lambda log: log.started(SEED),
        lambda log: log.ended(SEED, result(SEED.unique_id)),
        lambda log: log.started(SOURCE),
        lambda log: log.ended(SOURCE, result(SOURCE.unique_id, "warn")),
        lambda log: log.started(ORDERS),
        lambda log: log.ended(ORDERS, result("orders", "cancelled")),
    )
    assert (seed.name, seed.data["schema"], seed.data["relation"]) == ("LogSeedResult", "dev", "countries")
    assert (source.name, source.level) == ("LogFreshnessResult", "warn")
    assert (source.data["source_name"], source.data["table_name"]) == ("raw", "payments")
    assert (cancelled.name, cancelled.level, cancelled.data["status"]) == ("LogCancelLine", "error", "cancelled")


def test_what_is_skipped_tried_again_or_runs_in_batches_is_told_as_well() -> None:
    batches = Batches(windows=[(None, "2026-02-01")], names=["2026-01-31"])
    ended = EndedBatch(index=0, status="success", execution_time=0.5, relation_exists=True)
    _, retried, batch, skipped, hook = events_of(
        lambda log: log.started(ORDERS),
        lambda log: log.retried(ORDERS, 1, 3, "Adapter: connection lost"),
        lambda log: log.batch_ended(ORDERS, batches, ended),
        lambda log: log.skipped(VIEW, SkippedNode(VIEW.unique_id, "orders failed", "model.shop.orders")),
        lambda log: log.project_hook(result("operation.shop.shop-on-run-end-0", "error", message="no")),
    )
    assert (retried.name, retried.level) == ("Note", "warn")
    assert retried.msg.endswith("     Adapter: connection lost")
    assert (batch.name, batch.data["batch_index"], batch.data["total_batches"]) == ("LogBatchResult", 1, 1)
    assert (skipped.name, skipped.level, info(skipped)["node_status"]) == ("SkippingDetails", "info", "skipped")
    assert (skipped.data["index"], skipped.data["schema"], skipped.data["node_name"]) == (2, "dev", "view")
    assert (hook.name, hook.level, hook.data["unique_id"]) == (
        "LogHookEndLine", "error", "operation.shop.shop-on-run-end-0",
    )  # fmt: skip


def test_a_problem_of_the_run_is_an_error_and_its_end_has_dbts_counts() -> None:
    problem, blank, finished = events_of(
        lambda log: log.problem("Planning", "no such target\n  prod"),
        lambda log: log.finished(1, 4.256, [result("orders")]),
    )
    assert (problem.name, problem.level) == ("MainEncounteredError", "error")
    assert problem.data == {"exc": "no such target\n  prod"}
    assert (blank.name, finished.name) == ("Formatting", "FinishedRunningStats")
    assert finished.data == {"execution_time": 4.26}
    stats = stats_event(summary_line([result("orders"), result("a", "error"), result("b", "no-op")]))
    assert stats.data["stats"] == {"pass": 1, "warn": 0, "error": 1, "skip": 0, "noop": 1, "total": 3}


def test_what_a_node_has_had_dbt_say_comes_before_its_end_with_dbts_name_code_and_level() -> None:
    said = "\n".join([marked("two\nlines", WARNED), marked("printed", PRINTED)])
    _, warned, printed, ended, note = events_of(
        lambda log: log.started(ORDERS),
        lambda log: log.ended(ORDERS, result("orders", "error", messages=said, message="no such column")),
        lambda log: log.add("fail_fast is on now"),
    )
    assert (warned.name, warned.code, warned.level, warned.msg) == ("JinjaLogWarning", "I061", "warn", "two\nlines")
    assert (info(warned)["unique_id"], warned.data["msg"]) == ("model.shop.orders", "two\nlines")
    assert (printed.name, printed.level, printed.msg) == ("PrintEvent", "info", "printed")
    assert (ended.name, ended.msg.splitlines()[1:]) == ("LogModelResult", ["     no such column"])
    assert note.msg == "fail_fast is on now"


def test_what_an_attempt_has_said_comes_before_the_word_of_its_retry() -> None:
    warned, retried = events_of(lambda log: log.retried(ORDERS, 1, 3, "connection lost", marked("hello", WARNED)))
    assert (warned.level, warned.msg) == ("warn", "hello")
    assert retried.msg.splitlines()[1:] == ["     connection lost"]


def test_what_parsing_has_said_stands_where_it_was_said() -> None:
    said = f"{marked('     drawn', PRINTED)}\n{marked('unused configuration', WARNED)}\n- models.shop.old"
    before, printed, warned, after = events_of(
        lambda log: log.add("before"), lambda log: log.say(said), lambda log: log.add("after")
    )
    assert (before.msg, printed.msg, after.msg) == ("before", "     drawn", "after")
    assert (warned.level, warned.msg) == ("warn", "unused configuration\n- models.shop.old")
    assert "node_info" not in warned.data
    assert printed.name == "PrintEvent"


def test_what_an_engine_says_without_kinds_is_a_part_of_the_nodes_end() -> None:
    _, ended = events_of(
        lambda log: log.started(ORDERS), lambda log: log.ended(ORDERS, result("orders", messages="hello"))
    )
    assert ended.msg.splitlines()[1:] == ["     hello"]


def test_a_project_that_prints_what_looks_like_the_summary_is_heard() -> None:
    (event,) = events_of(lambda log: log.say(marked("Done. PASS=1", PRINTED)))
    assert event.msg == "Done. PASS=1"


def test_a_node_whose_number_nobody_has_told_has_no_node_info() -> None:
    (event,) = LogReader().events(["3 of 9 START table_model dev.orders"])
    assert "node_info" not in event.data


@pytest.mark.parametrize("name", CODES)
def test_names_and_codes_are_those_of_dbts_events(name: str) -> None:
    event = next(getattr(each, name) for each in (of_core, of_common, of_adapters) if hasattr(each, name))
    assert event.code(None) == CODES[name]
