"""Measures figures, and makes the table, the page and its plots of what was measured: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.catalogue import FIGURES, USUAL
from benchmarks.figure import AnyFigure
from benchmarks.options import add_sizes, sizes_given
from benchmarks.page.page import write_page
from benchmarks.page.tables import print_results, print_rows
from benchmarks.progress import tell
from benchmarks.results import Machine, Result, now, read_results
from benchmarks.sides.processes import ROOT, BenchmarkError

RESULTS = ROOT / "build" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"


def main(words: list[str] | None = None) -> int:
    """The program; 1 where a figure of several could not be measured, 2 where nothing could be done."""
    options = _arguments(words)
    try:
        return int(options.run(options))
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="FIGURE or COMMAND")
    for figure in FIGURES.values():
        command = _command(commands, figure.name, figure.about)
        command.set_defaults(run=_measure_one, figure=figure)
        command.add_argument("--small", action="store_true", help="by sizes that only show that it works")
        add_sizes(command, figure.sizes)
    everything = _command(
        commands, "all", "Measures all figures but compare, or those that are named, and prints the table."
    )
    everything.set_defaults(run=_measure_all)
    everything.add_argument("figures", nargs="*", type=_figure, metavar="FIGURE")
    everything.add_argument("--small", action="store_true", help="by sizes that only show that it works")
    everything.add_argument("--page", type=Path, help="write the page there as well, of all that was measured")
    _command(commands, "table", "Prints the table of what was measured.").set_defaults(run=_table)
    page = _command(commands, "page", "Writes the page, and the plots beside it, of what was measured.")
    page.set_defaults(run=_page)
    page.add_argument("--page", type=Path, default=PAGE, help="default: docs/benchmarks.md")
    return parser.parse_args(words)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=about)
    command.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="default: build/benchmarks")
    return command


def _figure(name: str) -> AnyFigure:
    if name not in FIGURES:
        raise argparse.ArgumentTypeError(f"{name} is no figure, choose from {', '.join(FIGURES)}")
    return FIGURES[name]


def _measure_one(options: argparse.Namespace) -> int:
    figure: AnyFigure = options.figure
    result = _measured(figure, sizes_given(options, figure.small if options.small else figure.sizes))
    result.write(options.results)
    print_results([result])
    return 0


def _measure_all(options: argparse.Namespace) -> int:
    """Measures one after the other; one that cannot be measured does not keep the others from it."""
    failed = False
    for figure in options.figures or USUAL:
        try:
            _measured(figure, figure.small if options.small else figure.sizes).write(options.results)
        except BenchmarkError as error:
            failed = True
            print(f"benchmarks: {figure.name}: {error}", file=sys.stderr)
    _table(options)
    if options.page:
        _page(options)
    return 1 if failed else 0


def _measured(figure: AnyFigure, sizes: object) -> Result:
    tell(f"{figure.name}: {figure.about}")
    machine, began = Machine.here(), now()
    with tempfile.TemporaryDirectory(prefix="dbt-temporal-bench-", ignore_cleanup_errors=True) as folder:
        measured = asyncio.run(figure.measure(sizes, Path(folder)))
    return Result(figure, sizes, machine, began, measured)


def _table(options: argparse.Namespace) -> int:
    print_rows(_kept(options.results))
    return 0


def _page(options: argparse.Namespace) -> int:
    for path in write_page(options.page, _kept(options.results)):
        tell(f"written: {path}")
    return 0


def _kept(folder: Path, figures: Iterable[AnyFigure] = tuple(FIGURES.values())) -> list[Result]:
    results = read_results(folder, figures)
    if not results:
        raise BenchmarkError(f"nothing was measured yet: there are no results in {folder}")
    return results


if __name__ == "__main__":
    sys.exit(main())
