"""What Temporal's Current Details say of a run."""

from __future__ import annotations

from datetime import UTC, datetime

from dbt_temporal.domain.details.run_details import MAX_NAMED, MAX_NAMED_AT_END, RunFacts, details, in_short
from dbt_temporal.domain.run.state import RunState
from dbt_temporal.testing import model_id, node, plan, result


def state(*names: str) -> RunState:
    run = RunState()
    run.plan_known(plan(*(node(name) for name in names)))
    run.phase = "executing"
    return run


def test_they_name_what_runs_what_failed_and_why_and_what_is_skipped() -> None:
    run = state("a", "b", "c", "d")
    run.node_started(model_id("a"))
    run.node_started(model_id("b"))
    run.node_ended(result("b", "error", message="Database Error\n  no *such* table"), error_type="Adapter")
    run.node_ended(result("c", "skipped", message="model.shop.b failed"), skipped_by_parent=True)
    assert details(run, RunFacts(headline="dbt build --select *", project="shop")) == (
        "**executing**: 2 of 4 nodes done, 1 running, 1 error, 1 skipped\n\n"
        "`dbt build --select *` in project `shop`\n\n"
        "Running: `model.shop.a`\n\n"
        "Failed:\n\n- `model.shop.b`: Adapter: Database Error no \\*such\\* table\n\n"
        "Skipped:\n\n- `model.shop.c`: model.shop.b failed"
    )


def test_they_say_what_the_run_waits_for() -> None:
    run = state("a")
    run.notice = "Waits for the database since 12:00:00 UTC: __refused__"
    assert r"Waits for the database since 12:00:00 UTC: \_\_refused\_\_" in details(run, RunFacts())


def test_they_say_which_nodes_are_tried_again_until_these_have_ended() -> None:
    run = state("a")
    run.node_started(model_id("a"))
    run.node_retried(model_id("a"), 2, 3, "Adapter: no *such* host", datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC))
    again = "- `model.shop.a`: attempt 2 of 3 from 12:00:05 UTC on, after Adapter: no \\*such\\* host"
    assert f"Running: `model.shop.a`\n\nTried again:\n\n{again}" in details(run, RunFacts())
    run.node_ended(result("a"))
    assert "Tried again" not in details(run, RunFacts())


def test_a_retry_goes_on_with_the_run_in_another_execution() -> None:
    run, next_one = state("a"), RunState()
    run.node_retried(model_id("a"), 2, 3, "lost", datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC))
    assert run.plan is not None
    next_one.restore(run.plan, run.snapshot(), [])
    assert next_one.retries == run.retries
    of_before = run.snapshot()
    del of_before["progress"]["_retries"]
    next_one = RunState()
    next_one.restore(run.plan, of_before, [])
    assert next_one.retries == {}


def test_the_hook_that_is_waited_for_is_named_by_an_id_that_can_be_copied() -> None:
    run = state("a")
    run.notice = "Waits for the pre_run hook check_all since 12:00:00 UTC"
    told = details(run, RunFacts(hook_place="nightly__1/pre_run-1-check_all"))
    assert "check_all since 12:00:00 UTC: workflow id `nightly__1/pre_run-1-check_all`" in told


def test_in_short_they_are_one_line() -> None:
    run = state("a", "b", "c")
    assert in_short(run) == "0 of 3 nodes done"
    for name in "ab":
        run.node_started(model_id(name))
    assert in_short(run) == "0 of 3 nodes done, 2 running: `model.shop.a` and 1 more"


def test_at_the_end_they_say_the_outcome_where_things_are_and_how_to_go_on() -> None:
    run = state("a")
    run.node_ended(result("a", "error", message="lost"))
    run.notice = "Waits"
    facts = RunFacts(
        outcome="failed",
        places={"Log": "/store/log_of_*.txt", "Report": "/store/report.html"},
        retry_command="dbt-temporal retry 01",
        hook_errors=["notify (on_failure): timed out"],
    )
    assert details(run, facts) == (
        "**failed**: 1 of 1 nodes done, 1 error\n\n"
        "Failed:\n\n- `model.shop.a`: error: lost\n\n"
        "Hook failed: notify (on_failure): timed out\n\n"
        "Stored:\n\n- Log: `/store/log_of_*.txt`\n- Report: `/store/report.html`\n\n"
        "To run again what did not succeed: `dbt-temporal retry 01`"
    )


def test_of_many_nodes_they_name_some_while_the_run_goes_on_and_more_at_its_end() -> None:
    names = [f"m{number}" for number in range(MAX_NAMED_AT_END + 3)]
    run = state(*names)
    for name in names:
        run.node_ended(result(name, "error", message="lost"))
    live, ended = details(run, RunFacts()), details(run, RunFacts(outcome="failed"))
    assert live.count("lost") == MAX_NAMED
    assert live.endswith(f"- and {len(names) - MAX_NAMED} more")
    assert ended.count("lost") == MAX_NAMED_AT_END
    assert ended.endswith("- and 3 more")


def test_a_node_that_is_opened_again_is_failed_no_more() -> None:
    run = state("a")
    run.node_ended(result("a", "error", message="lost"))
    run.nodes_reopened([model_id("a")])
    assert "Failed" not in details(run, RunFacts())


def test_a_project_hook_that_failed_is_told() -> None:
    run = state("a")
    hook = result("a", "error", message="denied").model_copy(update={"unique_id": "operation.shop.shop-on-run-end-0"})
    run.project_hook_ended(hook)
    assert "operation.shop.shop-on-run-end-0: denied" in details(run, RunFacts())


def test_they_are_the_same_after_the_run_has_gone_on_in_another_execution() -> None:
    run = state("a", "b", "c")
    run.node_ended(result("a", "error", message="lost"), error_type="Adapter")
    run.node_ended(result("b", "skipped", message="model.shop.a failed"))
    run.node_started(model_id("c"))
    assert run.plan is not None
    again = RunState()
    again.restore(run.plan, run.snapshot(), run.results)
    assert details(again, RunFacts()) == details(run, RunFacts())
