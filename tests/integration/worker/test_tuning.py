"""The WORKER_* variables reach the SDK; against a real server, which a worker needs to be built."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client

from dbt_temporal.adapters.temporal.worker.activities import DbtActivities
from dbt_temporal.adapters.temporal.worker.build import build_worker
from dbt_temporal.adapters.temporal.worker.tuning import NO_LIMIT, WorkerTuning
from dbt_temporal.application.ports.engine import NodeOutcome, Progress
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import FakeEngine, FakeEngineRun, InMemoryArtifactStore, node, plan
from tests.integration.run_harness import RunHarness


@pytest.fixture
def activities() -> DbtActivities:
    return DbtActivities(UseCases.build(FakeEngine(), ProjectRegistry(), InMemoryArtifactStore()))


async def test_every_variable_reaches_the_sdk(
    temporal_client: Client, task_queue: str, activities: DbtActivities
) -> None:
    environ = {
        "WORKER_MAX_CONCURRENT_WORKFLOW_TASKS": "11",
        "WORKER_MAX_CONCURRENT_ACTIVITIES": "12",
        "WORKER_MAX_CONCURRENT_LOCAL_ACTIVITIES": "13",
        "WORKER_MAX_CACHED_WORKFLOWS": "14",
        "WORKER_STICKY_QUEUE_TIMEOUT_SECS": "15",
        "WORKER_NONSTICKY_TO_STICKY_POLL_RATIO": "0.4",
        "WORKER_MAX_ACTIVITIES_PER_SECOND": "17",
        "WORKER_MAX_TASK_QUEUE_ACTIVITIES_PER_SECOND": "18",
        "WORKER_GRACEFUL_SHUTDOWN_SECS": "19",
    }
    config = build_worker(temporal_client, task_queue, activities, read_settings(environ).tuning).config()
    assert config["max_cached_workflows"] == 14
    assert config["sticky_queue_schedule_to_start_timeout"] == timedelta(seconds=15)
    assert config["nonsticky_to_sticky_poll_ratio"] == 0.4
    assert config["max_activities_per_second"] == 17
    assert config["max_task_queue_activities_per_second"] == 18
    assert config["graceful_shutdown_timeout"] == timedelta(seconds=19)
    slots = str(config["tuner"])
    assert all(f"num_slots={number}" in slots for number in (11, 12, 13))


async def test_resource_limits_reach_the_sdk(
    temporal_client: Client, task_queue: str, activities: DbtActivities
) -> None:
    environ = {
        "WORKER_TUNER": "resource-based",
        "WORKER_RESOURCE_TARGET_MEM": "0.51",
        "WORKER_RESOURCE_TARGET_CPU": "0.52",
        "WORKER_RESOURCE_ACTIVITY_MIN_SLOTS": "3",
        "WORKER_RESOURCE_ACTIVITY_MAX_SLOTS": "7",
    }
    tuner = str(build_worker(temporal_client, task_queue, activities, read_settings(environ).tuning).config()["tuner"])
    assert "target_memory_usage=0.51, target_cpu_usage=0.52" in tuner
    assert "minimum_slots=3, maximum_slots=7" in tuner


async def test_by_default_running_nodes_have_all_the_time_they_need(
    temporal_client: Client, task_queue: str, activities: DbtActivities
) -> None:
    config = build_worker(temporal_client, task_queue, activities, WorkerTuning()).config()
    assert config["graceful_shutdown_timeout"] == NO_LIMIT
    assert config["disable_eager_activity_execution"] is False


async def test_a_resource_based_worker_runs_nodes(runs: RunHarness) -> None:
    runs.tuning = WorkerTuning(tuner="resource-based")
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    assert (await runs.run()).ending is Ending.COMPLETED


async def test_the_number_of_nodes_at_once_is_limited(runs: RunHarness) -> None:
    runs.tuning = WorkerTuning(max_concurrent_activities=1)
    running, most = 0, 0

    class Counted(FakeEngineRun):
        async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
            nonlocal running, most
            running += 1
            most = max(most, running)
            outcome = await super().execute_node(unique_id, progress, *rest, **named)
            running -= 1
            return outcome

    runs.engine.run_class = Counted
    runs.engine.run_plan = plan(node("a"), node("b"), node("c"))
    assert (await runs.run()).ending is Ending.COMPLETED
    assert most == 1
