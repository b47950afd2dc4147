"""Runs that would write the same relations do so one after the other, in the order in which they asked."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.client import WorkflowExecutionStatus

from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.testing import node, plan
from tests.integration.contract.test_outcomes import dbt_status
from tests.integration.leases.leased_runs import A, LeasedRuns, run_log
from tests.integration.run_harness import RunHarness, history, scheduled


@pytest.fixture
def leased(request: pytest.FixtureRequest, runs: RunHarness) -> LeasedRuns:
    return LeasedRuns(runs, if_taken=getattr(request, "param", "wait"))


async def test_a_run_waits_for_another_one_tells_for_whom_and_is_planned_anew(leased: LeasedRuns) -> None:
    first = await leased.holder()
    second = await leased.waiter()
    assert f"the run '{first.workflow_id}' has it, which asked at 20" in await run_log(second)
    # Nothing of it runs while it waits, and it keeps no worker busy.
    assert scheduled(await history(second.handle)) == ["plan_project", "take_lease"]
    assert (await second.handle.query("run_status"))["phase"] == "planning"
    leased.gate.set()
    assert (await first.outcome()).ending is Ending.COMPLETED
    assert (await second.outcome()).ending is Ending.COMPLETED
    steps = ["plan_project", "take_lease", "take_lease", "plan_project", "before_run", "model:a", "end_run"]
    assert scheduled(await history(second.handle)) == steps
    assert "is planned again" in await run_log(second)
    await leased.until_claimed_by()
    assert (await leased.keeper.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_twenty_runs_have_it_in_the_order_in_which_they_asked(leased: LeasedRuns) -> None:
    order = [await leased.holder()]
    for _ in range(19):
        order.append(await leased.waiter())
    asked = [run.workflow_id for run in order]
    assert [name for name, _ in await leased.claimants()] == asked
    leased.gate.set()
    for outcome in await asyncio.gather(*(run.outcome() for run in order)):
        assert outcome.ending is Ending.COMPLETED
    began = {}
    for run in order:
        events = await history(run.handle)
        nodes = [
            each for each in events if each.activity_task_scheduled_event_attributes.activity_type.name == "model:a"
        ]
        began[run.workflow_id] = nodes[0].event_time.ToNanoseconds()
    assert sorted(asked, key=lambda name: began[name]) == asked


async def test_runs_that_write_different_relations_are_side_by_side(leased: LeasedRuns) -> None:
    runs = [await leased.holder(select) for select in ("a b", "c", "d e f")]
    assert [granted for _, granted in await leased.claimants()] == [True, True, True]
    leased.gate.set()
    for run in runs:
        assert (await run.outcome()).ending is Ending.COMPLETED


async def test_nobody_overtakes_a_run_that_wants_the_same_and_has_waited_longer(leased: LeasedRuns) -> None:
    await leased.holder("a")
    both = await leased.waiter("a b")
    behind = await leased.waiter("b")
    assert f"the run '{both.workflow_id}' waits for it" in await run_log(behind)
    await leased.holder("c")
    assert [granted for _, granted in await leased.claimants()] == [True, False, False, True]


async def test_runs_that_wait_take_no_slots_from_the_one_that_has_it(leased: LeasedRuns) -> None:
    leased.runs.tuning = WorkerTuning(max_concurrent_activities=2)
    leased.runs.engine.run_plan = plan(node("a"), node("b", "a"))
    first = await leased.holder()
    others = [await leased.waiter() for _ in range(6)]
    leased.gate.set()
    assert (await first.outcome()).ending is Ending.COMPLETED
    for run in others:
        assert (await run.outcome()).ending is Ending.COMPLETED


async def test_a_run_that_is_cancelled_while_it_waits_withdraws(leased: LeasedRuns) -> None:
    first = await leased.holder("a")
    second = await leased.waiter("a b")
    third = await leased.waiter("b")
    await second.cancel()
    assert (await second.outcome()).ending is Ending.CANCELLED
    await leased.until_claimed_by(first, third)
    leased.gate.set()
    assert (await third.outcome()).ending is Ending.COMPLETED


async def test_a_run_that_is_cancelled_or_fails_gives_its_lease_back(leased: LeasedRuns) -> None:
    first = await leased.holder()
    second = await leased.waiter()
    leased.runs.engine.script[A] = [leased.runs.engine.fails(A, retryable=False)]
    third = await leased.waiter()
    await first.cancel()
    assert (await first.outcome()).ending is Ending.CANCELLED
    await leased.until_claimed_by(second, third)
    leased.gate.set()
    assert (await second.outcome()).ending is Ending.FAILED
    assert (await third.outcome()).ending is Ending.FAILED
    await leased.until_claimed_by()


async def test_a_run_that_is_to_write_something_else_after_its_wait_asks_for_that(leased: LeasedRuns) -> None:
    first = await leased.holder("a")
    second = await leased.waiter("a")
    original = leased.runs.engine.lease_of
    wider = original(DbtRunInput(select="a b"))
    other = await leased.holder("b")
    leased.runs.engine.lease_of = lambda run_input: wider if run_input.select == "a" else original(run_input)
    await first.cancel()
    await first.outcome()
    await leased.until_claimed_by(other, second)
    leased.gate.set()
    assert (await second.outcome()).ending is Ending.COMPLETED
    assert scheduled(await history(second.handle)).count("plan_project") == 3


@pytest.mark.parametrize("leased", ["skip"], indirect=True)
async def test_a_run_is_skipped_where_the_project_says_so(leased: LeasedRuns) -> None:
    first = await leased.holder()
    second = await leased.runs.submit({"select": "a"})
    outcome = await second.outcome()
    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert (outcome.output.skipped, outcome.output.success, outcome.output.node_results) == (True, True, [])
    assert f"the run '{first.workflow_id}' has it" in (outcome.output.skip_reason or "")
    assert await dbt_status(second) == "skipped"
    await leased.until_claimed_by(first)


@pytest.mark.parametrize("leased", ["fail"], indirect=True)
async def test_a_run_fails_where_the_project_says_so(leased: LeasedRuns) -> None:
    first = await leased.holder()
    second = await leased.runs.submit({"select": "a"})
    outcome = await second.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration")
    assert f"the run '{first.workflow_id}' has it" in (outcome.message or "")
    assert await dbt_status(second) == "failed"
    assert leased.runs.engine.executed == [A]


async def test_a_run_waits_no_longer_than_the_project_says(leased: LeasedRuns) -> None:
    leased.runs.config["concurrency"] = {"per": "relation", "wait_secs": 0.5}
    first = await leased.holder()
    second = await leased.runs.submit({"select": "a"})
    outcome = await second.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration")
    assert "the run has waited for 0.5 s" in (outcome.message or "")
    await leased.until_claimed_by(first)


async def test_a_run_that_is_a_hook_of_another_one_has_what_that_has(leased: LeasedRuns) -> None:
    leased.gate.set()
    nested = {"workflow_type": "dbt_run", "task_queue": leased.runs.task_queue, "input": {"select": "a", "hooks": {}}}
    run = await leased.runs.submit({"select": "a", "hooks": {"pre_run": [nested], "on_success": [nested]}})
    outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert outcome.output.hook_errors == []
    assert leased.runs.engine.executed == [A, A, A]
