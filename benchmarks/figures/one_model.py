"""One selected model of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import Figure, Row, Table, ratio
from benchmarks.progress import tell
from benchmarks.sides.pairs import view_sides
from benchmarks.sides.projects import view_name
from benchmarks.sides.runs import Run, course_of, wall_of

GOAL = 0.10


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    nodes: int = field(default=1000, metadata={"help": "views of the project"})
    database: str = field(default="postgres", metadata={"help": "where", "choices": ("postgres", "duckdb")})
    threads: int = field(default=4, metadata={"help": "of both sides' profiles"})
    runs: int = field(default=5, metadata={"help": "measured runs of each way"})


@dataclass(frozen=True)
class Measured:
    """The runs of each way."""

    workflow: list[Run]
    cli: list[Run]


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Runs the middle one of the views, by turns; those that it refers to are there."""
    measured = Measured([], [])
    chosen = view_name(sizes.nodes // 2)
    async with view_sides(sizes.database, folder, sizes.nodes, sizes.threads, warm_up=f"+{chosen}") as sides:
        for number in range(sizes.runs):
            measured.cli.append(await sides.by_cli(chosen))
            measured.workflow.append(await sides.by_workflow(chosen))
            tell(f"round {number + 1} of {sizes.runs}")
    return measured


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Wall to the CLI's."""
    ours, cli = wall_of(measured.workflow), wall_of(measured.cli)
    name = f"one selected model of {sizes.nodes:,}, warm, {sizes.database}, wall"
    return [Row(name, f"{ours:.2f} s; dbt {cli:.2f} s", ratio(ours, cli), GOAL)]


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """What a run costs beside its node."""
    del sizes
    yield from course_of(measured.workflow)


FIGURE = Figure(
    name="one_model",
    about="A run of one selected model of a large project.",
    sizes=Sizes(),
    small=Sizes(nodes=4, database="duckdb", threads=2, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
