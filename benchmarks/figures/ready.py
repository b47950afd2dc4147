"""How long a worker takes until it can be given runs, on files that are as they were."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from uuid import uuid4

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from benchmarks.figure import Figure, Row, Table, ratio, shown
from benchmarks.progress import tell
from benchmarks.sides.databases import DuckDBFile
from benchmarks.sides.processes import BIN, START_TIMEOUT_SECS, BenchmarkError, tail, waited_for
from benchmarks.sides.projects import Project, views
from benchmarks.sides.runs import quiet
from benchmarks.sides.temporal import Server, Worker, temporal_server

GOAL = 0.3
LOOK_SECS = 0.02


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    nodes: int = field(default=1000, metadata={"help": "views of the project"})
    runs: int = field(default=3, metadata={"help": "starts of the worker, and parses of each kind"})


@dataclass(frozen=True)
class Measured:
    """Wall times in seconds.

    Attributes:
        first: of the worker's first start, with an empty cache folder.
        again: of each further one.
        parse: of `dbt parse` without a partial parse file.
        partial: of `dbt parse` with one.
    """

    first: float
    again: list[float]
    parse: list[float]
    partial: list[float]


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Starts and parses in turns."""
    project = Project(folder / "ours", DuckDBFile(folder / "ours.duckdb"))
    of_cli = Project(folder / "cli", DuckDBFile(folder / "cli.duckdb"))
    for each in (project, of_cli):
        each.write(views(sizes.nodes), threads=4)
    parse = [str(BIN / "dbt"), "parse", "--profiles-dir", str(of_cli.folder)]
    measured = Measured(0.0, [], [], [])
    async with temporal_server(folder) as server:
        first = await until_ready(project.folder, server, folder)
        for number in range(sizes.runs):
            shutil.rmtree(of_cli.folder / "target", ignore_errors=True)
            measured.parse.append(waited_for(parse, quiet(), of_cli.folder).wall)
            measured.partial.append(waited_for(parse, quiet(), of_cli.folder).wall)
            measured.again.append(await until_ready(project.folder, server, folder))
            tell(f"round {number + 1} of {sizes.runs}")
    return Measured(first, measured.again, measured.parse, measured.partial)


async def until_ready(project: Path, server: Server, folder: Path, settings: Mapping[str, str] | None = None) -> float:
    """Starts a worker with a task queue of its own, and waits until the server has heard it ask for steps.

    Args:
        project: its folder.
        server: where it polls.
        folder: has its cache, which is what is warm.
        settings: further variables of the worker.
    """
    queue = f"ready-{uuid4()}"
    began = time.perf_counter()
    variables = quiet({**(settings or {}), "TEMPORAL_TASK_QUEUE": queue})
    async with Worker.started(project, variables, server, folder) as worker:
        request = DescribeTaskQueueRequest(
            namespace="default",
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        while not (await worker.client.workflow_service.describe_task_queue(request)).pollers:
            if worker.process.poll() is not None or time.perf_counter() - began > START_TIMEOUT_SECS:
                raise BenchmarkError(f"the worker is not ready:\n{tail(worker.log)}")
            await asyncio.sleep(LOOK_SECS)
        return time.perf_counter() - began


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """A further start to a parse."""
    ready, parse = median(measured.again), median(measured.parse)
    name = f"worker ready on unchanged files, {sizes.nodes:,} nodes, to `dbt parse`"
    return [Row(name, f"{ready:.2f} s; dbt {parse:.2f} s", ratio(ready, parse), GOAL)]


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """All four."""
    del sizes
    cells = [["", "median", "single values"]]
    series = {
        "worker, empty cache folder": [measured.first],
        "worker, again": measured.again,
        "dbt parse": measured.parse,
        "dbt parse, partial": measured.partial,
    }
    for name, values in series.items():
        cells.append([name, shown(median(values), decimals=2), " ".join(f"{value:.2f}" for value in values)])
    yield "seconds", cells


FIGURE = Figure(
    name="ready",
    about="How long a worker takes until it takes runs, on files that it has parsed before.",
    sizes=Sizes(),
    small=Sizes(nodes=3, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
