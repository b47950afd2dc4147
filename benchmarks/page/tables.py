"""Tables: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figure import Row, Table
from benchmarks.results import Machine, Result

HEADER = ["figure", "measured", "ratio", "goal", "reached"]


def cells(row: Row) -> list[str]:
    """The cells of one row, by HEADER."""
    shown = "" if row.ratio is None else f"{row.ratio:.2f}"
    words = {None: "", True: "yes", False: "no"}
    return [row.figure, row.measured, shown, _goal(row), words[row.reached]]


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    bound = "at least" if row.at_least else "at most"
    return f"{bound} {row.goal:,.10g} {row.unit}" if row.unit else f"{bound} {row.goal:,.2f}"


def print_rows(results: Sequence[Result]) -> None:
    """The one table of all figures."""
    print_table(("figure", [HEADER, *(cells(row) for result in results for row in result.rows)]), wide=2)


def print_results(results: Iterable[Result]) -> None:
    """Each figure with its details, and what it was measured with."""
    for result in results:
        print(f"{machine(result.machine)}, load {result.machine.load:.2f} as it began")
        print(sizes(result))
        for table in result.details:
            print_table(table)
        print_rows([result])


def print_table(table: Table, wide: int = 1) -> None:
    """Cells in columns, the first `wide` ones to the left; the title stands in the header's first cell."""
    title, ((_, *header), *body) = table
    lines = [[title, *header], *body]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print()
    for line in lines:
        padded = [
            cell.ljust(width) if number < wide else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(padded).rstrip())


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first row its header."""
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def machine(facts: Machine) -> str:
    """What figures depend on, in one line."""
    packages = ", ".join(f"{name} {shown}" for name, shown in facts.packages.items())
    return f"{facts.system}, {facts.cores} cores, Python {facts.python}, {packages}, commit {facts.commit}"


def sizes(result: Result) -> str:
    """What a figure was measured with, as options of its command."""
    words = [f"python -m benchmarks {result.figure.name}"]
    for name, value in vars(result.sizes).items():
        if value != "" and value != 0:
            text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"--{name.replace('_', '-')} {text}")
    return " ".join(words)
