"""Many runs at once on one worker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import Figure, Row, Table, ratio
from benchmarks.progress import tell
from benchmarks.sides.databases import DuckDBMemory
from benchmarks.sides.memory import peak_memory
from benchmarks.sides.processes import at_rest
from benchmarks.sides.projects import Project, views
from benchmarks.sides.runs import quiet
from benchmarks.sides.temporal import Worker, temporal_server

GOAL = 1.8


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    runs: int = field(default=50, metadata={"help": "how many"})
    nodes: int = field(default=20, metadata={"help": "views of the project"})
    max_hosts: int = field(default=0, metadata={"help": "DBT_TEMPORAL_MAX_HOSTS of the worker; 0: its default"})


@dataclass(frozen=True)
class Measured:
    """Of all runs: wall and CPU times in seconds, the most memory of the engine processes (bytes) with all at once.

    The CPU is that of all processes, until they rest.
    """

    in_turn: float
    at_once: float
    in_turn_cpu: float
    at_once_cpu: float
    engine_memory: int
    cores: int


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Each run has a DuckDB in memory, so that no two of them write the same."""
    project = Project(folder / "project", DuckDBMemory())
    project.write(views(sizes.nodes), threads=4)
    settings = {"DBT_TEMPORAL_MAX_HOSTS": str(sizes.max_hosts)} if sizes.max_hosts else {}
    async with (
        temporal_server(folder) as server,
        Worker.started(project.folder, quiet(settings), server, folder) as worker,
    ):

        async def run() -> None:
            await worker.outcome(await worker.submit({"command": "run"}))

        await run()
        tell("warm-up")
        cpu = [await at_rest(worker.process, server.process)]
        began = time.perf_counter()
        for _ in range(sizes.runs):
            await run()
        in_turn = time.perf_counter() - began
        tell("one after another")
        cpu.append(await at_rest(worker.process, server.process))
        async with peak_memory(worker.process.pid) as peak:
            began = time.perf_counter()
            await asyncio.gather(*(run() for _ in range(sizes.runs)))
            at_once = time.perf_counter() - began
        tell("all at once")
        cpu.append(await at_rest(worker.process, server.process))
    return Measured(in_turn, at_once, cpu[1] - cpu[0], cpu[2] - cpu[1], peak.engine, os.cpu_count() or 1)


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Throughput."""
    name = (
        f"{sizes.runs} runs of {sizes.nodes} nodes at once to one after another, throughput on {measured.cores} cores"
    )
    told = f"{measured.at_once:.1f} s; one after another {measured.in_turn:.1f} s"
    return [Row(name, told, ratio(measured.in_turn, measured.at_once), GOAL, at_least=True)]


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """How many cores were busy: what bounds the ratio, as runs one after another have several processes at work."""
    del sizes
    cells = [["", "wall", "CPU", "cores busy"]]
    for name, wall, cpu in (
        ("one after another", measured.in_turn, measured.in_turn_cpu),
        ("at once", measured.at_once, measured.at_once_cpu),
    ):
        cells.append([name, f"{wall:.1f}", f"{cpu:.1f}", f"{cpu / wall:.2f} of {measured.cores}"])
    yield "seconds", cells


FIGURE = Figure(
    name="at_once",
    about="Many runs of a small project at once on one worker, beside the same one after another.",
    sizes=Sizes(),
    small=Sizes(runs=2, nodes=2),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
