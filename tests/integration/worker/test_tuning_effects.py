"""What each tuning variable does to a worker that runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.worker import Worker

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.worker.build import worker_options
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.application.ports.engine import NodeOutcome, Progress
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import FakeEngineRun, node, plan
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for


def tuning(**environ: str) -> WorkerTuning:
    """As a worker reads it."""
    return read_settings(environ).tuning


class Meter:
    """What a client's workers measure."""

    def __init__(self) -> None:
        self._buffer = MetricBuffer(10000)
        self.runtime = Runtime(telemetry=TelemetryConfig(metrics=self._buffer))
        self._values: dict[tuple[str, str], float] = {}

    def value(self, metric: str, label: str) -> float | None:
        """The last value of a metric by the one of its labels that tells workers apart."""
        for update in self._buffer.retrieve_updates():
            for value in update.attributes.values():
                self._values[update.metric.name, str(value)] = update.value
        return self._values.get((metric, label))

    async def becomes(self, metric: str, label: str, expected: float) -> None:
        """Waits until a metric has a value."""

        async def has_it() -> bool:
            return self.value(metric, label) == expected

        await wait_for(has_it, what=f"{metric} of {label} is {expected}; all: {self._values}")


async def metered(stack: AsyncExitStack, address: str, task_queue: str) -> tuple[Meter, RunHarness]:
    """A worker of its own runtime, and its meter."""
    meter = Meter()
    client = await connect(ConnectionSettings(address=address), runtime=meter.runtime)
    return meter, RunHarness(client, task_queue, stack)


async def test_a_worker_has_as_many_slots_as_it_is_told(temporal_address: str, task_queue: str) -> None:
    async with AsyncExitStack() as stack:
        meter, runs = await metered(stack, temporal_address, task_queue)
        runs.tuning = tuning(
            WORKER_MAX_CONCURRENT_WORKFLOW_TASKS="7",
            WORKER_MAX_CONCURRENT_ACTIVITIES="8",
            WORKER_MAX_CONCURRENT_LOCAL_ACTIVITIES="9",
        )
        assert (await runs.run()).ending is Ending.COMPLETED
        await meter.becomes("temporal_worker_task_slots_available", "WorkflowWorker", 7)
        await meter.becomes("temporal_worker_task_slots_available", "ActivityWorker", 8)
        await meter.becomes("temporal_worker_task_slots_available", "LocalActivityWorker", 9)


@pytest.mark.parametrize(("ratio", "normal", "sticky"), [("0.2", 1, 4), ("0.8", 4, 1)])
async def test_pollers_are_shared_out_by_the_ratio(
    temporal_address: str, task_queue: str, ratio: str, normal: int, sticky: int
) -> None:
    async with AsyncExitStack() as stack:
        meter, runs = await metered(stack, temporal_address, task_queue)
        runs.tuning = tuning(WORKER_NONSTICKY_TO_STICKY_POLL_RATIO=ratio)
        await runs.start_worker()
        await meter.becomes("temporal_num_pollers", "workflow_task", normal)
        await meter.becomes("temporal_num_pollers", "sticky_workflow_task", sticky)


async def test_with_autoscaling_a_worker_begins_with_the_same_number_and_may_have_more(
    temporal_address: str, task_queue: str
) -> None:
    async with AsyncExitStack() as stack:
        meter, runs = await metered(stack, temporal_address, task_queue)
        runs.tuning = tuning(WORKER_POLLER_AUTOSCALING="true")
        worker = await runs.start_worker()
        # Without autoscaling both kinds of queue share five.
        await meter.becomes("temporal_num_pollers", "workflow_task", 5)
        assert getattr(worker.config()["activity_task_poller_behavior"], "maximum", 0) == 100
        assert (await runs.run()).ending is Ending.COMPLETED


@pytest.mark.parametrize(("cached", "kinds"), [("0", {"NORMAL"}), ("10", {"NORMAL", "STICKY"})])
async def test_a_worker_without_a_cache_replays_from_the_normal_queue(
    runs: RunHarness, cached: str, kinds: set[str]
) -> None:
    runs.tuning = tuning(WORKER_MAX_CACHED_WORKFLOWS=cached)
    runs.engine.run_plan = plan(node("a"))
    run = await runs.submit()
    await run.outcome()
    used = {
        TaskQueueKind.Name(event.workflow_task_scheduled_event_attributes.task_queue.kind)
        for event in await history(run.handle)
        if event.HasField("workflow_task_scheduled_event_attributes")
    }
    assert used == {f"TASK_QUEUE_KIND_{kind}" for kind in kinds}


async def seconds_between_starts(runs: RunHarness, count: int) -> float:
    """How long it takes from the first node's start to the last one's."""
    starts: list[float] = []

    class Timed(FakeEngineRun):
        async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
            starts.append(time.monotonic())
            return await super().execute_node(unique_id, progress, *rest, **named)

    runs.engine.run_class = Timed
    runs.engine.run_plan = plan(*(node(f"n{number}") for number in range(count)))
    assert (await runs.run()).ending is Ending.COMPLETED
    assert len(starts) == count
    return starts[-1] - starts[0]


@pytest.mark.parametrize("name", ["WORKER_MAX_ACTIVITIES_PER_SECOND", "WORKER_MAX_TASK_QUEUE_ACTIVITIES_PER_SECOND"])
async def test_a_rate_limit_keeps_nodes_waiting(runs: RunHarness, name: str) -> None:
    runs.tuning = tuning(**{name: "2"})
    # Eight nodes at two a second take 3.5 seconds; the limiter lets a second's worth through at once.
    # Without a limit it takes less than one.
    assert await seconds_between_starts(runs, 8) >= 2.0


@workflow.defn(name="local", sandboxed=False)
class LocalActivities:
    """Four local activities at once; runs of ours have none."""

    @workflow.run
    async def run(self) -> None:
        limit, once = timedelta(seconds=60), RetryPolicy(maximum_attempts=1)
        nap = partial(workflow.execute_local_activity, "nap", start_to_close_timeout=limit, retry_policy=once)
        await asyncio.gather(*(nap() for _ in range(4)))


async def test_the_number_of_local_activities_at_once_is_limited(temporal_client: Client, task_queue: str) -> None:
    running, most = 0, 0
    two_run = asyncio.Event()

    @activity.defn(name="nap")
    async def nap() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            two_run.set()
        await two_run.wait()
        await asyncio.sleep(0.1)  # for a third to begin, if it may
        running -= 1

    options = worker_options(tuning(WORKER_MAX_CONCURRENT_LOCAL_ACTIVITIES="2"))
    async with Worker(temporal_client, task_queue=task_queue, workflows=[LocalActivities], activities=[nap], **options):
        await temporal_client.execute_workflow("local", id=uuid4().hex, task_queue=task_queue)
    assert most == 2


@pytest.mark.parametrize("on", ["false", "true"])
async def test_with_priority_scheduling_the_longest_path_goes_first_across_runs(runs: RunHarness, on: str) -> None:
    # Nodes of a task queue that nobody serves yet: both runs wait there before a worker takes the first node.
    elsewhere = {"overrides": {"task_queue": f"{runs.task_queue}-nodes"}}
    runs.tuning = tuning(WORKER_MAX_CONCURRENT_ACTIVITIES="1", TEMPORAL_PRIORITY_SCHEDULING=on)
    runs.engine.run_plan = plan(*(node(f"low{number}", priority=5, **elsewhere) for number in range(3)))
    one = await runs.submit()
    await wait_for(partial(_backlog_is, runs.client, elsewhere, 3), within=60, what="three nodes wait")
    runs.engine.run_plan = plan(node("high", priority=1, **elsewhere))
    other = await runs.submit()
    await wait_for(partial(_backlog_is, runs.client, elsewhere, 4), within=60, what="all four nodes wait")
    async with AsyncExitStack() as stack:
        nodes = RunHarness(runs.client, elsewhere["overrides"]["task_queue"], stack)
        nodes.tuning = runs.tuning
        await nodes.start_worker()
        await asyncio.gather(one.outcome(), other.outcome())

    order = nodes.engine.executed
    assert len(order) == 4
    assert order.index("model.shop.high") == (0 if on == "true" else 3), order
    events = [event.activity_task_scheduled_event_attributes for event in await history(other.handle)]
    (high,) = (asked for asked in events if asked.activity_type.name == "model:high")
    fairness_key = (await other.handle.describe()).run_id
    expected = (1, fairness_key) if on == "true" else (0, "")
    assert (high.priority.priority_key, high.priority.fairness_key) == expected


async def _backlog_is(client: Client, elsewhere: dict[str, dict[str, str]], count: int) -> bool:
    """Whether so many activities wait in the task queue of the nodes; history knows of them a little earlier."""
    asked = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=elsewhere["overrides"]["task_queue"]),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        report_stats=True,
    )
    answer = await client.workflow_service.describe_task_queue(asked)
    return answer.stats.approximate_backlog_count >= count
