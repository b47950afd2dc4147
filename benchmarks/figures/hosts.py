"""The wall time of a run against the number of processes that run its nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import MB, Figure, Row, Table, ratio, shown
from benchmarks.progress import tell
from benchmarks.sides.pairs import view_sides
from benchmarks.sides.runs import Run, middle, wall_of


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    hosts: tuple[int, ...] = field(
        default=tuple(range(1, max(os.cpu_count() or 1, 2) + 1)),
        metadata={"help": "DBT_TEMPORAL_RUN_HOSTS, each in turn"},
    )
    nodes: int = field(default=1000, metadata={"help": "views of the project, on PostgreSQL"})
    threads: int = field(default=4, metadata={"help": "of both sides' profiles"})
    runs: int = field(default=3, metadata={"help": "runs with each number of hosts"})


@dataclass(frozen=True)
class WithHosts:
    """Runs with so many hosts at most, each on an empty schema, and the CLI's beside them."""

    hosts: int
    workflow: list[Run]
    cli: list[Run]


@dataclass(frozen=True)
class Measured:
    """From the fewest hosts to the most."""

    by_hosts: list[WithHosts]


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Each number of hosts by a worker of its own."""
    found = []
    for hosts in sorted(sizes.hosts):
        runs = WithHosts(hosts, [], [])
        settings = {"DBT_TEMPORAL_RUN_HOSTS": str(hosts)}
        async with view_sides("postgres", folder / str(hosts), sizes.nodes, sizes.threads, settings=settings) as sides:
            for _ in range(sizes.runs):
                sides.clear()
                runs.cli.append(await sides.by_cli())
                runs.workflow.append(await sides.by_workflow())
                sides.ours.check(sizes.nodes)
        found.append(runs)
        tell(f"hosts: {hosts}")
    return Measured(found)


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """The most hosts beside the fewest."""
    fewest, most = measured.by_hosts[0], measured.by_hosts[-1]
    less, more = wall_of(most.workflow), wall_of(fewest.workflow)
    name = f"{sizes.nodes:,} views, postgres, first run, wall with {most.hosts} hosts to {fewest.hosts}"
    return [Row(name, f"{less:.1f} s to {more:.1f} s", ratio(less, more))]


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """Each number of hosts."""
    cells = [["hosts", "wall", "to CLI", "CPU engine", "CPU worker", "peak engine"]]
    for each in measured.by_hosts:
        runs = each.workflow
        cells.append(
            [
                str(each.hosts),
                f"{wall_of(runs):.2f}",
                shown(ratio(wall_of(runs), wall_of(each.cli)), decimals=2),
                shown(middle(runs, "engine_cpu"), 1000 / sizes.nodes, 2),
                shown(middle(runs, "worker_cpu"), 1000 / sizes.nodes, 2),
                shown(middle(runs, "engine_memory"), 1 / MB),
            ]
        )
    yield "wall (s), CPU (ms per node), memory (MB)", cells


FIGURE = Figure(
    name="hosts",
    about="The wall time of a run on PostgreSQL against the number of its hosts.",
    sizes=Sizes(),
    small=Sizes(hosts=(2,), nodes=4, threads=2, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
