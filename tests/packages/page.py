"""The table of docs/packages.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.differential.arena import Report
from tests.packages.catalogue import Package

BEGIN, END = "<!-- the table: begin -->", "<!-- the table: end -->"
_HEAD = ("package", "version", "by", "database", "commands", "results of dbt", "one worker", "two workers")


@dataclass(frozen=True)
class Row:
    """A package on a database."""

    package: Package
    version: str
    database: str
    report: Report

    def cells(self) -> tuple[str, ...]:
        """By the table's head."""
        commands = [str(step) for step in self.package.steps]
        statuses = ", ".join(f"{number} {status}" for status, number in sorted(self.report.statuses.items()))
        sides = ("one", "two")
        return (
            f"[{self.package.name}](https://github.com/{self.package.repository})",
            self.version,
            self.package.tested_by,
            self.database,
            ", ".join(f"`{command}`" for command in dict.fromkeys(_short(command) for command in commands)),
            statuses,
            *(_verdict(self.report, side) for side in sides),
        )


def write_table(page: Path, rows: list[Row]) -> None:
    """Puts the rows into the table between the marks of the page, in place of those of the same packages."""
    before, _, rest = page.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    known = {_place(line): line for line in table.splitlines() if line.startswith("| [")}
    known |= {_place(line): line for line in (_line(row.cells()) for row in rows)}
    lines = [_line(_HEAD), _line("---" for _ in _HEAD), *(known[place] for place in sorted(known))]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


def _place(line: str) -> tuple[str, str]:
    """Package and database of a row."""
    cells = [cell.strip() for cell in line.split("|")]
    return cells[1], cells[1 + _HEAD.index("database")]


def _short(command: str) -> str:
    """Without environment and options."""
    words = [word for word in command.split() if "=" not in word and word != "dbt"]
    return " ".join(words[:2] if words[0] in ("run-operation", "docs", "source") else words[:1])


def _verdict(report: Report, side: str) -> str:
    differing = sum(f": {side}: " in line for line in report.differences)
    return f"{differing} differences" if differing else "equal"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
