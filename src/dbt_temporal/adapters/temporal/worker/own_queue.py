"""A task queue of which one worker alone takes steps: of runs that need what is in the memory of its processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from uuid import uuid4

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from dbt_temporal.adapters.temporal.worker.activities import DbtActivities
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.domain.limits import fit_name

SLOTS = 10_000
"""No step ever waits here for others: one that is not taken at once means that the worker has gone. How many nodes of a
run go at once is the run's business."""


def own_task_queue(task_queue: str) -> str:
    """A name that no other worker has, nor this one once it is started again."""
    return fit_name(f"{task_queue}/{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}")


def build_own_worker(
    client: Client,
    own_queue: str,
    activities: DbtActivities,
    tuning: WorkerTuning,
    interceptors: Sequence[Interceptor] = (),
) -> Worker:
    """What takes the steps of this worker's own queue.

    It has no version: the queue is this worker's alone, so no run comes to a version that it does not belong to.
    """
    return Worker(
        client,
        task_queue=own_queue,
        activities=[activities.carry_out],
        interceptors=interceptors,
        max_concurrent_activities=SLOTS,
        graceful_shutdown_timeout=tuning.grace,
        disable_eager_activity_execution=True,
        max_heartbeat_throttle_interval=tuning.heartbeat_throttle,
        default_heartbeat_throttle_interval=tuning.heartbeat_throttle,
    )
