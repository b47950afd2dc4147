"""How much a worker does at once, how it polls and caches, and how it shuts down."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import model_validator
from temporalio.worker import (
    FixedSizeSlotSupplier,
    PollerBehavior,
    PollerBehaviorAutoscaling,
    PollerBehaviorSimpleMaximum,
    ResourceBasedSlotConfig,
    WorkerTuner,
)

from dbt_temporal.adapters.environment import EnvironmentModel, variable
from dbt_temporal.adapters.temporal.worker.heartbeat import HEARTBEAT_INTERVAL
from dbt_temporal.domain.run.plan import HistoryLimits

NO_LIMIT = timedelta(days=365)
"""A grace period that never ends in practice; the SDK's own default of zero would cancel running nodes at once."""

MIN_WORKFLOW_SLOTS = 2
"""With a workflow cache the SDK wants one slot for the sticky queue and one for the normal queue."""

NEXUS_SLOTS = 10
"""Starts and cancels of runs at once, each a call of the server."""

MAX_HISTORY_BYTES = 7_000_000
"""Of one execution: with what is carried into it and out of it, below 10 MB."""

_A_COUNT = "a whole number of at least 1"
_A_SHARE = "a number above 0 and up to 1"


class WorkerTuning(EnvironmentModel):
    """The WORKER_* variables, what it offers beside activities, and how often it tidies up.

    Times in seconds, rates per second; None means no limit.
    """

    tuner: Literal["fixed", "resource-based"] = variable("WORKER_TUNER", "fixed", allowed="fixed or resource-based")
    max_concurrent_workflow_tasks: int = variable(
        "WORKER_MAX_CONCURRENT_WORKFLOW_TASKS", 200, allowed="a whole number of at least 2", ge=MIN_WORKFLOW_SLOTS
    )
    max_concurrent_activities: int = variable("WORKER_MAX_CONCURRENT_ACTIVITIES", 100, allowed=_A_COUNT, ge=1)
    max_concurrent_local_activities: int = variable(
        "WORKER_MAX_CONCURRENT_LOCAL_ACTIVITIES", 100, allowed=_A_COUNT, ge=1
    )
    target_memory: float = variable("WORKER_RESOURCE_TARGET_MEM", 0.8, allowed=_A_SHARE, gt=0, le=1)
    target_cpu: float = variable("WORKER_RESOURCE_TARGET_CPU", 0.9, allowed=_A_SHARE, gt=0, le=1)
    activity_min_slots: int = variable("WORKER_RESOURCE_ACTIVITY_MIN_SLOTS", 1, allowed=_A_COUNT, ge=1)
    activity_max_slots: int = variable("WORKER_RESOURCE_ACTIVITY_MAX_SLOTS", 500, allowed=_A_COUNT, ge=1)
    max_cached_workflows: int = variable(
        "WORKER_MAX_CACHED_WORKFLOWS", 1000, allowed="a whole number of at least 0 (0: no cache)", ge=0
    )
    sticky_queue_timeout_secs: float = variable(
        "WORKER_STICKY_QUEUE_TIMEOUT_SECS", 10.0, allowed="a number of seconds above 0", gt=0, allow_inf_nan=False
    )
    nonsticky_to_sticky_poll_ratio: float = variable(
        "WORKER_NONSTICKY_TO_STICKY_POLL_RATIO", 0.2, allowed="a number from 0 to 1", ge=0, le=1
    )
    max_activities_per_second: float | None = variable(
        "WORKER_MAX_ACTIVITIES_PER_SECOND", None, allowed="a number above 0", gt=0, allow_inf_nan=False
    )
    max_task_queue_activities_per_second: float | None = variable(
        "WORKER_MAX_TASK_QUEUE_ACTIVITIES_PER_SECOND", None, allowed="a number above 0", gt=0, allow_inf_nan=False
    )
    poller_autoscaling: bool = variable("WORKER_POLLER_AUTOSCALING", False, allowed="true or false")
    nexus: bool = variable("TEMPORAL_NEXUS", False, allowed="true or false")
    priority_scheduling: bool = variable("TEMPORAL_PRIORITY_SCHEDULING", False, allowed="true or false")
    continue_as_new_events: int = variable(
        "DBT_TEMPORAL_CONTINUE_AS_NEW_EVENTS",
        15_000,
        allowed="a whole number from 10 to 40000",
        ge=10,
        le=40_000,
    )
    tidy_every_secs: float = variable(
        "DBT_TEMPORAL_TIDY_SECS",
        300.0,
        allowed="a number of seconds of at least 0 (0: never)",
        ge=0,
        allow_inf_nan=False,
    )
    heartbeat_secs: float | None = variable(
        "WORKER_HEARTBEAT_SECS",
        None,
        allowed="a number of seconds of at least 1",
        ge=1,
        allow_inf_nan=False,
    )
    graceful_shutdown_secs: float | None = variable(
        "WORKER_GRACEFUL_SHUTDOWN_SECS",
        None,
        allowed=f"a number of seconds from 0 to {NO_LIMIT.total_seconds():.0f}",
        ge=0,
        le=NO_LIMIT.total_seconds(),
    )

    @model_validator(mode="after")
    def _slots_fit(self) -> WorkerTuning:
        if self.activity_min_slots > self.activity_max_slots:
            raise ValueError(
                f"WORKER_RESOURCE_ACTIVITY_MIN_SLOTS={self.activity_min_slots}: must not be above "
                f"WORKER_RESOURCE_ACTIVITY_MAX_SLOTS={self.activity_max_slots}"
            )
        return self

    @property
    def grace(self) -> timedelta:
        """How long running activities may go on after the shutdown began."""
        if self.graceful_shutdown_secs is None:
            return NO_LIMIT
        return timedelta(seconds=self.graceful_shutdown_secs)

    @property
    def heartbeat_throttle(self) -> timedelta:
        """How long the SDK holds a heartbeat back. By its own default it would send one a minute, and cancels come with
        the answers."""
        return min(HEARTBEAT_INTERVAL, timedelta(seconds=self.heartbeat_secs or HEARTBEAT_INTERVAL.total_seconds()))

    @property
    def history_limits(self) -> HistoryLimits:
        """When runs go on in another execution of their workflow."""
        return HistoryLimits(events=self.continue_as_new_events, size_bytes=MAX_HISTORY_BYTES)

    @property
    def is_handed_steps_on(self) -> bool:
        """Whether steps come with the server's answers to workflow tasks, past the queue: not where rates or priorities
        rule what is taken next."""
        return not self.priority_scheduling and self.max_activities_per_second is None

    def pollers(self) -> PollerBehavior:
        return PollerBehaviorAutoscaling() if self.poller_autoscaling else PollerBehaviorSimpleMaximum()

    def slots(self) -> WorkerTuner:
        if self.tuner == "fixed":
            return WorkerTuner.create_composite(
                workflow_supplier=FixedSizeSlotSupplier(self.max_concurrent_workflow_tasks),
                activity_supplier=FixedSizeSlotSupplier(self.max_concurrent_activities),
                local_activity_supplier=FixedSizeSlotSupplier(self.max_concurrent_local_activities),
                nexus_supplier=FixedSizeSlotSupplier(NEXUS_SLOTS),
            )
        return WorkerTuner.create_resource_based(
            target_memory_usage=self.target_memory,
            target_cpu_usage=self.target_cpu,
            activity_config=ResourceBasedSlotConfig(
                minimum_slots=self.activity_min_slots, maximum_slots=self.activity_max_slots
            ),
        )
