"""What is understood of the events of dbt v2."""

from __future__ import annotations

from dbt_temporal.adapters.dbt_v2.processes.events import read_event
from dbt_temporal.adapters.dbt_v2.results import outcome_of
from dbt_temporal.domain.log.said import plain
from tests.unit.v2.told import begun, ended, error, hear, line, process

START, END = "operation.p.p-on-run-start-0", "operation.p.p-on-run-end-0"


def test_a_line_that_is_no_event_is_passed_over() -> None:
    assert read_event(b"thread 'tokio-rt-worker' panicked") is None
    assert read_event(b'{"info": 1, "data": {}}') is None


def test_a_node_has_its_status_its_error_and_what_it_logged() -> None:
    one = process()
    hear(
        one,
        begun("model.p.a"),
        line("SQLQuery", "model.p.a", level="debug", sql="select 1"),
        line("JinjaLogInfo", "model.p.a", message="hello"),
        error("model.p.a", "Database Error\n  boom\n   0: <unknown>\n   1: <unknown>"),
        ended("model.p.a", "error"),
    )
    told = one.told.nodes["model.p.a"]
    assert (told.status, told.error_name, told.error) == ("error", "DbDriverFailed", "Database Error\n  boom")
    outcome = outcome_of(told, "model")
    assert (outcome.result.output, plain(outcome.result.messages or "")) == (None, "hello")
    assert "select 1" in outcome.log


def test_a_test_has_its_number_of_failures() -> None:
    one = process()
    hear(one, begun("test.p.t"), ended("test.p.t", "fail", num_failures=3))
    outcome = outcome_of(one.told.nodes["test.p.t"], "test")
    assert (outcome.result.status, outcome.result.failures) == ("error", 3)
    assert outcome.error is not None
    assert (outcome.error.error_type, outcome.error.retryable) == ("TestFailure", False)


def test_what_a_hook_fails_with_comes_after_it_without_its_name() -> None:
    one = process()
    hear(
        one, line("LogHookStartLine", START), line("LogHookEndLine", START, status="error"), error("", "no such column")
    )
    assert one.told.hooks[START].error == "no such column"
    assert one.told.errors == []
    assert one.told.failed_hook is one.told.hooks[START]


def test_what_is_said_of_no_node_is_kept_apart() -> None:
    one = process()
    hear(one, line("PrintEvent", message="{}"), error("", "no profile", "InvalidConfig (dbt1005)"))
    assert one.told.printed == ["{}"]
    assert one.told.errors == [("InvalidConfig", "no profile")]


def test_an_ephemeral_model_counts_as_success_with_dbts_own_word() -> None:
    one = process()
    hear(one, begun("model.p.e"), ended("model.p.e", "no-op"))
    result = outcome_of(one.told.nodes["model.p.e"], "model").result
    assert (result.status, result.dbt_status) == ("success", "no-op")
