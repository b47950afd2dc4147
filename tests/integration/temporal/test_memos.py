"""How often a run writes its memo, and what stands in the timeline for that; against a real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping

import pytest
from temporalio.api.enums.v1 import EventType

from dbt_temporal.adapters.temporal.workflow import publisher
from dbt_temporal.adapters.temporal.workflow.publisher import FALLBACK_SECS, SAVED_BY_NODES
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for

A, B = "model.shop.a", "model.shop.b"


async def test_many_quick_nodes_cost_few_memos(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(*(node(f"n{number}") for number in range(40)))
    run = await runs.submit()
    await run.outcome()
    described = await run.handle.describe()
    events = await history(run.handle)
    memos = [each for each in events if each.event_type == EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED]
    assert described.close_time is not None
    seconds = (described.close_time - described.start_time).total_seconds()
    # One at the beginning, one a second, one at the end, one for each change of DbtStatus; and what was saved up.
    assert len(memos) <= seconds + 4 + SAVED_BY_NODES / 40
    timers = [each for each in events if each.event_type == EventType.EVENT_TYPE_TIMER_STARTED]
    assert len(timers) <= seconds / FALLBACK_SECS + 1
    assert (await described.memo())["node_status"] == {f"model.shop.n{number}": "success" for number in range(40)}


async def test_the_memo_shows_a_node_after_which_nothing_happens_for_long(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(*(node(f"n{number}") for number in range(20)), node("a", *(f"n{n}" for n in range(20))))
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)

    async def shown() -> bool:
        statuses: Mapping[str, str] = (await (await run.handle.describe()).memo()).get("node_status", {})
        return statuses.get(A) == "running"

    assert await wait_for(shown)
    runs.engine.gates[A].set()
    await run.outcome()


async def test_the_timer_by_which_late_changes_are_shown_says_where_the_run_stands(
    runs: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MIN_SAVED", 1.0)
    monkeypatch.setattr(publisher, "MAX_SAVED", 1.0)
    runs.engine.run_plan = plan(node("a"), node("b"), node("c"), node("d", "c"))
    for slow in (A, B):
        runs.engine.gates[slow] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)

    async def summaries() -> list[str]:
        timers = [event for event in await history(run.handle) if event.HasField("timer_started_event_attributes")]
        return [json.loads(timer.user_metadata.summary.data) for timer in timers]

    (told,) = await wait_for(summaries, what="a timer")
    assert re.fullmatch(r"so far: \d of 4 nodes done, \d running: `model.shop.a` and \d more", told)
    for slow in (A, B):
        runs.engine.gates[slow].set()
    await run.outcome()


async def test_a_run_of_a_few_nodes_has_no_timers(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c", "b"))
    run = await runs.submit()
    await run.outcome()
    assert EventType.EVENT_TYPE_TIMER_STARTED not in [each.event_type for each in await history(run.handle)]
