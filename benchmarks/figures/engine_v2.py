"""Runs on dbt v2, beside the command lines of dbt v2 and of dbt-core."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from temporalio.client import WorkflowFailureError

from benchmarks.figure import Figure, Row, Table, ratio, shown
from benchmarks.figures.ready import until_ready
from benchmarks.progress import tell
from benchmarks.sides.databases import DuckDBFile, databases
from benchmarks.sides.dbt_v2 import PROGRAM, environment, of_worker, version
from benchmarks.sides.processes import ROOT, BenchmarkError
from benchmarks.sides.projects import Project, copy_of, tests_of, view_name, views
from benchmarks.sides.runs import Run, middle, quiet, run_by_cli, run_by_workflow, wall_of
from benchmarks.sides.temporal import Worker, temporal_server

SIDES = ("ours", "v2", "core")
OF_V2_GOALS = {"example": 2.0, "one model": 2.0, "views": 2.2}
OF_CORE_GOALS = {"example": 0.2, "views": 0.35}
FIRST_NODE_GOAL_SECS, READY_GOAL_SECS = 3.0, 2.0
TESTS_OF_A_MODEL = 2


@dataclass(frozen=True)
class Sizes:
    """What it is measured with."""

    project_dir: str = field(
        default="examples/jaffle-shop", metadata={"help": "another project on DuckDB, below the repository or absolute"}
    )
    database_variable: str = field(default="JAFFLE_SHOP_DB", metadata={"help": "names the DuckDB file in profiles.yml"})
    nodes: int = field(default=1000, metadata={"help": "views of the project"})
    databases: tuple[str, ...] = field(
        default=("duckdb", "postgres"), metadata={"help": "where", "choices": ("postgres", "duckdb")}
    )
    threads: int = field(default=4, metadata={"help": "of all sides' profiles"})
    models: int = field(default=10_000, metadata={"help": "of the project whose first node is waited for"})
    warm_up: int = field(default=1, metadata={"help": "builds of that project that do not count; 0: none"})
    runs: int = field(default=3, metadata={"help": "rounds"})


@dataclass(frozen=True)
class Ways:
    """Runs of each way from the same state of the database: ours, dbt v2's command line, dbt-core's."""

    workflow: list[Run] = field(default_factory=list)
    v2: list[Run] = field(default_factory=list)
    core: list[Run] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        version: of dbt v2.
        example: builds of the small project.
        one_model: on the first of the databases.
        first, second: by database, where no view exists, and where all do.
        first_node: seconds from submitting a build of the large project until its first node has ended.
        ready: seconds from a worker's start until it takes runs, on files that it knows.
    """

    version: str
    example: Ways
    one_model: Ways
    first: dict[str, Ways]
    second: dict[str, Ways]
    first_node: list[float]
    ready: list[float]


@dataclass(frozen=True)
class _Sides:
    """A project of views for each way."""

    projects: dict[str, Project]
    worker: Worker

    async def take_turns(self, ways: Ways, select: str | None = None) -> None:
        """One run of each way."""
        v2, core = self.projects["v2"].folder, self.projects["core"].folder
        ways.core.append(await run_by_cli(core, quiet(), select=select))
        ways.v2.append(await run_by_cli(v2, environment(), select=select, program=PROGRAM))
        ways.workflow.append(await run_by_workflow(self.worker, select=select))

    def clear(self) -> None:
        """Leaves no view anywhere."""
        for project in self.projects.values():
            project.database.clear()

    def check(self, nodes: int) -> None:
        """Fails where one of them has not built all views."""
        for project in self.projects.values():
            project.check(nodes)


async def measure(sizes: Sizes, folder: Path) -> Measured:
    """In turns, so that a noisy moment hits all ways."""
    called = version(folder)
    example = await _example(sizes, folder / "example")
    one_model, first, second = Ways(), dict[str, Ways](), dict[str, Ways]()
    chosen = view_name(sizes.nodes // 2)
    for kind in sizes.databases:
        first[kind], second[kind] = Ways(), Ways()
        async with _views(kind, folder / kind, sizes) as sides:
            await sides.take_turns(Ways(), f"+{chosen}")
            for _ in range(sizes.runs if kind == sizes.databases[0] else 0):
                await sides.take_turns(one_model, chosen)
            for number in range(sizes.runs):
                sides.clear()
                for ways in (first[kind], second[kind]):
                    await sides.take_turns(ways)
                    sides.check(sizes.nodes)
                tell(f"{kind}: round {number + 1} of {sizes.runs}")
    first_node = await _first_node(sizes, folder / "large")
    ready = await _ready(sizes, folder / "ready")
    return Measured(called, example, one_model, first, second, first_node, ready)


async def _example(sizes: Sizes, folder: Path) -> Ways:
    copies = {side: copy_of(ROOT / sizes.project_dir, folder / side) for side in SIDES}

    def own(side: str) -> Mapping[str, str]:
        return {sizes.database_variable: str(folder / side / "warehouse.duckdb")}

    ways = Ways()
    async with (
        temporal_server(folder) as server,
        Worker.started(copies["ours"], of_worker(own("ours")), server, folder) as worker,
    ):
        for number in range(-sizes.warm_up, sizes.runs):
            turn = Ways() if number < 0 else ways
            turn.core.append(await run_by_cli(copies["core"], quiet(own("core")), command=["build"]))
            of_v2 = run_by_cli(copies["v2"], environment(own("v2")), command=["build"], program=PROGRAM)
            turn.v2.append(await of_v2)
            turn.workflow.append(await run_by_workflow(worker, command="build"))
    tell(Path(sizes.project_dir).name)
    return ways


@asynccontextmanager
async def _views(kind: str, folder: Path, sizes: Sizes) -> AsyncIterator[_Sides]:
    with databases(kind, folder, SIDES) as (of_sides, _):
        projects = {side: Project(folder / side, of_side) for side, of_side in zip(SIDES, of_sides, strict=True)}
        for project in projects.values():
            project.write(views(sizes.nodes), sizes.threads)
        async with (
            temporal_server(folder) as server,
            Worker.started(projects["ours"].folder, of_worker(), server, folder) as worker,
        ):
            yield _Sides(projects, worker)


async def _first_node(sizes: Sizes, folder: Path) -> list[float]:
    """The build is cancelled once its first node has ended."""
    project = Project(folder / "ours", DuckDBFile(folder / "ours.duckdb"))
    project.write(views(sizes.models), sizes.threads)
    (project.folder / "models" / "tests.yml").write_text(tests_of(views(sizes.models), "n", ("not_null", "unique")))
    found: list[float] = []
    async with (
        temporal_server(folder) as server,
        Worker.started(project.folder, of_worker(), server, folder) as worker,
    ):
        await run_by_workflow(worker, select=view_name(0))
        for _ in range(sizes.runs):
            project.database.clear()
            found.append(await _until_a_node_has_ended(worker))
    tell("the first node of a large project")
    return found


async def _until_a_node_has_ended(worker: Worker) -> float:
    began = time.perf_counter()
    handle = await worker.submit({"command": "build"})
    nodes: set[int] = set()
    async for event in handle.fetch_history_events(wait_new_event=True):
        if ":" in event.activity_task_scheduled_event_attributes.activity_type.name:
            nodes.add(event.event_id)
        elif event.activity_task_completed_event_attributes.scheduled_event_id in nodes:
            break
    else:
        raise BenchmarkError("the build ended before a node had")
    ended = time.perf_counter()
    await handle.cancel()
    with suppress(WorkflowFailureError):
        await handle.result()
    return ended - began


async def _ready(sizes: Sizes, folder: Path) -> list[float]:
    project = Project(folder / "ours", DuckDBFile(folder / "ours.duckdb"))
    project.write(views(sizes.nodes), sizes.threads)
    async with temporal_server(folder) as server:
        await until_ready(project.folder, server, folder, of_worker())
        found = [await until_ready(project.folder, server, folder, of_worker()) for _ in range(sizes.runs)]
    tell("a worker's start")
    return found


def rows(sizes: Sizes, measured: Measured) -> Sequence[Row]:
    """Each to dbt v2's own command line, and to dbt-core's where there is a goal for it."""
    return list(_rows(sizes, measured))


def _rows(sizes: Sizes, measured: Measured) -> Iterator[Row]:
    (kind, *_), of = sizes.databases, f"{sizes.nodes:,}"
    yield from _two(f"build of {Path(sizes.project_dir).name}", measured.example, "example")
    yield from _two(f"one selected model of {of}, {kind}", measured.one_model, "one model")
    for each in sizes.databases:
        yield from _two(f"{of} views, {each}, first run", measured.first[each], "views")
        yield from _two(f"{of} views, {each}, second run", measured.second[each], "views")
    tests = f"{sizes.models * TESTS_OF_A_MODEL:,}"
    yield _seconds(
        f"v2: {sizes.models:,} models with {tests} tests, until the first node has ended",
        median(measured.first_node),
        FIRST_NODE_GOAL_SECS,
    )
    yield _seconds(f"v2: worker ready on unchanged files, {of} nodes", median(measured.ready), READY_GOAL_SECS)


def _two(name: str, ways: Ways, kind: str) -> Iterator[Row]:
    ours, v2, core = wall_of(ways.workflow), wall_of(ways.v2), wall_of(ways.core)
    told = f"{ours:.2f} s; v2 {v2:.2f} s; dbt-core {core:.2f} s"
    yield Row(f"v2: {name}, wall to dbt v2's", told, ratio(ours, v2), OF_V2_GOALS[kind])
    if kind in OF_CORE_GOALS:
        yield Row(f"v2: {name}, wall to dbt-core's", told, ratio(ours, core), OF_CORE_GOALS[kind])


def _seconds(name: str, value: float, goal: float) -> Row:
    return Row(name, f"{value:.2f} s", goal=goal, value=value, unit="s")


def details(sizes: Sizes, measured: Measured) -> Iterator[Table]:
    """Each way of each figure: wall and CPU in all."""
    cells = [["", "way", "wall", "CPU", "CPU worker", "CPU Temporal", "single wall times"]]
    named = {Path(sizes.project_dir).name: measured.example, "one model": measured.one_model}
    for kind in sizes.databases:
        named |= {f"views, {kind}, first": measured.first[kind], f"views, {kind}, second": measured.second[kind]}
    for name, ways in named.items():
        for way, runs in (("workflow", ways.workflow), ("v2", ways.v2), ("dbt-core", ways.core)):
            parts = [shown(middle(runs, part), decimals=2) for part in ("cpu", "worker_cpu", "temporal_cpu")]
            cells.append([name, way, f"{wall_of(runs):.2f}", *parts, " ".join(f"{run.wall:.2f}" for run in runs)])
    yield f"dbt {measured.version}: seconds, medians", cells


FIGURE = Figure(
    name="engine_v2",
    about="Runs on dbt v2, beside the command lines of dbt v2 and of dbt-core.",
    sizes=Sizes(),
    small=Sizes(nodes=4, databases=("duckdb",), threads=2, models=4, warm_up=0, runs=1),
    measure=measure,
    measured=Measured,
    rows=rows,
    details=details,
)
