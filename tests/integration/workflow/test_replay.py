"""Workflow code replays what it has recorded, and what released versions have recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.leases.workflow import DbtLeaseWorkflow
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.adapters.temporal.workflow.definition import DbtRunWorkflow
from tests.integration.run_harness import RunHarness
from tests.record_histories import HISTORIES, SCENARIOS, record

DEADLOCK = "[TMPRL1101] Potential deadlock detected"


def replayer() -> Replayer:
    return Replayer(workflows=[DbtRunWorkflow, DbtLeaseWorkflow], data_converter=ConnectionSettings().data_converter)


def read_history(path: Path) -> WorkflowHistory:
    document = json.loads(path.read_text())
    # Ids of child workflows begin with the id of the run.
    workflow_id = document["events"][0]["workflowExecutionStartedEventAttributes"]["workflowId"]
    return WorkflowHistory.from_json(workflow_id, document)


async def test_runs_of_this_version_replay(temporal_address: str) -> None:
    for history in (await record(temporal_address)).values():
        await replayer().replay_workflow(history)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_worker_that_caches_nothing_replays_at_every_step(runs: RunHarness, name: str) -> None:
    runs.tuning = WorkerTuning(max_cached_workflows=0)
    run = await SCENARIOS[name](runs)
    failures = [
        event.workflow_task_failed_event_attributes.failure.message
        for event in (await run.handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    # On a busy machine a task may take the SDK's two seconds; the server then asks for it once more.
    assert [message for message in failures if not message.startswith(DEADLOCK)] == []


@pytest.mark.parametrize("path", sorted(HISTORIES.rglob("*.json")), ids=lambda path: path.stem)
async def test_recorded_histories_replay(path: Path) -> None:
    await replayer().replay_workflow(read_history(path))


def test_there_are_recorded_histories() -> None:
    assert len(list(HISTORIES.glob("*.json"))) >= 2
