from pathlib import Path

import dbt_temporal
from dbt_temporal.domain.results import is_project_hook
from dbt_temporal.domain.run.state import RunState
from dbt_temporal.testing import model_id, node, plan, result


def state(*names: str) -> RunState:
    run = RunState()
    run.plan_known(plan(*(node(name) for name in names)))
    return run


def test_counts_and_levels_follow_the_nodes() -> None:
    run = RunState()
    run.plan_known(plan(node("a"), node("b", "a"), node("c", "a")))
    run.node_started(model_id("a"))
    assert run.run_status()["running"] == 1
    run.node_ended(result("a"))
    run.node_started(model_id("b"))
    run.node_ended(result("b", "error"))
    assert run.run_status() == {
        "phase": "initializing",
        "total_nodes": 3,
        "total_levels": 2,
        "completed_levels": 1,
        "succeeded": 1,
        "failed": 1,
        "skipped": 0,
        "running": 0,
        "fail_fast": False,
    }


def test_any_error_or_skip_fails_the_run_as_in_dbt() -> None:
    for status in ("error", "fail", "skipped", "cancelled", "partial success"):
        run = state("a")
        run.node_ended(result("a", status))
        assert not run.success, status
    for status in ("success", "warn", "no-op", "pass"):
        run = state("a")
        run.node_ended(result("a", status))
        assert run.success, status


def test_a_skipped_exposure_does_not_fail_the_run() -> None:
    run = RunState()
    run.plan_known(plan(node("exposure.shop.dashboard")))
    run.node_ended(result("exposure.shop.dashboard", "skipped"))
    assert run.success


def test_a_failed_project_hook_fails_the_run() -> None:
    run = state("a")
    run.project_hook_ended(result("operation.shop.shop-on-run-start-0", "error", message="no such table"))
    run.node_ended(result("a"))
    assert not run.success
    assert run.failure_message() == "operation.shop.shop-on-run-start-0 failed (no such table)"
    assert [each.unique_id for each in run.node_results] == [model_id("a")]


def test_the_failure_message_says_how_many_nodes_failed_and_names_the_first() -> None:
    run = state(*"abcdefgh")
    for name in "abcdefg":
        run.node_ended(result(name, "error", message="Database Error\n  lost"), error_type="Adapter")
    run.node_ended(result("h"))
    message = run.failure_message()
    assert message.startswith("7 of 8 nodes failed: model.shop.a (Adapter: Database Error lost), model.shop.b (")
    assert message.endswith("and 2 more")


def test_a_node_skipped_for_its_parent_has_no_message_in_dbts_results() -> None:
    run = state("a", "b")
    run.node_ended(result("a", "skipped", message="model.shop.x failed"), skipped_by_parent=True)
    run.node_ended(result("b", "skipped", message="Skipping due to fail_fast"))
    assert [each.message for each in run.results_as_dbt_has_them] == [None, "Skipping due to fail_fast"]
    assert [each.message for each in run.results] == ["model.shop.x failed", "Skipping due to fail_fast"]


def test_results_of_the_project_s_hooks_are_told_from_those_of_nodes_by_their_ids() -> None:
    assert is_project_hook("operation.shop.shop-on-run-end-0")
    assert not any(map(is_project_hook, ("model.shop.operation", "sql_operation.shop.inline_query", "operation")))


def test_one_module_alone_knows_what_the_ids_of_hooks_begin_with() -> None:
    source = Path(dbt_temporal.__file__).parent
    know = [path.name for path in source.rglob("*.py") if '"operation."' in path.read_text()]
    assert know == ["results.py"]
