"""A run whose workflow was terminated, or ran out of time, gets the artifacts of what it had done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowFailureError, WorkflowHistory
from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.closed_runs.finding import ClosedRuns
from dbt_temporal.adapters.temporal.closed_runs.history import read_history
from dbt_temporal.adapters.temporal.closed_runs.messages import TidiedRun, TidyInput
from dbt_temporal.adapters.temporal.closed_runs.recorded_runtime import RecordedRuntime
from dbt_temporal.adapters.temporal.closed_runs.tidying import go_through
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.application.stored.late_writes import Patience
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, node, plan, ready_project
from tests.faults.test_side_by_side import SLEEPS_LONG, reset
from tests.integration.contract.test_outcomes import dbt_status
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for
from tests.integration.worker.test_shutdown import SLEEPERS, Site
from tests.record_histories import HISTORIES

A, B, C = "model.shop.a", "model.shop.b", "model.shop.c"
APPENDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select 1 as one from pg_sleep((select max(secs) from public.nap))"
)


@pytest.fixture
def runs(runs: RunHarness) -> RunHarness:
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c", "b"))
    runs.engine.gates[B] = asyncio.Event()
    return runs


async def terminated(runs: RunHarness, run_input: dict[str, Any] | None = None) -> TemporalRun:
    """A run that was terminated while its second of three nodes ran."""
    run = await runs.submit(run_input)
    await runs.has_begun(B)
    await run.terminate("it was in the way")
    return run


async def which(run: TemporalRun) -> TidyInput:
    return TidyInput(workflow_id=run.workflow_id, run_id=(await run.handle.describe()).run_id)


async def tidied(runs: RunHarness, run: TemporalRun) -> TidiedRun:
    handle = await ClosedRuns(runs.client, runs.task_queue).tidy(await which(run))
    return await handle.result()


def stored(runs: RunHarness, invocation_id: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads(runs.store.files[f"{invocation_id}/run_results.json"])
    return results


async def test_a_terminated_run_gets_the_artifacts_of_what_it_had_done(runs: RunHarness) -> None:
    run = await terminated(runs)
    report = await tidied(runs, run)
    assert (report.project, report.succeeded, report.failed, report.skipped) == ("shop", 1, 1, 1)
    assert report.artifacts is not None
    assert report.artifacts.run_results_path
    assert stored(runs, report.invocation_id)["statuses"] == {A: "success", B: None, C: "skipped"}
    log = runs.store.files[f"{report.invocation_id}/log.txt"].decode()
    assert "The run was terminated" in log
    assert "it was in the way" in log
    # What was kept for the artifacts is not needed any more.
    assert [path for path in runs.store.files if "/records/" in path] == []
    assert runs.store.files["newest/shop"].decode() == report.invocation_id
    handle = runs.client.get_workflow_handle(f"dbt_tidy/{report.run_id}")
    assert await dbt_status(TemporalRun(handle)) == "cancelled"


async def test_a_run_that_was_terminated_after_a_pause_before_an_attempt_gets_them_too(runs: RunHarness) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, "connection lost", retryable=True), FakeEngine.succeeds(A)]
    run = await terminated(runs)
    timers = [event for event in await history(run.handle) if event.HasField("timer_started_event_attributes")]
    converter = runs.client.data_converter
    told = [(await converter.decode([timer.user_metadata.summary], [str]))[0] for timer in timers]
    assert "pause before attempt 2 of 3 of model:a" in told
    report = await tidied(runs, run)
    assert (report.succeeded, report.failed, report.skipped) == (1, 1, 1)


async def test_a_run_that_ran_out_of_time_does_so_too(runs: RunHarness) -> None:
    await runs.start_worker()
    handle = await runs.client.start_workflow(
        "dbt_run", id=f"run-{uuid4().hex}", task_queue=runs.task_queue, execution_timeout=timedelta(seconds=3)
    )
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    report = await tidied(runs, TemporalRun(handle))
    assert report.ending == "out of time (a timeout of the workflow)"
    assert stored(runs, report.invocation_id)["statuses"][A] == "success"


async def test_a_run_is_tidied_up_once_whoever_asks(runs: RunHarness) -> None:
    run = await terminated(runs)
    first = await tidied(runs, run)
    runs.engine.seen_by_artifacts = []
    assert await tidied(runs, run) == first
    assert runs.engine.seen_by_artifacts == []


async def test_a_store_that_fails_is_asked_again(runs: RunHarness) -> None:
    run = await terminated(runs)
    runs.store.broken = [""]
    handle = await ClosedRuns(runs.client, runs.task_queue).tidy(await which(run))

    async def has_failed() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        return any(activity.HasField("last_failure") for activity in pending)

    await wait_for(has_failed, what="an attempt has failed")
    runs.store.broken = []
    report = await handle.result()
    assert stored(runs, report.invocation_id)["statuses"][A] == "success"
    assert runs.engine.seen_by_artifacts[0].record  # as it was before the first attempt


async def test_a_later_run_stays_the_latest(runs: RunHarness) -> None:
    run = await terminated(runs)
    later = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    runs.store.files["newest/shop"] = b"later"
    runs.store.files["later/run_results.json"] = json.dumps({"metadata": {"generated_at": later}}).encode()
    await tidied(runs, run)
    assert runs.store.files["newest/shop"] == b"later"


async def test_a_run_that_was_never_planned_has_nothing_to_store(runs: RunHarness) -> None:
    run = await runs.gateway.submit(None, f"run-{uuid4().hex}")  # without a worker
    await run.terminate("")
    await runs.start_worker()
    report = await tidied(runs, run)
    assert (report.artifacts, report.note) == (None, "it ended before it was planned, so there is nothing to store")
    assert runs.store.files == {}


async def test_a_run_that_was_reset_is_left_to_the_one_that_goes_on(runs: RunHarness) -> None:
    run = await runs.submit()
    await runs.has_begun(B)
    first = await which(run)
    new = await reset(runs.client, runs, run.workflow_id)  # type: ignore[arg-type]
    report = await (await ClosedRuns(runs.client, runs.task_queue).tidy(first)).result()
    assert report.artifacts is None
    assert new.run_id in (report.note or "")
    runs.engine.gates[B].set()
    await new.result()
    assert stored(runs, report.invocation_id)["statuses"] == {A: "success", B: "success", C: "success"}


async def test_a_run_that_ended_by_itself_is_refused(runs: RunHarness) -> None:
    runs.engine.gates.clear()
    run = await runs.submit()
    await run.outcome()
    before = dict(runs.store.files)
    with pytest.raises(WorkflowFailureError) as refused:
        await tidied(runs, run)
    assert isinstance(refused.value.cause, ApplicationError)
    assert "was not ended from outside" in refused.value.cause.message
    assert runs.store.files == before


async def test_a_worker_notices_by_itself_and_the_rest_can_be_retried(site: Site, tmp_path: Path) -> None:
    store = tmp_path / "artifacts"
    site.database.execute(SLEEPS_LONG)
    await site.worker(WRITE_ARTIFACTS="true", ARTIFACT_STORE=str(store), DBT_TEMPORAL_TIDY_SECS="1")
    run = await site.run()
    await run.terminate("test")
    folder = store / (await which(run)).run_id
    await site.eventually((folder / "manifest.json").exists, "the artifacts are stored")
    report = await asyncio.to_thread(_command, site, "tidy", run.workflow_id)
    assert f"{run.workflow_id} was terminated" in report
    assert str(folder / "run_results.json") in report
    results = json.loads((folder / "run_results.json").read_text())
    assert [result["unique_id"] for result in results["results"]] == ["model.pg.sleeps"]
    assert "No run of" in await asyncio.to_thread(_command, site, "tidy", "--since", "0m")
    await site.eventually(lambda: site.count(SLEEPERS) == 0, "its statement has ended")
    site.database.execute("update public.nap set secs = 0")
    assert "PASS=1" in await asyncio.to_thread(_command, site, "retry")
    assert site.count("select count(*) from main.sleeps") == 1


def _command(site: Site, *words: str) -> str:
    done = site.desks[-1].command(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def whole(path: Path) -> Sequence[HistoryEvent]:
    return WorkflowHistory.from_json("any", json.loads(path.read_text())).events


async def gone_through(events: Sequence[HistoryEvent]) -> tuple[DbtRun, FakeEngine]:
    """A run of a recorded history, at the end of which it was terminated."""
    started = events[0].workflow_execution_started_event_attributes

    async def one_by_one() -> AsyncIterator[HistoryEvent]:
        for event in events:
            yield event

    converter = ConnectionSettings().data_converter
    history = await read_history(started.workflow_id, started.original_execution_run_id, one_by_one(), converter)
    history.ending = "terminated"
    engine = FakeEngine()
    registry, store = ProjectRegistry([ready_project()]), InMemoryArtifactStore()
    # The records of these runs are long gone.
    use_cases = UseCases.build(engine, registry, store, patience=Patience(missing_secs=0.0))
    runtime = RecordedRuntime(history, converter.payload_converter, use_cases.store_artifacts)
    run = await asyncio.wait_for(go_through(history, runtime), 60)
    assert runtime.failure is None
    return run, engine


def completed_nodes(events: Sequence[HistoryEvent]) -> int:
    names = {event.event_id: event.activity_task_scheduled_event_attributes.activity_type.name for event in events}
    ended = [event for event in events if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED]
    scheduled = [event.activity_task_completed_event_attributes.scheduled_event_id for event in ended]
    return sum(":" in names[event_id] for event_id in scheduled)


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_run_can_end_after_any_event_of_its_history(path: Path) -> None:
    events = whole(path)
    for end in range(1, len(events)):
        run, _ = await gone_through(events[:end])
        statuses = list(run.node_status().values())
        assert "running" not in statuses, end
        assert statuses.count("success") == completed_nodes(events[:end]), end


async def test_what_operators_did_counts_in_the_artifacts_of_a_terminated_run(runs: RunHarness) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, "no", retryable=False), FakeEngine.succeeds(A)]
    run = await runs.submit({"on_failure": "hold"})

    async def kept_open() -> bool:
        return any("The run is kept open" in line for line in await run.handle.query("run_log"))

    await wait_for(kept_open, what="the run is kept open")
    await run.handle.execute_update("retry_nodes", ["a"])
    await runs.has_begun(B)
    await run.handle.execute_update("hold_nodes", ["c"])
    await run.terminate("it was in the way")
    report = await tidied(runs, run)
    assert (report.succeeded, report.failed, report.skipped) == (1, 1, 1)
    assert stored(runs, report.invocation_id)["statuses"] == {A: "success", B: None, C: "skipped"}
