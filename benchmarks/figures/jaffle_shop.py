"""A warm build of a small project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import Figure, Row, Table, ratio
from benchmarks.progress import tell
from benchmarks.sides.processes import ROOT
from benchmarks.sides.projects import copy_of
from benchmarks.sides.runs import Run, course_of, middle, quiet, run_by_cli, run_by_command, run_by_workflow, wall_of
from benchmarks.sides.temporal import Worker, temporal_server

GOAL = 0.30


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    project_dir: str = field(
        default="examples/jaffle-shop", metadata={"help": "another project on DuckDB, below the repository or absolute"}
    )
    database_variable: str = field(default="JAFFLE_SHOP_DB", metadata={"help": "names the DuckDB file in profiles.yml"})
    warm_up: int = field(default=1, metadata={"help": "builds of each way that do not count; 0: none"})
    runs: int = field(default=5, metadata={"help": "measured builds of each way"})


@dataclass(frozen=True)
class Measured:
    """The builds of each way."""

    workflow: list[Run]
    command: list[Run]
    cli: list[Run]


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """Warms both sides up, then measures them in turns, so that a noisy moment hits both."""
    project = ROOT / sizes.project_dir
    ours, cli = copy_of(project, folder / "ours"), copy_of(project, folder / "cli")
    measured = Measured([], [], [])

    def environment(copy: Path) -> dict[str, str]:
        return quiet({sizes.database_variable: str(copy.parent / "warehouse.duckdb")})

    async with (
        temporal_server(folder) as server,
        Worker.started(ours, environment(ours), server, folder) as worker,
    ):
        for number in range(1 - sizes.warm_up, sizes.runs + 1):
            by_cli = await run_by_cli(cli, environment(cli), command=["build"])
            by_workflow = await run_by_workflow(worker, command="build")
            by_command = await run_by_command(worker, "build")
            tell(f"round {number} of {sizes.runs}" if number > 0 else "warm-up")
            if number > 0:
                measured.cli.append(by_cli)
                measured.workflow.append(by_workflow)
                measured.command.append(by_command)
    return measured


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """The build by a workflow."""
    ours, cli = wall_of(measured.workflow), wall_of(measured.cli)
    return [
        Row(
            f"warm build of {Path(sizes.project_dir).name} ({measured.workflow[0].nodes} results), wall",
            f"{ours:.2f} s; dbt {cli:.2f} s",
            ratio(ours, cli),
            GOAL,
        )
    ]


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """All three ways, with each single value."""
    del sizes
    cells = [["", "wall", "CPU", "CPU Temporal", "single wall times"]]
    ways = {
        "dbt-temporal, workflow": measured.workflow,
        "dbt-temporal build": measured.command,
        "dbt build": measured.cli,
    }
    for name, runs in ways.items():
        temporal = middle(runs, "temporal_cpu")
        cells.append(
            [
                name,
                f"{wall_of(runs):.2f}",
                f"{middle(runs, 'cpu'):.2f}",
                "-" if temporal is None else f"{temporal:.2f}",
                " ".join(f"{run.wall:.2f}" for run in runs),
            ]
        )
    yield "seconds, medians", cells
    yield from course_of(measured.workflow)


FIGURE = Figure(
    name="jaffle_shop",
    about="A warm build of the example, by a workflow, by our command and by the dbt CLI.",
    sizes=Sizes(),
    small=Sizes(warm_up=0, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
