"""Runs that carry more than arguments take: the next execution fetches it from the history of the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.converter import PayloadConverter
from temporalio.worker import Replayer

from dbt_temporal.adapters.temporal.closed_runs.finding import ClosedRuns
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.executions import fetching
from dbt_temporal.adapters.temporal.executions.fetching import FETCH_CARRIED
from dbt_temporal.adapters.temporal.executions.in_history import find_parts
from dbt_temporal.adapters.temporal.executions.references import digest_of_part, with_references
from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.adapters.temporal.payloads import plan_pieces
from dbt_temporal.adapters.temporal.workflow import runtime
from dbt_temporal.adapters.temporal.workflow.definition import DbtRunWorkflow
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.application.run.executions import carried
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import node, plan
from tests.integration.executions.test_continue_as_new import executions, succeeded
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for

NODES_OF_A_PART = 5


def as_few_arguments_as_can_be(
    _converter: PayloadConverter, _argument: Any, parts: Sequence[bytes], known: Collection[bytes]
) -> list[bytes] | None:
    """As where there is room for nothing that could be a reference."""
    unknown = [part for part in parts if digest_of_part(part) not in known]
    return with_references(parts, known, sum(map(len, unknown)) + 45 * len(parts))


@pytest.fixture
def runs(runs: RunHarness, monkeypatch: pytest.MonkeyPatch) -> RunHarness:
    monkeypatch.setattr(carried, "PLAN_PART_NODES", NODES_OF_A_PART)
    monkeypatch.setattr(plan_pieces, "NODES_OF_A_PIECE", NODES_OF_A_PART)
    monkeypatch.setattr(plan_pieces, "MIN_NODES", NODES_OF_A_PART)
    monkeypatch.setattr(runtime, "arguments_with", as_few_arguments_as_can_be)
    runs.tuning = read_settings({"DBT_TEMPORAL_CONTINUE_AS_NEW_EVENTS": "60"}).tuning
    runs.write_artifacts = True
    runs.engine.run_plan = plan(*(node(f"n{i}", *([f"n{i - 4}"] if i > 3 else [])) for i in range(32)))
    return runs


async def test_a_run_fetches_what_it_carries_and_is_as_any_other(runs: RunHarness) -> None:
    run = await runs.submit({"vars": {"day": 1}})
    outcome = await run.outcome()

    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    everything = sorted(f"model.shop.n{i}" for i in range(32))
    assert sorted(each.unique_id for each in outcome.output.node_results) == everything
    assert sorted(runs.engine.executed) == everything
    log = await run.handle.query("run_log")
    assert len([line for line in log if " START " in line]) == 32
    assert len(runs.engine.seen_by_artifacts) == 32
    chain = await executions(run)
    assert len(chain) > 3
    replayer = Replayer(workflows=[DbtRunWorkflow], data_converter=ConnectionSettings().data_converter)
    for number, handle in enumerate(chain):
        recorded = await handle.fetch_history()
        fetched = [
            event
            for event in recorded.events
            if event.activity_task_scheduled_event_attributes.activity_type.name == FETCH_CARRIED
        ]
        assert len(fetched) == (1 if number else 0)
        await replayer.replay_workflow(recorded)


async def test_its_steps_find_a_long_selection(runs: RunHarness) -> None:
    names = " ".join(f"n{i}_with_a_rather_long_name" for i in range(2_000))

    run = await runs.submit({"select": names})

    assert (await run.outcome()).ending is Ending.COMPLETED
    assert len(await executions(run)) > 3


async def test_a_cancel_while_it_fetches_ends_it_with_all_that_it_had_come_to(
    runs: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, gate = await run_that_fetches(runs, monkeypatch)
    await run.cancel()
    await wait_for(lambda: is_asked_to_end(run.handle), what="the cancel has come")
    gate.set()

    assert (await run.outcome()).ending is Ending.CANCELLED
    status = await run.handle.query("node_status")
    assert {name for name, each in status.items() if each == "success"} == set(runs.engine.executed)
    assert set(status.values()) <= {"success", "cancelled", "skipped"}
    assert len(runs.engine.seen_by_artifacts) == 32


async def test_a_run_that_is_terminated_before_it_has_fetched_gets_the_artifacts_of_all(
    runs: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, gate = await run_that_fetches(runs, monkeypatch)
    await run.terminate("it was in the way")
    gate.set()
    closed = ClosedRuns(runs.client, runs.task_queue)

    tidied = await (await closed.tidy(await closed.run_of(run.workflow_id))).result()

    assert tidied.succeeded > 0
    assert len(runs.engine.seen_by_artifacts) == 32


async def test_a_run_that_is_terminated_later_gets_the_artifacts_of_all(runs: RunHarness) -> None:
    runs.engine.gates["model.shop.n28"] = asyncio.Event()
    run = await runs.submit()
    await wait_for(lambda: succeeded(run, 28), what="all before it have ended")
    await run.terminate("it was in the way")
    closed = ClosedRuns(runs.client, runs.task_queue)

    tidied = await (await closed.tidy(await closed.run_of(run.workflow_id))).result()

    assert tidied.succeeded >= 28
    assert len(runs.engine.seen_by_artifacts) == 32


async def test_a_history_that_is_gone_fails_the_run_and_says_so(
    runs: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_none(*_: object) -> dict[bytes, bytes]:
        return {}

    monkeypatch.setattr(fetching, "find_parts", find_none)
    run = await runs.submit()

    outcome = await run.outcome()

    assert outcome.error_type == "Configuration"
    assert outcome.message is not None
    assert "from which it goes on" in outcome.message


async def is_asked_to_end(handle: Any) -> bool:
    kinds = {event.event_type for event in await history(handle)}
    return EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED in kinds


async def run_that_fetches(runs: RunHarness, monkeypatch: pytest.MonkeyPatch) -> tuple[TemporalRun, asyncio.Event]:
    """A run whose second execution is about to fetch, and waits for the gate."""
    fetches, gate = asyncio.Event(), asyncio.Event()

    async def wait_first(*arguments: Any) -> dict[bytes, bytes]:
        fetches.set()
        await gate.wait()
        return await find_parts(*arguments)

    monkeypatch.setattr(fetching, "find_parts", wait_first)
    run = await runs.submit()
    await fetches.wait()
    return run, gate
