"""Results fit into a payload: detail goes before results do, and failures stay longest."""

from __future__ import annotations

from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.application.fitting import (
    fit_log,
    fit_plan,
    fit_result,
    fit_results,
    fit_said,
    fit_step_results,
    json_size,
)
from dbt_temporal.application.ports.runtime import UNLIMITED
from dbt_temporal.domain.limits import MESSAGES_LIMIT_CHARS, MORE_MESSAGES, OUTPUT_LEFT_OUT
from dbt_temporal.domain.results import NodeExecutionResult, TimingEntry
from dbt_temporal.testing import node, plan


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
    assert fit_results(results(10), 10_000) == results(10)


def test_timings_go_before_messages() -> None:
    found = fit_results(results(10), size(results(10)) - 1)
    assert [each.unique_id for each in found] == [each.unique_id for each in results(10)]
    assert any(not each.timing and not each.adapter_response for each in found)
    assert all(each.message == "OK" for each in found)


def test_of_compiled_code_the_longest_goes_first_and_no_more_than_needed() -> None:
    some = [
        each.model_copy(update={"compiled_code": "x" * (3000 if number == 4 else 100)})
        for number, each in enumerate(results(10))
    ]
    found = fit_results(some, size(some) - 2500)
    assert [number for number, each in enumerate(found) if each.compiled_code is None] == [4]


def test_compiled_code_goes_before_results_do() -> None:
    compiled = [each.model_copy(update={"compiled_code": "x" * 1000}) for each in results(10)]
    found = fit_results(compiled, 6000)
    assert [each.unique_id for each in found] == [each.unique_id for each in compiled]
    assert size(found) <= 6000


def test_monstrous_compiled_code_does_not_travel_at_all() -> None:
    (huge,) = results(1)
    assert (
        fit_result(
            huge.model_copy(update={"compiled_code": "x" * ((TEMPORAL_BUDGET.code_chars or 0) + 1)}), TEMPORAL_BUDGET
        ).compiled_code
        is None
    )
    assert (
        fit_result(huge.model_copy(update={"compiled_code": "select 1"}), TEMPORAL_BUDGET).compiled_code == "select 1"
    )


def test_rows_that_are_too_many_do_not_travel_and_the_result_says_so() -> None:
    (shown,) = results(1, "")
    rows = [{"id": number, "text": "x" * 100} for number in range(5_000)]
    for more in ({"output": "| 1 |", "rows": rows}, {"output": "x" * 600_000}):
        found = fit_result(shown.model_copy(update={"message": None, **more}), TEMPORAL_BUDGET)
        assert (found.output, found.rows, found.message) == (None, None, OUTPUT_LEFT_OUT)
    kept = shown.model_copy(update={"output": "| 1 |", "rows": rows[:10]})
    assert fit_result(kept, TEMPORAL_BUDGET) == kept


def test_the_size_that_counts_is_that_of_the_bytes() -> None:
    found = fit_results(results(10, "é" * 300), 5000)
    assert sum(len(each.model_dump_json().encode()) for each in found) <= 5000


def test_levels_of_a_plan_go_before_its_nodes() -> None:
    whole = plan(node("a"), node("b", "a"))
    assert fit_plan(whole, json_size(whole)) is whole
    without_levels = fit_plan(whole, json_size(whole) - 1)
    assert (without_levels.levels, list(without_levels.nodes)) == ([], list(whole.nodes))
    assert fit_plan(whole, 300).nodes == {}


def test_long_messages_are_cut_before_results_go() -> None:
    found = fit_results(results(10, "x" * 1000), 6000)
    assert len(found) == 10
    assert size(found) <= 6000
    assert all(each.message for each in found)


def test_failures_are_kept_before_everything_else() -> None:
    found = fit_results(results(100), 3000)
    assert 10 <= len(found) < 100
    assert sum(each.status == "error" for each in found) == 10
    assert size(found) <= 3000


def test_one_huge_message_is_cut_and_says_so() -> None:
    (huge,) = results(1, "x" * 100_000)
    message = fit_result(huge, TEMPORAL_BUDGET).message or ""
    assert len(message) < (TEMPORAL_BUDGET.message_chars or 0) + 100
    assert message.endswith("(84000 characters left out)")


def test_a_log_that_is_too_long_keeps_its_beginning_and_its_end() -> None:
    lines = [f"line {number}" for number in range(10_000)]
    text = fit_log("\n".join(lines), 1000)
    assert len(text) < 1200
    assert text.startswith("line 0\n")
    assert text.endswith("line 9999")
    assert "lines are left out here" in text


def test_a_log_in_another_script_is_cut_by_its_bytes() -> None:
    text = fit_log("\n".join(["日本語" * 5] * 1000), 1000)
    assert len(text.encode()) < 1200
    assert set(text.splitlines()) >= {"日本語" * 5}


def test_warnings_stay_longer_than_what_went_well() -> None:
    some = results(100)
    some[50] = some[50].model_copy(update={"dbt_status": "warn", "message": "Got 3 results"})
    found = {each.unique_id: each for each in fit_results(some, 3000)}
    assert len(found) < 100
    assert found[some[50].unique_id].message == "Got 3 results"


def test_what_was_not_run_stays_longer_than_what_went_well() -> None:
    some = results(100)
    some[98] = some[98].model_copy(update={"status": "skipped"})
    found = fit_results(some, 3000)
    assert len(found) < 100
    assert some[98].unique_id in {each.unique_id for each in found}


def test_artifacts_are_made_from_every_result_however_many_there_are() -> None:
    found = fit_step_results(results(20_000, "x" * 300), TEMPORAL_BUDGET.step_results_bytes)
    assert len(found) == 20_000
    assert not any(each.timing or each.compiled_code for each in found)


def test_what_a_node_has_had_dbt_say_is_cut_whatever_carries_the_run() -> None:
    long = NodeExecutionResult(unique_id="model.shop.a", status="success", messages="x" * 10_000)
    said = fit_result(long, UNLIMITED).messages
    assert said == f"{'x' * MESSAGES_LIMIT_CHARS}\n{MORE_MESSAGES}"
    assert fit_said(said) == said
    assert fit_said("x" * MESSAGES_LIMIT_CHARS) == "x" * MESSAGES_LIMIT_CHARS
