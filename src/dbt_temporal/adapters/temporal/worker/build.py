"""The Temporal worker: what it serves, and its limits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker, WorkerDeploymentConfig

from dbt_temporal.adapters.temporal.closed_runs.workflow import DbtTidyWorkflow
from dbt_temporal.adapters.temporal.executions.breathing import breathe
from dbt_temporal.adapters.temporal.executions.fetching import CarriedActivities
from dbt_temporal.adapters.temporal.leases.client import LeaseActivities
from dbt_temporal.adapters.temporal.leases.workflow import DbtLeaseWorkflow, VersionedLeaseWorkflow
from dbt_temporal.adapters.temporal.nexus.handler import DbtNexusHandler
from dbt_temporal.adapters.temporal.worker.activities import DbtActivities
from dbt_temporal.adapters.temporal.worker.tidying import TidyActivities
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.adapters.temporal.workflow.definition import DbtRunWorkflow


def build_worker(
    client: Client,
    task_queue: str,
    activities: DbtActivities,
    tuning: WorkerTuning,
    interceptors: Sequence[Interceptor] = (),
    deployment: WorkerDeploymentConfig | None = None,
) -> Worker:
    """A worker for runs and their nodes; it starts with `run()`, or as an async context."""
    # A heartbeat that the SDK has held back goes out when an attempt has told its own end, and comes back as a cancel.
    warnings.filterwarnings("ignore", "Cannot find activity to cancel for token")
    activities.grace = tuning.grace
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[DbtRunWorkflow, DbtTidyWorkflow, DbtLeaseWorkflow if deployment is None else VersionedLeaseWorkflow],
        activities=[
            activities.carry_out,
            TidyActivities(client, activities.use_cases).tidy_run,
            LeaseActivities(client).look,
            CarriedActivities(client).fetch,
            breathe,
        ],
        nexus_service_handlers=[DbtNexusHandler(activities.use_cases.only_project)] if tuning.nexus else [],
        interceptors=interceptors,
        deployment_config=deployment,
        **worker_options(tuning),
    )


def worker_options(tuning: WorkerTuning) -> dict[str, Any]:
    return dict(  # noqa: C408 -- reads as the call that it becomes
        tuner=tuning.slots(),
        workflow_task_poller_behavior=tuning.pollers(),
        activity_task_poller_behavior=tuning.pollers(),
        max_cached_workflows=tuning.max_cached_workflows,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=tuning.sticky_queue_timeout_secs),
        nonsticky_to_sticky_poll_ratio=tuning.nonsticky_to_sticky_poll_ratio,
        max_activities_per_second=tuning.max_activities_per_second,
        max_task_queue_activities_per_second=tuning.max_task_queue_activities_per_second,
        # Activities that start eagerly come with the answer to a workflow task, past the queue and its order.
        disable_eager_activity_execution=not tuning.is_handed_steps_on,
        graceful_shutdown_timeout=tuning.grace,
        max_heartbeat_throttle_interval=tuning.heartbeat_throttle,
        default_heartbeat_throttle_interval=tuning.heartbeat_throttle,
    )
