"""The same project by others, beside the dbt CLI."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.compare import cosmos, dbt_v2, prefect
from benchmarks.compare.environments import NotInstalledError, environment
from benchmarks.compare.way import RunOnce, Way
from benchmarks.figure import Figure, Row, Table, ratio, shown
from benchmarks.progress import tell
from benchmarks.sides.databases import PostgresSchema, PostgresServer, postgres_server
from benchmarks.sides.processes import ROOT, BenchmarkError
from benchmarks.sides.projects import Project, views
from benchmarks.sides.runs import quiet, run_by_cli
from benchmarks.sides.temporal import Worker, temporal_server


@asynccontextmanager
async def _ours(project: Project, programs: Path, folder: Path, threads: int) -> AsyncIterator[RunOnce]:
    del programs, threads
    async with (
        temporal_server(folder) as server,
        Worker.started(project.folder, quiet(), server, folder) as worker,
    ):

        async def run() -> float:
            began = time.perf_counter()
            await worker.outcome(await worker.submit({"command": "run"}))
            return time.perf_counter() - began

        yield run


@asynccontextmanager
async def _cli(project: Project, programs: Path, folder: Path, threads: int) -> AsyncIterator[RunOnce]:
    del programs, folder, threads

    async def run() -> float:
        return (await run_by_cli(project.folder, quiet())).wall

    yield run


CLI = "dbt CLI"
WAYS = {
    CLI: Way(CLI, (), _cli),
    "dbt-temporal": Way("dbt-temporal", (), _ours),
    "dbt-v2": Way("dbt v2's CLI", dbt_v2.REQUIREMENTS, dbt_v2.dbt_v2),
    "prefect-dbt": Way("prefect-dbt, a task a node", prefect.REQUIREMENTS, prefect.prefect),
    "cosmos": Way("cosmos on Airflow, local mode, a dbt process a task", cosmos.REQUIREMENTS, cosmos.cosmos),
}
OTHERS = tuple(name for name in WAYS if name != CLI)


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    nodes: int = field(default=100, metadata={"help": "views of the project, on PostgreSQL"})
    threads: int = field(default=4, metadata={"help": "nodes at once"})
    runs: int = field(default=3, metadata={"help": "rounds of two runs of each way"})
    ways: tuple[str, ...] = field(default=OTHERS, metadata={"help": "beside the dbt CLI", "choices": OTHERS})
    environments: str = field(
        default="build/compare", metadata={"help": "folder of their environments, below the repository or absolute"}
    )


@dataclass(frozen=True)
class OfWay:
    """Wall times in seconds, on an empty schema and again; `failure` says why there are none."""

    name: str
    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Measured:
    """The dbt CLI first."""

    ways: list[OfWay]


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """One way after the other: what one keeps up must not take cores from the next one."""
    found = []
    with postgres_server(folder) as server:
        for name in (CLI, *sizes.ways):
            tell(name)
            found.append(await _measured(WAYS[name], sizes, server, folder / name.replace(" ", "-")))
    return Measured(found)


async def _measured(way: Way, sizes: Sizes, server: PostgresServer, folder: Path) -> OfWay:
    schema = PostgresSchema(server, f"bench_{secrets.token_hex(4)}")
    project = Project(folder / "project", schema)
    project.write(views(sizes.nodes), sizes.threads)
    runs = OfWay(way.name)
    try:
        programs = environment(ROOT / sizes.environments, folder.name, way.requirements) if way.requirements else folder
        async with way.opened(project, programs, folder, sizes.threads) as run:
            await run()
            for _ in range(sizes.runs):
                schema.clear()
                runs.first.append(await run())
                runs.second.append(await run())
                project.check(sizes.nodes)
    except NotInstalledError as error:
        return OfWay(way.name, failure=f"does not install here: {error}")
    except BenchmarkError as error:
        if not way.requirements:
            raise
        return OfWay(way.name, failure=f"does not run here: {_short(error)}")
    finally:
        schema.clear()
    return runs


def _short(error: BenchmarkError) -> str:
    """The end of its output, where the reason is."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")[:300]


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Each way beside the dbt CLI, first run."""
    cli, *others = measured.ways
    found = []
    for way in others:
        title = f"{sizes.nodes:,} views, postgres, first run: {way.name}"
        if way.failure:
            found.append(Row(title, way.failure))
        else:
            wall, of_cli = median(way.first), median(cli.first)
            found.append(Row(title, f"{wall:.1f} s; dbt {of_cli:.1f} s", ratio(wall, of_cli)))
    return found


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """Both runs of each way."""
    del sizes
    cells = [["", "first run", "second run", "single values"]]
    for way in measured.ways:
        walls = [shown(median(runs) if runs else None, decimals=2) for runs in (way.first, way.second)]
        cells.append([way.name, *walls, " ".join(f"{wall:.2f}" for wall in (*way.first, *way.second)) or way.failure])
    yield "seconds, medians", cells


FIGURE = Figure(
    name="compare",
    about="The same project by other ways to run dbt, where they install.",
    sizes=Sizes(),
    small=Sizes(nodes=2, threads=2, runs=1, ways=("dbt-temporal",)),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
