"""What resource-based tuning does to a worker that runs: by the machine's memory and CPU, or its container's."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, nullcontext
from typing import Any

import psutil
import pytest

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.application.ports.engine import NodeOutcome, Progress
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.testing import FakeEngineRun, node, plan
from tests.integration.engine_driver import REPOSITORY
from tests.integration.run_harness import RunHarness
from tests.integration.worker.test_tuning_effects import tuning

COUNT = 4
LINGER_SECS = 0.3
"""How long there is for a node too many to begin, once as many run as may."""
RESOURCE_BASED = {
    "WORKER_TUNER": "resource-based",
    "WORKER_RESOURCE_TARGET_MEM": "1",
    "WORKER_RESOURCE_TARGET_CPU": "1",
}
GIB = 1024**3


async def most_at_once(runs: RunHarness, expected: int) -> int:
    """How many of four nodes run at once. They wait until the expected number runs, so that none ends too early."""
    running, most = 0, 0
    enough = asyncio.Event()

    class Counted(FakeEngineRun):
        async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running >= expected:
                enough.set()
            await asyncio.wait_for(enough.wait(), 60)
            await asyncio.sleep(LINGER_SECS)
            running -= 1
            return await super().execute_node(unique_id, progress, *rest, **named)

    runs.engine.run_class = Counted
    runs.engine.run_plan = plan(*(node(f"n{number}") for number in range(COUNT)))
    assert (await runs.run()).ending is Ending.COMPLETED
    return most


async def test_by_fixed_slots_as_many_nodes_run_as_dbt_has_threads(runs: RunHarness) -> None:
    assert await most_at_once(runs, COUNT) == COUNT


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keeps every fourth core busy.

    A drop of the load lets the SDK start one more node (the derivative part of its controller), unless at least a
    sixth of the machine is busy after it. The processes are nice: they take nothing from the worker.
    """
    script = "import os; os.nice(19)\nwhile True: pass"
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(1 + (os.cpu_count() or 1) // 4)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        # With the least as well, so that a machine with much else to do gives as many.
        ({"WORKER_RESOURCE_ACTIVITY_MIN_SLOTS": "2", "WORKER_RESOURCE_ACTIVITY_MAX_SLOTS": "2"}, 2),
        ({"WORKER_RESOURCE_TARGET_MEM": "0.001"}, 1),
        ({"WORKER_RESOURCE_TARGET_MEM": "0.001", "WORKER_RESOURCE_ACTIVITY_MIN_SLOTS": "3"}, 3),
        ({"WORKER_RESOURCE_TARGET_CPU": "0.00001"}, 1),
    ],
    ids=["most", "memory", "least", "cpu"],
)
async def test_resources_bound_how_many_nodes_run(runs: RunHarness, limits: Mapping[str, str], most: int) -> None:
    runs.tuning = tuning(**{**RESOURCE_BASED, **limits})
    with busy_cores() if "WORKER_RESOURCE_TARGET_CPU" in limits else nullcontext():
        assert await most_at_once(runs, most) == most


async def test_the_memory_of_other_processes_counts_as_that_of_engine_processes_must(runs: RunHarness) -> None:
    own, everybodys = psutil.Process().memory_percent() / 100, psutil.virtual_memory().percent / 100
    # Closer to its own: what the others use may become less meanwhile.
    between = own + (everybodys - own) / 4
    assert own < between < everybodys
    runs.tuning = tuning(**{**RESOURCE_BASED, "WORKER_RESOURCE_TARGET_MEM": f"{between:.4f}"})
    assert await most_at_once(runs, 1) == 1


async def print_most_at_once(address: str, task_queue: str, environ: Mapping[str, str], expected: int) -> None:
    """The program that runs in a container."""
    client = await connect(ConnectionSettings(address=address))
    async with AsyncExitStack() as stack:
        runs = RunHarness(client, task_queue, stack)
        runs.tuning = tuning(**environ)
        print(await most_at_once(runs, expected), flush=True)
    os._exit(0)  # as our own programs end: the SDK's threads may abort the interpreter's end


def in_container(script: str, *, used: int, limit: int) -> subprocess.CompletedProcess[str]:
    """Runs Python where the control group of the container says how much memory is used and allowed.

    No container, but what the SDK sees of one: a mount namespace with files of cgroup v2 in their place.
    """
    files = {
        "memory.current": str(used),
        "memory.max": str(limit),
        "memory.stat": f"anon {used}",
        # A processor of its own that does nothing, however busy the machine is.
        "cpu.max": "100000 100000",
        "cpu.stat": "usage_usec 0",
    }
    writes = [f"echo {text} > /sys/fs/cgroup/{name}" for name, text in files.items()]
    python = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(script)}"
    inside = " && ".join(["mount -t tmpfs none /sys/fs/cgroup", *writes, python])
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY)


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
@pytest.mark.parametrize(("used_share", "most"), [(0.95, 1), (0.05, COUNT)])
async def test_in_a_container_its_own_memory_and_limit_count(
    temporal_address: str, task_queue: str, used_share: float, most: int
) -> None:
    # Much less than the machine has, and than the worker itself uses: only what the control group says can tell.
    environ = {**RESOURCE_BASED, "WORKER_RESOURCE_TARGET_MEM": "0.8"}
    arguments = ", ".join(json.dumps(each) for each in (temporal_address, task_queue, environ, most))
    script = f"import asyncio, {__name__} as test; asyncio.run(test.print_most_at_once({arguments}))"
    done = await asyncio.to_thread(in_container, script, used=int(used_share * GIB), limit=GIB)
    assert (done.returncode, done.stdout.strip()) == (0, str(most)), done.stderr
