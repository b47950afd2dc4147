"""`make differential`: many random projects on both databases, with their progress and a table at the end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.search_attributes import register_search_attributes
from tests.differential.arena import OURS, Arena, Report, open_arena
from tests.differential.databases import DuckDb, Postgres, Server
from tests.differential.generating import scenario_of
from tests.differential.scenario import Scenario
from tests.differential.shrinking import shrunk
from tests.differential.sides import two_clients
from tests.integration.postgres import running_postgres
from tests.integration.servers import SEARCH_ATTRIBUTES, temporal_dev_server

SIDES = ("cli", "one", "two", "comparing")


def main() -> int:
    """The program; 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="how many projects on each database")
    parser.add_argument("--first", type=int, default=0, help="the number of the first project")
    parser.add_argument("--database", choices=("duckdb", "postgres", "both"), default="both")
    parser.add_argument("--file", type=Path, help="a kept scenario, in place of random ones")
    parser.add_argument("--one-worker", action="store_true", help="leave out the side with two workers")
    parser.add_argument("--shrink", action="store_true", help="make scenarios that differ as small as they can be")
    parser.add_argument("--keep", type=Path, default=Path("build/differential"), help="where such scenarios are kept")
    options = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    console = Console(width=160, soft_wrap=True, highlight=False)
    options.keep.mkdir(parents=True, exist_ok=True)
    table = Table(title="random projects, compared with the dbt command line")
    for column in (
        "database",
        "projects",
        "with differences",
        "commands",
        "shared by two",
        "results",
        *(f"s {side}" for side in SIDES),
    ):
        table.add_column(column)
    differing = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with differential_clients(Path(folder)) as clients:
            for opened in servers(options.database):
                async with opened as server, open_arena(server, clients, Path(folder) / server.kind) as arena:
                    reports = await _all(console, arena, server, options)
                table.add_row(*_row(server.kind, reports))
                differing += sum(1 for report in reports if report.differences)
    console.print(table)
    return 1 if differing else 0


async def _all(console: Console, arena: Arena, server: Server, options: argparse.Namespace) -> list[Report]:
    if options.one_worker:
        arena.ours = OURS[:1]
    reports = []
    names = [str(number) for number in range(options.first, options.first + options.n)]
    if options.file:
        names = [options.file.stem]
    for name in names:
        began = time.monotonic()
        scenario = Scenario.from_json(options.file.read_text()) if options.file else scenario_of(int(name))
        report = await arena.run(scenario)
        reports.append(report)
        spent = ", ".join(f"{side} {seconds:.1f}" for side, seconds in report.seconds.items())
        so_far = sum(1 for each in reports if each.differences)
        word = f"{len(report.differences)} DIFFERENCES" if report.differences else "equal"
        console.print(
            f"{server.kind} {name}: {word}, {sum(report.commands.values())} commands, "
            f"{time.monotonic() - began:.1f} s: {spent} ({len(reports)} of {len(names)}, {so_far} with differences)"
        )
        if report.differences:
            for line in report.differences[:12]:
                console.print(f"    {line[:1200]}", markup=False)
            if options.shrink:
                scenario = await shrunk(arena, scenario, console.print)
            (options.keep / f"{server.kind}-{name}.json").write_text(scenario.to_json())
    return reports


def _row(kind: str, reports: list[Report]) -> list[str]:
    commands: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for report in reports:
        commands += report.commands
        statuses += report.statuses
    differing = sum(1 for report in reports if report.differences)
    counted = ["\n".join(f"{number} {word}" for word, number in each.most_common()) for each in (commands, statuses)]
    seconds = [sum(report.seconds[side] for report in reports) for side in SIDES]
    shared = sum(report.shared for report in reports)
    return [
        kind,
        str(len(reports)),
        str(differing),
        counted[0],
        str(shared),
        counted[1],
        *(f"{each:.0f}" for each in seconds),
    ]


@asynccontextmanager
async def differential_clients(folder: Path) -> AsyncIterator[list[Client]]:
    """Connections of two workers to a server of their own."""
    with temporal_dev_server(folder / "server.log") as address:
        clients = await two_clients(address)
        await register_search_attributes(clients[0], SEARCH_ATTRIBUTES)
        yield clients


def servers(database: str) -> list[AbstractAsyncContextManager[Server]]:
    """The database servers of a name, or of `both`; each runs while it is open."""

    @asynccontextmanager
    async def duckdb() -> AsyncIterator[Server]:
        yield DuckDb()

    @asynccontextmanager
    async def postgres() -> AsyncIterator[Server]:
        with running_postgres() as running:
            yield Postgres(running)

    return [make() for name, make in (("duckdb", duckdb), ("postgres", postgres)) if database in (name, "both")]


if __name__ == "__main__":
    sys.exit(main())
