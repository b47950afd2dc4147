"""A long chain beside wide levels: how near the run comes to its critical path."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Row, Table, ratio, shown
from benchmarks.progress import tell
from benchmarks.sides.databases import databases
from benchmarks.sides.projects import Project, chain_beside_levels
from benchmarks.sides.runs import quiet, results_of_cli, run_by_cli
from benchmarks.sides.temporal import Worker, temporal_server

GOAL = 1.15


@dataclass(frozen=True)
class Sizes:
    """What it is measured with.

    The levels must fit beside the chain: levels * width < length * (threads - 1).
    """

    length: int = field(default=40, metadata={"help": "tables of the chain"})
    levels: int = field(default=4, metadata={"help": "levels beside it"})
    width: int = field(default=25, metadata={"help": "tables of each level"})
    secs: float = field(default=0.5, metadata={"help": "that PostgreSQL takes for each table"})
    threads: int = field(default=4, metadata={"help": "of both sides' profiles"})


@dataclass(frozen=True)
class Walls:
    """A run: its wall time, and the sum of what dbt measured of the chain's nodes, both in seconds."""

    wall: float
    path: float


@dataclass(frozen=True)
class Measured:
    """By `scheduling` of dbt_temporal.yml, and of the CLI."""

    by_scheduling: dict[str, Walls]
    cli: Walls


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """All warm."""
    models = chain_beside_levels(sizes.length, sizes.levels, sizes.width, sizes.secs)
    by_scheduling = {}
    with databases("postgres", folder) as ((of_ours, of_cli), _):
        cli = Project(folder / "cli", of_cli)
        cli.write(models, sizes.threads)
        await run_by_cli(cli.folder, quiet(), select="chain_0000")
        wall = (await run_by_cli(cli.folder, quiet())).wall
        by_cli = Walls(wall, _path(results_of_cli(cli.folder)))
        tell("dbt")
        async with temporal_server(folder) as server:
            for scheduling in ("dbt", "critical_path"):
                ours = Project(folder / scheduling / "ours", of_ours)
                ours.write(models, sizes.threads, {"scheduling": scheduling})
                async with Worker.started(ours.folder, quiet(), server, folder / scheduling) as worker:
                    by_scheduling[scheduling] = await _walls(worker)
                ours.database.clear()
                tell(f"scheduling: {scheduling}")
    return Measured(by_scheduling, by_cli)


async def _walls(worker: Worker) -> Walls:
    await worker.outcome(await worker.submit({"command": "run", "select": "chain_0000"}))
    began = time.perf_counter()
    output = await worker.outcome(await worker.submit({"command": "run"}))
    return Walls(time.perf_counter() - began, _path(output["node_results"]))


def _path(results: Sequence[Mapping[str, Any]]) -> float:
    return sum(float(each["execution_time"]) for each in results if ".chain_" in each["unique_id"])


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """By the scheduling that is meant for it."""
    ours, by_dbt, cli = measured.by_scheduling["critical_path"], measured.by_scheduling["dbt"], measured.cli
    as_dbt, by_cli = (shown(ratio(each.wall, each.path), decimals=2) for each in (by_dbt, cli))
    told = f"{ours.wall:.1f} s to {ours.path:.1f} s; scheduling as dbt does {as_dbt}, dbt itself {by_cli}"
    name = (
        f"a chain of {sizes.length} beside {sizes.levels} levels of {sizes.width}, wall to the critical path's own time"
    )
    return [Row(name, told, ratio(ours.wall, ours.path), GOAL)]


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """All three."""
    del sizes
    cells = [["", "wall", "critical path", "ratio"]]
    ways = {**{f"scheduling: {name}": walls for name, walls in measured.by_scheduling.items()}, "dbt run": measured.cli}
    for name, walls in ways.items():
        cells.append([name, f"{walls.wall:.2f}", f"{walls.path:.2f}", shown(ratio(walls.wall, walls.path), decimals=2)])
    yield "seconds", cells


FIGURE = Figure(
    name="chain",
    about="A long chain beside wide levels, to the critical path's own time.",
    sizes=Sizes(),
    small=Sizes(length=2, levels=1, width=2, secs=0.1, threads=2),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
