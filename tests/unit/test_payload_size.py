"""Results fit into a payload: detail goes before results do, and failures stay longest."""

from __future__ import annotations

from dbt_temporal.domain.payload_size import MAX_MESSAGE_CHARS, fit_log, fit_result, fit_results
from dbt_temporal.domain.results import NodeExecutionResult, TimingEntry


def results(count: int, message: str = "OK") -> list[NodeExecutionResult]:
    return [
        NodeExecutionResult(
            unique_id=f"model.shop.m{number}",
            status="error" if number % 10 == 9 else "success",
            message=message,
            adapter_response={"rows_affected": 1},
            timing=[TimingEntry(name="compile"), TimingEntry(name="execute")],
        )
        for number in range(count)
    ]


def size(found: list[NodeExecutionResult]) -> int:
    return sum(len(each.model_dump_json()) for each in found)


def test_results_that_fit_are_left_alone() -> None:
    assert fit_results(results(10)) == results(10)


def test_timings_go_before_messages() -> None:
    found = fit_results(results(10), size(results(10)) - 1)
    assert [each.unique_id for each in found] == [each.unique_id for each in results(10)]
    assert not any(each.timing or each.adapter_response for each in found)
    assert all(each.message == "OK" for each in found)


def test_long_messages_are_cut_before_results_go() -> None:
    found = fit_results(results(10, "x" * 1000), 6000)
    assert len(found) == 10
    assert all(len(each.message or "") < 300 for each in found)


def test_failures_are_kept_before_everything_else() -> None:
    found = fit_results(results(100), 3000)
    assert 10 <= len(found) < 100
    assert sum(each.status == "error" for each in found) == 10
    assert size(found) <= 3000


def test_one_huge_message_is_cut_and_says_so() -> None:
    (huge,) = results(1, "x" * 100_000)
    message = fit_result(huge).message or ""
    assert len(message) < MAX_MESSAGE_CHARS + 100
    assert message.endswith("(84000 characters left out)")


def test_a_log_that_is_too_long_keeps_its_beginning_and_its_end() -> None:
    lines = [f"line {number}" for number in range(10_000)]
    text = fit_log("\n".join(lines), 1000)
    assert len(text) < 1200
    assert text.startswith("line 0\n")
    assert text.endswith("line 9999")
    assert "lines are left out here" in text
