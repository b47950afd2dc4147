"""Large runs: whether the time of a node grows with their number, and what history and memory they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import MB, Figure, Row, Table, ratio, shown
from benchmarks.progress import tell
from benchmarks.sides.pairs import view_sides
from benchmarks.sides.processes import BenchmarkError
from benchmarks.sides.runs import Run

GROWTH_GOAL = 1.2
EVENTS_GOAL, BYTES_GOAL, PAYLOAD_GOAL = 20_000, 10 * MB, 256 * 1024
WORKER_GOAL, ENGINE_GOAL = 400 * MB, 1.5


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    nodes: tuple[int, ...] = field(default=(1000, 2000, 5000, 10000), metadata={"help": "views of each project"})
    database: str = field(default="postgres", metadata={"help": "where", "choices": ("postgres", "duckdb")})
    threads: int = field(default=4, metadata={"help": "of both sides' profiles"})


@dataclass(frozen=True)
class OfSize:
    """One run of each way on an empty database; `failure` says why ours could not be had."""

    nodes: int
    workflow: Run | None
    cli: Run
    failure: str = ""


@dataclass(frozen=True)
class Measured:
    """From the smallest project to the largest."""

    by_size: list[OfSize]


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Each size by a worker of its own, so that memory is that of one run of this size."""
    by_size = []
    for nodes in sorted(sizes.nodes):
        async with view_sides(sizes.database, folder / str(nodes), nodes, sizes.threads) as sides:
            sides.clear()
            cli = await sides.by_cli()
            try:
                ours, failure = await sides.by_workflow(), ""
                sides.ours.check(nodes)
            except BenchmarkError as error:
                ours, failure = None, str(error).partition("\n")[0]
            by_size.append(OfSize(nodes, ours, cli, failure))
        tell(f"{nodes:,} nodes{f': {failure}' if failure else ''}")
    return Measured(by_size)


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Growth from the smallest to the largest, then history and memory of the largest."""
    del sizes
    least, most = measured.by_size[0], measured.by_size[-1]
    of = f"{most.nodes:,} nodes"
    grown = f"time of a node at {of} to {least.nodes:,}"
    if least.workflow is None or most.workflow is None:
        return [Row(grown, f"a run failed: {least.failure or most.failure}", goal=GROWTH_GOAL)]
    run = most.workflow
    ours, cli = ratio(_ms(run), _ms(least.workflow)), ratio(_ms(most.cli), _ms(least.cli))
    told = (
        f"{_ms(run):.1f} ms to {_ms(least.workflow):.1f} ms; dbt {_ms(most.cli):.1f} to {_ms(least.cli):.1f}: {cli:.2f}"
    )
    return [
        Row(grown, told, ours, GROWTH_GOAL),
        Row(
            f"history of {of}",
            f"{shown(run.events, 1 / most.nodes, 1)} events and {shown(run.history_bytes, 1 / most.nodes)} bytes "
            f"a node, executions: {run.executions}",
        ),
        _absolute(f"largest history of one execution, {of}", run.most_events, 1, EVENTS_GOAL, "events"),
        _absolute(f"the same in size, {of}", run.most_bytes, MB, BYTES_GOAL, "MB", 1),
        _absolute(f"largest payload, {of}", run.largest_payload, 1024, PAYLOAD_GOAL, "KiB", 1),
        _absolute(f"peak memory of the worker, {of}", run.worker_memory, MB, WORKER_GOAL, "MB"),
        Row(
            f"peak memory of template, parent and hosts, {of}",
            f"{shown(run.engine_memory, 1 / MB)} MB; dbt {shown(most.cli.cli_memory, 1 / MB)} MB",
            ratio(run.engine_memory, most.cli.cli_memory),
            ENGINE_GOAL,
        ),
    ]


def _absolute(figure: str, value: float | None, unit: float, goal: float, name: str, decimals: int = 0) -> Row:
    told = f"{shown(value, 1 / unit, decimals)} {name}"
    return Row(figure, told, goal=goal / unit, value=None if value is None else value / unit, unit=name)


def _ms(run: Run) -> float:
    return run.wall / run.nodes * 1000


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """Each size."""
    del sizes
    columns = ["wall (s)", "wall a node (ms)", "CPU a node (ms)", "CPU worker (ms)", "peak (MB)"]
    cells = [["nodes", *columns, *(f"dbt: {column}" for column in columns if "worker" not in column)]]
    for size in measured.by_size:
        of_cli = _parts(size.cli, size.cli.cli_memory)
        ours = ["-"] * len(columns)
        if size.workflow is not None:
            ours = _parts(size.workflow, size.workflow.engine_memory)
            ours.insert(3, shown(size.workflow.worker_cpu, 1000 / size.nodes, 1))
        cells.append([f"{size.nodes:,}", *ours, *of_cli])
    yield "large runs", cells


def _parts(run: Run, memory: int | None) -> list[str]:
    return [f"{run.wall:.1f}", f"{_ms(run):.1f}", shown(run.cpu, 1000 / run.nodes, 1), shown(memory, 1 / MB)]


FIGURE = Figure(
    name="large",
    about="The time of a node against the number of nodes, and what the largest run takes in history and memory.",
    sizes=Sizes(),
    small=Sizes(nodes=(4,), database="duckdb", threads=2),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
