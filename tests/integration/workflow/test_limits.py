"""Runs that come near Temporal's limits, or upon what its server would refuse; against a real server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from dbt_temporal.adapters.temporal.workflow import runtime
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.limits import MAX_NAME_BYTES
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.testing import FakeEngine, FakeEngineRun, node, plan, result
from tests.integration.run_harness import RunHarness, history, scheduled

PAYLOAD_BYTES = 2 * 1024 * 1024


async def test_a_run_whose_plan_and_results_are_larger_than_a_payload_ends_well(runs: RunHarness) -> None:
    names = [f"int_orders__aggregated_by_customer_{number}_{'x' * 400}" for number in range(2500)]
    runs.engine.run_plan = plan(*(node(name) for name in names))
    assert len(runs.engine.run_plan.model_dump_json()) > PAYLOAD_BYTES
    runs.write_artifacts = True
    outcome = await runs.run({"command": "list"})
    assert outcome.ending is Ending.COMPLETED
    assert len(runs.engine.seen_by_artifacts) == len(names)


async def test_the_hooks_of_a_run_are_started_although_its_plan_is_larger_than_a_payload(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(*(node(f"n{number}_{'x' * 1000}") for number in range(1000)))
    assert len(runs.engine.run_plan.model_dump_json()) > PAYLOAD_BYTES
    nobody = {"workflow_type": "nobody", "task_queue": f"nobody-{uuid4().hex}", "timeout_secs": 1}
    outcome = await runs.run({"command": "list", "hooks": {"pre_run": [nobody], "on_success": [nobody]}})
    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert [each.event for each in outcome.output.hook_errors] == ["pre_run", "on_success"]


async def test_a_compile_of_more_code_than_a_payload_takes_loses_no_node(runs: RunHarness) -> None:
    names = [f"m{number}" for number in range(6)]
    runs.engine.run_plan = plan(*(node(name) for name in names))
    code = "".join(uuid4().hex for _ in range(15_000))
    for each in names:
        uid = node(each).unique_id
        runs.engine.script[uid] = [replace(FakeEngine.succeeds(uid), result=result(each, compiled_code=code))]
    outcome = await runs.run({"command": "compile"})
    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert len(outcome.output.node_results) == len(names)


async def test_a_long_selection_is_in_the_history_a_few_times_and_each_process_of_the_run_has_it(
    runs: RunHarness,
) -> None:
    opened: list[DbtInvocation] = []

    class Noting(FakeEngineRun):
        def __init__(self, engine: FakeEngine, invocation: DbtInvocation) -> None:
            super().__init__(engine, invocation)
            opened.append(invocation)

    runs.engine.run_class = Noting
    runs.engine.run_plan = plan(*(node(f"n{number}") for number in range(40)))
    select = " ".join(f"int_orders__aggregated_by_customer_{number}" for number in range(10_000))
    variables = {f"rate_{number}": number for number in range(5_000)}
    run = await runs.submit({"select": select, "vars": variables})
    outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED
    assert {(each.input.select, len(each.input.vars)) for each in opened} == {(select, len(variables))}
    assert len(opened) > 40
    description = await run.handle.describe()
    assert description.raw_description.workflow_execution_info.history_size_bytes < 12 * len(select)


async def test_a_node_with_an_over_long_name_runs_under_a_shorter_activity_type(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node(f"test.shop.accepted_values_{'x' * 2000}"))
    run = await runs.submit()
    assert (await run.outcome()).ending is Ending.COMPLETED
    (name,) = (each for each in scheduled(await history(run.handle)) if each.startswith("test:accepted_values_x"))
    assert len(name) == MAX_NAME_BYTES


async def test_a_run_with_an_over_long_id_starts_its_hooks(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    await runs.start_worker()
    # dbt_run as a hook of its own, with an id that has no room for the rest of a hook's id.
    own_input = {"command": "list", "hooks": {}}
    hook = {"workflow_type": "dbt_run", "task_queue": runs.task_queue, "input": own_input, "on_error": "fail"}
    run = await runs.gateway.submit({"hooks": {"pre_run": [hook]}}, f"{'w' * 950}-{uuid4().hex}")
    assert (await run.outcome()).ending is Ending.COMPLETED


async def test_a_run_whose_history_is_full_ends_in_order_and_says_how_to_go_on(
    runs: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "MAX_EVENTS", 30)
    chain: list[Any] = [node(f"n{number}", *([f"n{number - 1}"] if number else [])) for number in range(12)]
    runs.engine.run_plan = plan(*chain)
    runs.write_artifacts = True
    outcome = await runs.run()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "DbtRunFailed")
    assert "history is full" in (outcome.message or "")
    assert "`retry_from`" in (outcome.message or "")
    assert 0 < len(runs.engine.executed) < len(chain)
    assert len(runs.engine.seen_by_artifacts) == len(chain)
