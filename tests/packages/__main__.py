"""`make packages`: published packages on both databases, by dbt and by workers, and the table of docs/packages.md."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.differential.__main__ import differential_clients, servers
from tests.differential.arena import Arena, Report, open_arena
from tests.packages.catalogue import PACKAGES, Package
from tests.packages.checkouts import Checkouts
from tests.packages.page import Row, write_table

DIFFERENCES_SHOWN = 12


def main() -> int:
    """The program; 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.packages", description=__doc__)
    names = [package.name for package in PACKAGES]
    parser.add_argument("--package", choices=names, action="append", help="this one alone; may be repeated")
    parser.add_argument("--database", choices=("duckdb", "postgres", "both"), default="both")
    parser.add_argument("--clones", type=Path, default=Path("build/packages"), help="repositories, at owner/name")
    parser.add_argument("--page", type=Path, help="the page whose table gets the rows anew")
    options = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    console = Console(width=160, soft_wrap=True, highlight=False)
    checkouts = Checkouts(options.clones.absolute())
    chosen = [package for package in PACKAGES if not options.package or package.name in options.package]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with differential_clients(Path(folder)) as clients:
            for opened in servers(options.database):
                async with opened as server, open_arena(server, clients, Path(folder) / server.kind) as arena:
                    for package in chosen:
                        if server.kind in package.databases:
                            report = await _compared(console, arena, package, checkouts, server.kind)
                            rows.append(Row(package, checkouts.version(package.repository), server.kind, report))
    if options.page:
        write_table(options.page, rows)
    return 1 if any(row.report.differences for row in rows) else 0


async def _compared(console: Console, arena: Arena, package: Package, checkouts: Checkouts, database: str) -> Report:
    began = time.monotonic()
    report = await arena.run(package.scenario(checkouts))
    word = f"{len(report.differences)} DIFFERENCES" if report.differences else "equal"
    results = ", ".join(f"{number} {status}" for status, number in report.statuses.most_common())
    console.print(f"{database} {package.name}: {word}, {time.monotonic() - began:.0f} s: {results}")
    for line in report.differences[:DIFFERENCES_SHOWN]:
        console.print(f"    {line[:1500]}", markup=False)
    return report


if __name__ == "__main__":
    sys.exit(main())
