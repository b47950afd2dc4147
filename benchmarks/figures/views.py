"""Many small views: what a node costs where the database has next to nothing to do, and in which process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import MB, Figure, Row, Table, ratio, shown
from benchmarks.figures.cores import model
from benchmarks.progress import tell
from benchmarks.sides.pairs import view_sides
from benchmarks.sides.runs import Run, middle, wall_of

WALL_GOALS = {"postgres": 0.55, "duckdb": 0.70}
ENGINE_GOAL_MS, WORKER_GOAL_MS = 17.0, 3.0
MODELLED_CORES, MODEL_GOAL = 8, 0.25
CPU_PARTS = {
    "worker": "worker_cpu",
    "engine": "engine_cpu",
    "Temporal": "temporal_cpu",
    "PostgreSQL": "postgres_cpu",
    "CLI": "cli_cpu",
}
MEMORY_PARTS = {"worker": "worker_memory", "engine": "engine_memory", "CLI": "cli_memory"}


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    nodes: int = field(default=1000, metadata={"help": "views of the project"})
    databases: tuple[str, ...] = field(
        default=("postgres", "duckdb"), metadata={"help": "where", "choices": ("postgres", "duckdb")}
    )
    threads: int = field(default=4, metadata={"help": "of both sides' profiles"})
    hosts: int = field(default=0, metadata={"help": "DBT_TEMPORAL_RUN_HOSTS of the worker; 0: its default"})
    runs: int = field(default=3, metadata={"help": "rounds of two runs of each way"})


@dataclass(frozen=True)
class Pair:
    """The runs of the two ways, from the same state of the database."""

    workflow: list[Run]
    cli: list[Run]

    @property
    def ratio(self) -> float | None:
        """Of the wall times, workflow to CLI."""
        return ratio(wall_of(self.workflow), wall_of(self.cli))


@dataclass(frozen=True)
class OnDatabase:
    """The runs where no view exists, and those where all do."""

    first: Pair
    second: Pair


@dataclass(frozen=True)
class Measured:
    """By database; `cores` of the machine that it was measured on, for the model of another one."""

    by_database: dict[str, OnDatabase]
    cores: int


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Measures both sides in turns, so that a noisy moment hits both: first without views, then with them."""
    by_database = {}
    settings = {"DBT_TEMPORAL_RUN_HOSTS": str(sizes.hosts)} if sizes.hosts else None
    for kind in sizes.databases:
        found = by_database[kind] = OnDatabase(Pair([], []), Pair([], []))
        async with view_sides(kind, folder / kind, sizes.nodes, sizes.threads, settings=settings) as sides:
            for number in range(sizes.runs):
                sides.clear()
                for pair in (found.first, found.second):
                    pair.cli.append(await sides.by_cli())
                    pair.workflow.append(await sides.by_workflow())
                    sides.ours.check(sizes.nodes)
                    sides.cli.check(sizes.nodes)
                tell(f"{kind}: round {number + 1} of {sizes.runs}")
    return Measured(by_database, os.cpu_count() or 1)


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Walls of each database; CPU a node and the model of more cores, both on PostgreSQL where that was measured."""
    found = []
    for kind, runs in measured.by_database.items():
        for name, pair in (("first", runs.first), ("second", runs.second)):
            ours, cli = wall_of(pair.workflow), wall_of(pair.cli)
            title = f"{sizes.nodes:,} views, {kind}, {name} run, wall on {measured.cores} cores"
            found.append(Row(title, f"{ours:.1f} s; dbt {cli:.1f} s", pair.ratio, WALL_GOALS[kind]))
    kind = "postgres" if "postgres" in measured.by_database else next(iter(measured.by_database))
    pair = measured.by_database[kind].second
    of_cli = _ms_per_node(middle(pair.cli, "cli_cpu"), sizes.nodes)
    for name, part, goal in (("engine", "engine_cpu", ENGINE_GOAL_MS), ("worker", "worker_cpu", WORKER_GOAL_MS)):
        used = _ms_per_node(middle(pair.workflow, part), sizes.nodes)
        told = f"{shown(used, decimals=1)} ms; dbt {shown(of_cli, decimals=1)} ms"
        title = f"CPU of the {name} a node, {kind}, second run"
        found.append(Row(title, told, ratio(used, of_cli), goal, value=used, unit="ms"))
    found.append(_on_more_cores(sizes, measured, kind))
    return found


def _on_more_cores(sizes: Sizes, measured: Measured, kind: str) -> Row:
    pair = measured.by_database[kind].first
    title = f"{sizes.nodes:,} views, {kind}, first run, wall on {MODELLED_CORES} cores, by the model"
    modelled = model(pair.workflow, pair.cli, sizes.nodes, sizes.threads, measured.cores, MODELLED_CORES)
    if modelled is None:
        return Row(title, "the runs have no nodes in their histories", goal=MODEL_GOAL)
    told = f"{modelled.wall:.1f} s; dbt {modelled.cli_wall:.1f} s"
    return Row(title, told, ratio(modelled.wall, modelled.cli_wall), MODEL_GOAL)


def _ms_per_node(seconds: float | None, nodes: int) -> float | None:
    return None if seconds is None else seconds / nodes * 1000


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """Each part of each pair of runs, medians."""
    for kind, runs in measured.by_database.items():
        series = {
            "first run, workflow": (runs.first.workflow, runs.first),
            "first run, dbt run": (runs.first.cli, None),
            "second run, workflow": (runs.second.workflow, runs.second),
            "second run, dbt run": (runs.second.cli, None),
        }
        times = [["", "wall", "to CLI", *(f"CPU {name}" for name in CPU_PARTS), "single wall times"]]
        memory = [["", "events", "bytes", "largest payload (bytes)", *(f"peak {name}" for name in MEMORY_PARTS)]]
        for name, (of_way, pair) in series.items():
            walls = [f"{wall_of(of_way):.2f}", shown(None if pair is None else pair.ratio, decimals=2)]
            cpu = [shown(middle(of_way, part), 1000 / sizes.nodes, 2) for part in CPU_PARTS.values()]
            times.append([name, *walls, *cpu, " ".join(f"{run.wall:.2f}" for run in of_way)])
            of_history = [
                shown(middle(of_way, "events"), 1 / sizes.nodes, 2),
                shown(middle(of_way, "history_bytes"), 1 / sizes.nodes),
                shown(middle(of_way, "largest_payload")),
            ]
            memory.append([name, *of_history, *(shown(middle(of_way, part), 1 / MB) for part in MEMORY_PARTS.values())])
        yield f"{kind}: wall time (s), CPU (ms per node)", times
        yield f"{kind}: history (per node), memory (MB)", memory


FIGURE = Figure(
    name="views",
    about="Many small views on an empty database and again: wall, what a node costs, and a model of more cores.",
    sizes=Sizes(),
    small=Sizes(nodes=4, databases=("postgres",), threads=2, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
