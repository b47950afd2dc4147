"""What each tuning variable does to a worker that runs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import psutil
import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig
from temporalio.worker import Worker

from dbt_temporal.adapters.temporal.connection import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.tuning import WorkerTuning
from dbt_temporal.adapters.temporal.worker import worker_options
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import node, plan
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
    execute = runs.engine.execute_node

    async def timed(*arguments: Any) -> Any:
        starts.append(time.monotonic())
        return await execute(*arguments)

    runs.engine.execute_node = timed  # type: ignore[method-assign, assignment]
    runs.engine.run_plan = plan(*(node(f"n{number}") for number in range(count)))
    assert (await runs.run()).ending is Ending.COMPLETED
    assert len(starts) == count
    return starts[-1] - starts[0]


@pytest.mark.parametrize("name", ["WORKER_MAX_ACTIVITIES_PER_SECOND", "WORKER_MAX_TASK_QUEUE_ACTIVITIES_PER_SECOND"])
async def test_a_rate_limit_keeps_nodes_waiting(runs: RunHarness, name: str) -> None:
    runs.tuning = tuning(**{name: "2"})
    # Eight nodes at two a second take 3.5 seconds; the limiter lets a second's worth through at once.
    assert 2.0 <= await seconds_between_starts(runs, 8) < 20.0


async def test_without_a_rate_limit_nodes_do_not_wait(runs: RunHarness) -> None:
    assert await seconds_between_starts(runs, 8) < 2.0


async def most_at_once(runs: RunHarness, count: int, seconds: float = 0.3) -> int:
    """How many of so many nodes, which take a while, run at once."""
    running, most = 0, 0
    execute = runs.engine.execute_node

    async def counted(*arguments: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(seconds)
        running -= 1
        return await execute(*arguments)

    runs.engine.execute_node = counted  # type: ignore[method-assign, assignment]
    runs.engine.run_plan = plan(*(node(f"n{number}") for number in range(count)))
    assert (await runs.run()).ending is Ending.COMPLETED
    return most


RESOURCE_BASED = {
    "WORKER_TUNER": "resource-based",
    "WORKER_RESOURCE_TARGET_MEM": "1",
    "WORKER_RESOURCE_TARGET_CPU": "1",
}


async def test_by_fixed_slots_as_many_nodes_run_as_dbt_has_threads(runs: RunHarness) -> None:
    assert await most_at_once(runs, 4) == 4


@contextmanager
def busy_core() -> Iterator[None]:
    """Keeps the machine from being quite idle, which even the lowest target of CPU would allow."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"WORKER_RESOURCE_ACTIVITY_MAX_SLOTS": "2"}, 2),
        ({"WORKER_RESOURCE_TARGET_MEM": "0.001"}, 1),
        ({"WORKER_RESOURCE_TARGET_MEM": "0.001", "WORKER_RESOURCE_ACTIVITY_MIN_SLOTS": "3"}, 3),
        ({"WORKER_RESOURCE_TARGET_CPU": "0.00001"}, 1),
    ],
    ids=["most", "memory", "least", "cpu"],
)
async def test_resources_bound_how_many_nodes_run(runs: RunHarness, limits: Mapping[str, str], most: int) -> None:
    runs.tuning = tuning(**{**RESOURCE_BASED, **limits})
    with busy_core() if "WORKER_RESOURCE_TARGET_CPU" in limits else nullcontext():
        assert await most_at_once(runs, 4) == most


async def test_the_memory_of_other_processes_counts_as_that_of_engine_processes_must(runs: RunHarness) -> None:
    own, everybodys = psutil.Process().memory_percent() / 100, psutil.virtual_memory().percent / 100
    between = (own + everybodys) / 2
    assert own < between < everybodys
    runs.tuning = tuning(**{**RESOURCE_BASED, "WORKER_RESOURCE_TARGET_MEM": f"{between:.4f}"})
    assert await most_at_once(runs, 4) == 1


@workflow.defn(name="local", sandboxed=False)
class LocalActivities:
    """Four local activities at once; runs of ours have none."""

    @workflow.run
    async def run(self) -> None:
        limit = timedelta(seconds=20)
        await asyncio.gather(*(workflow.execute_local_activity("nap", start_to_close_timeout=limit) for _ in range(4)))


async def test_the_number_of_local_activities_at_once_is_limited(temporal_client: Client, task_queue: str) -> None:
    running, most = 0, 0

    @activity.defn(name="nap")
    async def nap() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= 1

    options = worker_options(tuning(WORKER_MAX_CONCURRENT_LOCAL_ACTIVITIES="2"))
    async with Worker(temporal_client, task_queue=task_queue, workflows=[LocalActivities], activities=[nap], **options):
        await temporal_client.execute_workflow("local", id=uuid4().hex, task_queue=task_queue)
    assert most == 2


@pytest.mark.parametrize("on", ["false", "true"])
async def test_with_priority_scheduling_the_longest_path_goes_first_across_runs(runs: RunHarness, on: str) -> None:
    runs.tuning = tuning(WORKER_MAX_CONCURRENT_ACTIVITIES="1", TEMPORAL_PRIORITY_SCHEDULING=on)
    lows = [f"model.shop.low{number}" for number in range(4)]
    gates = {low: asyncio.Event() for low in lows}
    runs.engine.gates = dict(gates)
    runs.engine.run_plan = plan(*(node(low.rpartition(".")[2], priority=5) for low in lows))
    one = await runs.submit()
    await wait_for(lambda: _scheduled(one.handle, 6), what="plan, before_run and all four nodes are scheduled")
    runs.engine.run_plan = plan(node("high", priority=1))
    other = await runs.submit()

    async def running() -> str | None:
        return next((low for low in runs.engine.executed if low in gates and not gates[low].is_set()), None)

    for _ in lows:
        # The one slot is taken by a node, and the other run waits for it, when it becomes free.
        low = await wait_for(running, what="a node has the slot")
        await wait_for(lambda: _waits(other.handle), what="the other run asks for the slot")
        waiting = len(set(lows) - set(runs.engine.executed)) + 1
        await wait_for(partial(_backlog_is, runs, waiting), within=60, what=f"{waiting} tasks wait in the queue")
        gates[low].set()
    await asyncio.gather(one.outcome(), other.outcome())

    order = runs.engine.executed
    # Between its own steps the other run leaves the slot to what waits, so it needs two of the three nodes' turns.
    assert (order.index("model.shop.high") < len(order) - 1) is (on == "true"), order
    events = [event.activity_task_scheduled_event_attributes for event in await history(other.handle)]
    (high,) = (asked for asked in events if asked.activity_type.name == "model:high")
    fairness_key = (await other.handle.describe()).run_id
    expected = (1, fairness_key) if on == "true" else (0, "")
    assert (high.priority.priority_key, high.priority.fairness_key) == expected


async def _backlog_is(runs: RunHarness, count: int) -> bool:
    """Whether so many activities wait in the run's task queue; history knows of them a little earlier."""
    asked = DescribeTaskQueueRequest(
        namespace=runs.client.namespace,
        task_queue=TaskQueue(name=runs.task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        report_stats=True,
    )
    answer = await runs.client.workflow_service.describe_task_queue(asked)
    return answer.stats.approximate_backlog_count == count


async def _waits(handle: Any) -> bool:
    """Whether the run has a step that has not ended, or has ended itself."""
    events = await history(handle)
    asked = sum(event.HasField("activity_task_scheduled_event_attributes") for event in events)
    ended = sum(event.HasField("activity_task_completed_event_attributes") for event in events)
    return asked > ended or events[-1].HasField("workflow_execution_completed_event_attributes")


async def _scheduled(handle: Any, nodes: int) -> bool:
    events = await history(handle)
    return sum(event.HasField("activity_task_scheduled_event_attributes") for event in events) >= nodes
