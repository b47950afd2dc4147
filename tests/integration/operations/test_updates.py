"""The updates by which operators do something about nodes, as any client sends them, against a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

A, B, C = "model.shop.a", "model.shop.b", "model.shop.c"


async def says(run: TemporalRun, text: str) -> None:
    async def said() -> bool:
        return any(text in line for line in await run.handle.query("run_log"))

    await wait_for(said, what=f"the log says {text!r}")


async def update(run: TemporalRun, name: str, *arguments: Any) -> Any:
    return await run.handle.execute_update(name, args=list(arguments))


async def test_a_node_that_waits_for_its_next_attempt_is_retried_at_once(runs: RunHarness) -> None:
    runs.config = {"retry": {"initial_interval_secs": 600, "max_interval_secs": 600}}
    runs.engine.run_plan = plan(node("a"), node("b"))
    for name in (A, B):
        runs.engine.script[name] = [FakeEngine.fails(name, "connection lost"), FakeEngine.succeeds(name)]
    run = await runs.submit()
    await says(run, "RETRY after attempt 1 of 3")
    assert await update(run, "retry_nodes", ["a"]) == [A]
    await says(run, "OK")
    assert await update(run, "retry_now") == [B]
    assert (await run.outcome()).ending is Ending.COMPLETED


async def test_a_run_is_kept_open_repaired_in_place_and_stores_its_artifacts_once(runs: RunHarness) -> None:
    runs.write_artifacts = True
    runs.static_search_attributes = {"DbtStatus": "running"}
    runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c"))
    runs.engine.script[A] = [
        FakeEngine.fails(A, "relation is missing", retryable=False),
        FakeEngine.fails(A, "relation is missing", retryable=False),
        FakeEngine.succeeds(A),
    ]
    run = await runs.submit({"on_failure": "hold"})
    await says(run, "The run is kept open until")
    assert await run.handle.query("node_status") == {A: "error", B: "skipped", C: "success"}
    assert await update(run, "retry_nodes", [A]) == [A]
    await wait_for(lambda: kept_open(run, 2), what="it is kept open again")
    assert await update(run, "retry_nodes", ["model:a"]) == [A]
    outcome = await run.outcome()
    assert outcome.output is not None
    assert outcome.output.success
    results = {each.unique_id: (each.status, each.attempts) for each in outcome.output.node_results}
    assert results == {C: ("success", 1), A: ("success", 3), B: ("success", 1)}
    assert [each.result.unique_id for each in runs.engine.seen_by_artifacts] == [C, A, B]
    assert runs.engine.attempts == [(A, 1), (C, 1), (A, 2), (A, 3), (B, 1)]


async def kept_open(run: TemporalRun, times: int) -> bool:
    lines: list[str] = await run.handle.query("run_log")
    return sum("The run is kept open until" in line for line in lines) == times


async def test_a_run_that_is_kept_open_ends_by_finish_as_failed(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    runs.engine.script[A] = [FakeEngine.fails(A, "no", retryable=False)]
    run = await runs.submit({"on_failure": "hold"})
    await says(run, "The run is kept open until")
    assert await update(run, "finish") is True
    outcome = await run.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "DbtRunFailed")


async def test_a_hold_ends_by_itself(runs: RunHarness) -> None:
    runs.config = runs.config | {"hold_secs": 1}
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A, "no", retryable=False)]
    run = await runs.submit({"on_failure": "hold"})
    assert (await run.outcome()).ending is Ending.FAILED
    assert "The run's hold has ended by itself (hold_secs)" in await run.handle.query("run_log")


async def test_nodes_are_held_skipped_and_accepted_before_their_turns(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c", "a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    await update(run, "hold_nodes", ["b"])
    await update(run, "skip_nodes", ["c"])
    runs.engine.gates[A].set()
    await says(run, "held: model.shop.b")
    await update(run, "accept_nodes", ["b"])
    outcome = await run.outcome()
    assert outcome.output is not None
    assert {each.unique_id: each.status for each in outcome.output.node_results} == {
        A: "success", B: "success", C: "skipped",
    }  # fmt: skip
    assert runs.engine.executed == [A]


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("retry_nodes", [["nothing"]], "the run has no node 'nothing'"),
        ("retry_nodes", ["a"], "retry_nodes takes a list of unique_ids or names of nodes"),
        ("skip_nodes", [[]], "skip_nodes takes a list"),
        ("hold_nodes", [[1]], "hold_nodes takes a list"),
        ("retry_nodes", [["a"]], "it runs now"),
    ],
)
async def test_an_update_that_cannot_be_done_is_refused_and_leaves_no_event(
    runs: RunHarness, name: str, arguments: list[Any], why: str
) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await update(run, name, *arguments)
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "Configuration"
    assert why in caught.value.cause.message
    runs.engine.gates[A].set()
    assert (await run.outcome()).ending is Ending.COMPLETED
    kinds = [event.WhichOneof("attributes") async for event in run.handle.fetch_history_events()]
    assert not [kind for kind in kinds if kind is not None and "update" in kind]
