"""What Temporal itself takes for a node, whoever uses it: the floor below the figures of the worker and the server."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from temporalio.client import Client

from benchmarks.figure import Figure, Row
from benchmarks.progress import tell
from benchmarks.sides.empty_worker import OTHER_QUEUE, TASK_QUEUE
from benchmarks.sides.processes import ROOT, at_rest, running_process
from benchmarks.sides.runs import quiet
from benchmarks.sides.temporal import QUEUE_READS, temporal_server


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    activities: int = field(default=1000, metadata={"help": "of a workflow, each of which does nothing"})
    threads: int = field(default=4, metadata={"help": "how many at once"})
    runs: int = field(default=3, metadata={"help": "workflows"})


@dataclass(frozen=True)
class Used:
    """Of each workflow, in seconds: CPU of its worker and of the Temporal server, and wall."""

    worker: list[float] = field(default_factory=list)
    temporal: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """By how the activities come to their worker, as `WAYS` names it."""

    by_way: dict[str, Used]


WAYS = {
    "handed on": (TASK_QUEUE, (QUEUE_READS,)),
    "from a queue": (OTHER_QUEUE, (QUEUE_READS,)),
    "from a queue, a server by default": (OTHER_QUEUE, ()),
}
"""The activities' task queue, and what the server is told."""


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """By a worker of the SDK alone, which has run such a workflow before."""
    return Measured({way: await _use(way, sizes, folder) for way in WAYS})


async def _use(way: str, sizes: Sizes, folder: Path) -> Used:
    used = Used()
    task_queue, dynamic_config = WAYS[way]
    environment = quiet({"PYTHONPATH": str(ROOT)})
    async with temporal_server(folder, dynamic_config) as server:
        command = [sys.executable, "-m", "benchmarks.sides.empty_worker", server.address]
        with running_process(command, folder / "worker.log", environment) as worker:
            client = await Client.connect(server.address)
            for number in range(sizes.runs + 1):
                before = await at_rest(worker), await at_rest(server.process)
                began = time.perf_counter()
                await client.execute_workflow(
                    "nothing",
                    args=[sizes.activities, sizes.threads, task_queue],
                    id=f"bench-{uuid.uuid4()}",
                    task_queue=TASK_QUEUE,
                )
                wall = time.perf_counter() - began
                after = await at_rest(worker), await at_rest(server.process)
                tell(f"{way}: round {number} of {sizes.runs}" if number else f"{way}: warm-up")
                if number:
                    used.worker.append(after[0] - before[0])
                    used.temporal.append(after[1] - before[1])
                    used.wall.append(wall)
    return used


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Of one activity."""
    return [
        Row(
            f"an activity that does nothing, {sizes.threads} at once, {way}",
            f"{_ms(used.wall, sizes):.1f} ms; CPU: worker {_ms(used.worker, sizes):.1f} ms, "
            f"Temporal server {_ms(used.temporal, sizes):.1f} ms",
        )
        for way, used in measured.by_way.items()
    ]


def _ms(seconds: Sequence[float], sizes: Sizes) -> float:
    return median(seconds) / sizes.activities * 1000


FIGURE = Figure(
    name="floor",
    about="What Temporal's SDK and server take for activities that do nothing.",
    sizes=Sizes(),
    small=Sizes(activities=4, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
)
