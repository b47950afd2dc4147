"""What Temporal itself takes for a node, whoever uses it: the floor below the figures of the worker and the server."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from temporalio.client import Client

from benchmarks.figure import Figure, Row
from benchmarks.progress import tell
from benchmarks.sides.empty_worker import TASK_QUEUE
from benchmarks.sides.processes import ROOT, at_rest, running_process
from benchmarks.sides.runs import quiet
from benchmarks.sides.temporal import temporal_server


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    activities: int = field(default=1000, metadata={"help": "of a workflow, each of which does nothing"})
    threads: int = field(default=4, metadata={"help": "how many at once"})
    runs: int = field(default=3, metadata={"help": "workflows"})


@dataclass(frozen=True)
class Measured:
    """CPU of each workflow in seconds, of its worker and of the Temporal server."""

    worker: list[float]
    temporal: list[float]


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """By a worker of the SDK alone, which has run such a workflow before."""
    measured = Measured([], [])
    environment = quiet({"PYTHONPATH": str(ROOT)})
    async with temporal_server(folder) as server:
        command = [sys.executable, "-m", "benchmarks.sides.empty_worker", server.address]
        with running_process(command, folder / "worker.log", environment) as worker:
            client = await Client.connect(server.address)
            for number in range(sizes.runs + 1):
                before = await at_rest(worker), await at_rest(server.process)
                await client.execute_workflow(
                    "nothing", args=[sizes.activities, sizes.threads], id=f"bench-{uuid.uuid4()}", task_queue=TASK_QUEUE
                )
                after = await at_rest(worker), await at_rest(server.process)
                tell(f"round {number} of {sizes.runs}" if number else "warm-up")
                if number:
                    measured.worker.append(after[0] - before[0])
                    measured.temporal.append(after[1] - before[1])
    return measured


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Of one activity."""
    worker, temporal = (median(used) / sizes.activities * 1000 for used in (measured.worker, measured.temporal))
    return [Row("CPU of an activity that does nothing", f"worker {worker:.1f} ms, Temporal server {temporal:.1f} ms")]


FIGURE = Figure(
    name="floor",
    about="What Temporal's SDK and server take for activities that do nothing.",
    sizes=Sizes(),
    small=Sizes(activities=4, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
)
