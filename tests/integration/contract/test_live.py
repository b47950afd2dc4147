"""The live state of a run as others see it: memos within their limit, queries, search attributes, summaries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from dbt_temporal.application.ports.engine import EnginePlan
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import FakeEngine, FakeEngineRun, node, plan
from tests.integration.run_harness import RunHarness, history, scheduled
from tests.integration.servers import wait_for

A, B, C = "model.shop.a", "model.shop.b", "model.shop.c"
MEMO_LIMIT = 32 * 1024


async def stored_memo_bytes(run: Any) -> int:
    """What the server holds for the memos of a run, keys included."""
    memo = (await run.handle.describe()).raw_description.workflow_execution_info.memo
    return sum(len(key) + payload.ByteSize() for key, payload in memo.fields.items())


async def test_the_memos_of_a_plan_of_3000_nodes_fit_and_the_queries_tell_all(runs: RunHarness) -> None:
    broken = [f"a_model_with_a_name_as_long_as_people_choose_them_{number:04}" for number in range(3)]
    first = node("a")
    others = [node(f"a_model_with_a_name_as_long_as_people_choose_them_{number:04}", "a") for number in range(2999)]
    runs.engine.run_plan = plan(first, *others)
    gate = asyncio.Event()
    for each in others[10:]:
        runs.engine.gates[each.unique_id] = gate
    for name in broken:
        runs.engine.script[f"model.shop.{name}"] = [
            FakeEngine.fails(
                f"model.shop.{name}", "Compilation Error\n  " + "x" * 400, error_type=ErrorType.COMPILATION
            )
        ]
    run = await runs.submit({"vars": {"list": ["y" * 50] * 200}})

    async def the_gate_is_reached() -> bool:
        status = await run.handle.query("run_status")
        return bool(status["succeeded"] == 8 and status["running"] == 4)

    await wait_for(the_gate_is_reached, within=60)

    async def shown() -> Mapping[str, Any] | None:
        memo = await (await run.handle.describe()).memo()
        words = list(memo.get("node_status", {}).values())
        return memo if (words.count("running"), words.count("success")) == (4, 8) else None

    memo = await wait_for(shown, within=30, what="the memo shows what the queries tell")
    assert await stored_memo_bytes(run) <= MEMO_LIMIT
    # Failed and running nodes come first; pending ones fill what is left.
    counts = {word: list(memo["node_status"].values()).count(word) for word in ("error", "running", "success")}
    assert counts == {"error": 3, "running": 4, "success": 8}
    assert 100 < len(memo["node_status"]) <= 2000
    assert 0 < len(memo["log"]) <= 200
    whole = await run.handle.query("node_status")
    assert len(whole) == 3000
    log = await run.handle.query("run_log")
    assert memo["log"][-1] == log[-1]
    assert (await run.handle.query("run_status"))["total_nodes"] == 3000
    await run.terminate("the test is over")


async def attributes(run: Any, names: set[str]) -> dict[str, str]:
    pairs = (await run.handle.describe()).typed_search_attributes
    return {pair.key.name: str(pair.value) for pair in pairs if pair.key.name in names}


async def test_a_named_selector_is_a_search_attribute_and_can_be_searched(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.static_search_attributes = {"Team": runs.task_queue}
    run = await runs.submit({"selector": "nightly", "command": "run"})
    await run.outcome()
    found = await attributes(run, {"DbtSelector", "DbtCommand"})
    assert found == {"DbtSelector": "nightly", "DbtCommand": "run"}

    async def searched() -> list[str]:
        query = f"Team = '{runs.task_queue}' and DbtStatus = 'passed' and DbtSelector = 'nightly'"
        return [each.id async for each in runs.client.list_workflows(query)]

    assert await wait_for(searched) == [run.workflow_id]


async def test_static_attributes_come_before_dynamic_ones(runs: RunHarness) -> None:
    runs.static_search_attributes = {"DbtProject": "renamed", "NotRegistered": "x"}
    run = await runs.submit()
    assert (await run.outcome()).ending is Ending.COMPLETED
    assert await attributes(run, {"DbtProject", "NotRegistered"}) == {"DbtProject": "renamed"}


@pytest.mark.parametrize(
    ("setup", "status"),
    [("succeeds", "passed"), ("fails", "failed"), ("is cancelled", "cancelled")],
)
async def test_current_details_and_status_name_what_failed_and_how_it_ended(
    runs: RunHarness, setup: str, status: str
) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    if setup == "fails":
        runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
    if setup == "is cancelled":
        runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    if setup == "is cancelled":
        await runs.has_begun(A)
        await run.cancel()
    await run.outcome()
    details = str(await run.handle.query("__temporal_workflow_metadata"))
    assert "2 of 2 nodes done" in details
    assert f"**{status}**" in details
    assert ("- `model.shop.a`: Compilation: Database Error" in details) is (setup == "fails")
    assert ("- `model.shop.b`: " in details) is (setup != "succeeds")

    async def told() -> bool:
        return await attributes(run, {"DbtStatus"}) == {"DbtStatus": status}

    assert await wait_for(told)


async def test_each_attempt_is_an_activity_with_its_reason_and_the_log_tells_it(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A), FakeEngine.crash(), FakeEngine.succeeds(A)]
    run = await runs.submit()
    await run.outcome()
    events = await history(run.handle)
    assert scheduled(events).count("model:a") == 3
    reasons = [
        (
            event.activity_task_failed_event_attributes.failure.application_failure_info.type,
            event.activity_task_failed_event_attributes.failure.message.splitlines()[0],
        )
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
    ]
    assert reasons == [("Adapter", "Database Error"), ("EngineCrashed", "the run host died (signal 9)")]
    failures = [event.activity_task_failed_event_attributes.failure for event in events]
    assert {failure.stack_trace for failure in failures} == {""}
    summaries = [
        json.loads(event.user_metadata.summary.data)
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        and event.activity_task_scheduled_event_attributes.activity_type.name == "model:a"
    ]
    assert summaries == ["model:a", "model:a (attempt 2 of 3)", "model:a (attempt 3 of 3)"]
    log = await run.handle.query("run_log")
    first = log.index("  => table_model shop.a  [RETRY after attempt 1 of 3]")
    assert log[first + 1 : first + 3] == ["     Adapter: Database Error", "       connection lost"]
    assert "  => table_model shop.a  [RETRY after attempt 2 of 3]" in log


async def test_a_node_with_a_task_queue_of_its_own_is_run_by_another_worker(runs: RunHarness) -> None:
    elsewhere = f"{runs.task_queue}-big"
    runs.engine.run_plan = plan(node("a"), node("b", "a", overrides={"task_queue": elsewhere}))
    async with AsyncExitStack() as stack:
        other = RunHarness(runs.client, elsewhere, stack)
        await other.start_worker()
        outcome = await runs.run()
    assert outcome.ending is Ending.COMPLETED
    assert (runs.engine.executed, other.engine.executed) == ([A], [B])


async def test_project_hooks_are_tried_again_where_the_project_asks_for_it(runs: RunHarness) -> None:
    hook = "operation.shop.shop-on-run-start-0"
    runs.config = {"retry": {**runs.config["retry"], "project_hooks": {"on_run_start": True}}}
    runs.engine.run_plan = plan(node("a"), has_on_run_start=True, has_on_run_end=True)
    runs.engine.on_run_start = [FakeEngine.fails(hook)]
    runs.engine.on_run_end = [FakeEngine.fails("operation.shop.shop-on-run-end-0")]
    run = await runs.submit()
    outcome = await run.outcome()
    names = scheduled(await history(run.handle))
    assert (names.count("before_run"), names.count("after_run")) == (3, 1)
    assert hook in (outcome.message or "")


async def test_phases_are_told_by_the_contracts_words(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    release, seen = asyncio.Event(), []

    class Held(FakeEngineRun):
        async def plan(self) -> EnginePlan:
            await release.wait()
            return await super().plan()

    runs.engine.run_class = Held
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()

    async def phase_is(word: str) -> bool:
        return bool((await run.handle.query("run_status"))["phase"] == word)

    for word, then in (("planning", release), ("executing", runs.engine.gates[A])):
        await wait_for(lambda word=word: phase_is(word), what=word)  # type: ignore[misc]
        seen.append(word)
        then.set()
    await run.outcome()
    assert await phase_is("finalizing")
    assert seen == ["planning", "executing"]
