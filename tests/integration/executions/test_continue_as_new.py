"""Runs whose workflow continues as new, on a real server: they end as runs of one execution do."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecution, WorkflowHandle
from temporalio.worker import Replayer

from dbt_temporal.adapters.temporal.closed_runs.finding import ClosedRuns
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.adapters.temporal.listing import KnownRuns
from dbt_temporal.adapters.temporal.workflow import runtime
from dbt_temporal.adapters.temporal.workflow.definition import DbtRunWorkflow
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.engine_driver import copy_project
from tests.integration.operations.test_updates import says, update
from tests.integration.run_harness import DbtHarness, RunHarness, history
from tests.integration.servers import wait_for

SMALL = read_settings({"DBT_TEMPORAL_CONTINUE_AS_NEW_EVENTS": "40"}).tuning


@pytest.fixture
def runs(runs: RunHarness) -> RunHarness:
    runs.tuning = SMALL
    runs.write_artifacts = True
    runs.engine.run_plan = plan(*(node(f"n{i}", *([f"n{i - 4}"] if i > 3 else [])) for i in range(24)))
    return runs


async def executions(run: TemporalRun) -> list[WorkflowHandle[Any, Any]]:
    """All executions of a run's workflow, the first one first."""
    found: list[WorkflowExecution] = []
    client = run.handle._client
    query = f"WorkflowId = '{run.workflow_id}'"

    async def all_there() -> bool:
        found[:] = [each async for each in client.list_workflows(query)]
        # Visibility follows; the newest is there last.
        return any(each.run_id == newest for each in found)

    newest = (await run.handle.describe()).run_id
    await wait_for(all_there, what="the newest execution is listed")
    ordered = sorted(found, key=lambda each: each.start_time)
    return [client.get_workflow_handle(each.id, run_id=each.run_id) for each in ordered]


async def test_a_run_in_several_executions_is_one_run_to_whoever_asks(runs: RunHarness) -> None:
    run = await runs.submit({"vars": {"day": 1}})
    outcome = await run.outcome()

    assert outcome.ending is Ending.COMPLETED
    assert outcome.output is not None
    assert len(outcome.output.node_results) == 24
    assert sorted(runs.engine.executed) == sorted(f"model.shop.n{i}" for i in range(24))
    chain = await executions(run)
    assert len(chain) > 2
    assert outcome.output.invocation_id == chain[0].run_id
    assert set((await run.handle.query("node_status")).values()) == {"success"}
    log = await run.handle.query("run_log")
    assert len([line for line in log if " START " in line]) == 24
    assert [line for line in log if line.startswith("Running with")] == log[:1]
    assert runs.engine.ended_runs == [chain[0].run_id]
    known = KnownRuns(runs.client, runs.task_queue)

    async def listed() -> bool:
        newest = await known.newest(10, since=datetime.now(UTC) - timedelta(hours=1))
        return [(each.workflow_id, each.status) for each in newest] == [(run.workflow_id, "passed")]

    await wait_for(listed, what="the run is listed once")


async def test_each_execution_is_short_replays_and_carries_no_large_payload(runs: RunHarness) -> None:
    run = await runs.submit()
    await run.outcome()
    replayer = Replayer(workflows=[DbtRunWorkflow], data_converter=ConnectionSettings().data_converter)

    for handle in await executions(run):
        recorded = await handle.fetch_history()
        assert len(recorded.events) < 100
        started = recorded.events[0].workflow_execution_started_event_attributes
        assert all(payload.ByteSize() < 256 * 1024 for payload in started.input.payloads)
        await replayer.replay_workflow(recorded)


async def test_a_run_is_cancelled_in_a_later_execution(runs: RunHarness) -> None:
    gate = runs.engine.gates["model.shop.n20"] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun("model.shop.n20")
    await run.cancel()
    outcome = await run.outcome()
    gate.set()

    assert outcome.ending is Ending.CANCELLED
    status = await run.handle.query("node_status")
    assert status["model.shop.n20"] == "cancelled"
    assert len([each for each in status.values() if each == "success"]) >= 16
    assert len(runs.engine.seen_by_artifacts) == 24


async def test_a_run_that_is_terminated_in_a_later_execution_gets_the_artifacts_of_all(runs: RunHarness) -> None:
    runs.engine.gates["model.shop.n20"] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun("model.shop.n20")
    await wait_for(lambda: succeeded(run, 20), what="all before it have ended")
    await run.terminate("it was in the way")
    closed = ClosedRuns(runs.client, runs.task_queue)
    tidied = await (await closed.tidy(await closed.run_of(run.workflow_id))).result()

    assert tidied.succeeded >= 20
    assert tidied.invocation_id == (await executions(run))[0].run_id
    assert len(runs.engine.seen_by_artifacts) == 24


async def test_a_run_with_too_much_to_carry_stays_in_its_execution_and_can_be_tidied_up(
    runs: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "QUIET_ARGUMENTS_BYTES", 10)
    monkeypatch.setattr(runtime, "MAX_ARGUMENTS_BYTES", 10)
    runs.engine.gates["model.shop.n20"] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun("model.shop.n20")
    await wait_for(lambda: succeeded(run, 20), what="all before it have ended")
    log = await run.handle.query("run_log")
    assert len([line for line in log if "cannot go on in another execution" in line]) == 1
    await run.terminate("it was in the way")
    closed = ClosedRuns(runs.client, runs.task_queue)

    tidied = await (await closed.tidy(await closed.run_of(run.workflow_id))).result()

    assert tidied.succeeded >= 20
    assert len(await executions(run)) == 1


async def test_an_input_that_leaves_no_room_for_more_arguments_stays_in_its_execution(runs: RunHarness) -> None:
    random_text = base64.b64encode(random.Random(1).randbytes(1_130_000)).decode()
    run = await runs.submit({"vars": {"x": random_text}})

    outcome = await run.outcome()

    assert outcome.ending is Ending.COMPLETED
    assert len(await executions(run)) == 1


async def succeeded(run: TemporalRun, count: int) -> bool:
    return bool((await run.handle.query("run_status"))["succeeded"] >= count)


async def test_what_operators_have_said_holds_in_later_executions(runs: RunHarness) -> None:
    runs.config = {"retry": {"initial_interval_secs": 600, "max_interval_secs": 600}}
    first = "model.shop.n0"
    runs.engine.script[first] = [FakeEngine.fails(first, "connection lost"), FakeEngine.succeeds(first)]
    gate = runs.engine.gates["model.shop.n1"] = asyncio.Event()
    run = await runs.submit()
    await says(run, "RETRY after attempt 1 of 3")
    assert await update(run, "hold_nodes", ["n23"]) == ["model.shop.n23"]
    gate.set()
    await wait_for(lambda: succeeded(run, 17), what="all but the branch of the node that waits have ended")
    assert (await run.handle.query("node_status"))[first] == "running"
    assert await update(run, "retry_nodes", ["n0"]) == [first]
    await says(run, "The run is kept open until")
    assert await update(run, "retry_nodes", ["n23"]) == ["model.shop.n23"]

    outcome = await run.outcome()

    assert outcome.output is not None
    assert outcome.output.success
    assert [number for name, number in runs.engine.attempts if name == first] == [1, 2]
    assert len(await executions(run)) > 2


async def test_a_second_argument_of_a_caller_is_refused_all_the_same(runs: RunHarness) -> None:
    run = await runs.submit_raw([{"command": "run"}, b"carried by nobody"])

    outcome = await run.outcome()

    assert outcome.error_type == "Configuration"
    assert outcome.message is not None
    assert "one argument" in outcome.message


async def test_a_long_selection_is_found_by_the_steps_of_later_executions(runs: RunHarness) -> None:
    names = " ".join(f"n{i}_with_a_rather_long_name" for i in range(2_000))
    run = await runs.submit({"select": names})

    outcome = await run.outcome()

    assert outcome.ending is Ending.COMPLETED
    assert len(await executions(run)) > 2
    nodes = {
        scheduled.activity_type.name: scheduled.input.ByteSize()
        for execution in await executions(run)
        for event in await history(execution)
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        and (scheduled := event.activity_task_scheduled_event_attributes).activity_type.name.startswith("model:")
    }
    assert len(nodes) == 24
    assert max(nodes.values()) < 10_000


async def test_jaffle_shop_is_the_same_in_several_executions(
    dbt_workers: Callable[[], DbtHarness], tmp_path: Path
) -> None:
    location = copy_project("examples/jaffle-shop", tmp_path / "project")
    found: list[tuple[Any, Any, bool]] = []
    for tuning in (read_settings({}).tuning, SMALL):
        dbt = dbt_workers()
        dbt.tuning = tuning
        dbt.write_artifacts = True
        await dbt.load(location)
        database = tmp_path / f"{tuning.continue_as_new_events}.duckdb"
        run = await dbt.submit({"command": "build", "env": {"JAFFLE_SHOP_DB": str(database)}})
        outcome = await run.outcome()
        assert outcome.output is not None
        results = json.loads(dbt.artifact(outcome.output, "run_results.json").read_text())["results"]
        manifest = json.loads(dbt.artifact(outcome.output, "manifest.json").read_text())["nodes"]
        found.append(
            (
                {each["unique_id"]: (each["status"], each["message"], each["failures"]) for each in results},
                {uid: each.get("compiled") for uid, each in manifest.items()},
                len(await executions(run)) > 1,
            )
        )
    (first, second) = found
    assert first[:2] == second[:2]
    assert (first[2], second[2]) == (False, True)
