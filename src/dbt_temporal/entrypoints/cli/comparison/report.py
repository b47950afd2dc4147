"""The comparison of two engines as a table for a terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Column, Table

from dbt_temporal.domain.engine_comparison import EngineComparison, NodeCompared, as_json
from dbt_temporal.domain.errors import configuration_error

_COLUMNS = ("node", "differs in", "statuses", "what")
_MOST_LINES = 200


def print_comparison(console: Console, comparison: EngineComparison) -> None:
    """Prints the table of what differs, and the verdict below it."""
    differing = comparison.differing
    if differing:
        table = Table(*(Column(name, overflow="fold") for name in _COLUMNS))
        for node in differing[:_MOST_LINES]:
            table.add_row(*(cell.replace("[", r"\[") for cell in _cells(node)))
        console.print(table)
        if len(differing) > _MOST_LINES:
            console.print(f"and {len(differing) - _MOST_LINES} more: --report writes them all")
    for node in differing[:_MOST_LINES]:
        for line in _example_lines(comparison, node):
            console.print(line, markup=False, soft_wrap=True)
    for line in _verdict_lines(comparison):
        console.print(line, markup=False, soft_wrap=True)


def write_report(file: Path, comparison: EngineComparison) -> None:
    """Writes it as its name says. Raises Configuration where it cannot be written, or its suffix is none of these."""
    write = REPORTS.get(file.suffix.lower())
    if write is None:
        raise configuration_error(f"--report: {file.name}: its name must end with {' or '.join(REPORTS)}")
    try:
        file.write_text(write(comparison), encoding="utf-8")
    except OSError as error:
        raise configuration_error(f"--report: {file}: {error.strerror}") from error


def as_markdown(comparison: EngineComparison) -> str:
    """A page: the verdict, what differs, and all nodes with their times."""
    lines = ["# Two engines on one project", "", *(f"{line}  " for line in _verdict_lines(comparison)), ""]
    if comparison.differing:
        lines += ["## What differs", "", *_markdown_table(_COLUMNS, [_cells(node) for node in comparison.differing])]
        examples = [line for node in comparison.differing for line in _example_lines(comparison, node)]
        lines += ["", "```text", *examples, "```"] if examples else []
        lines.append("")
    names = [build.engine for build in comparison.builds]
    rows = [
        (node.unique_id, node.verdict, *(f"{seconds:.2f} s" for seconds in node.seconds)) for node in comparison.nodes
    ]
    lines += ["## All nodes", "", *_markdown_table(("node", "verdict", *names), rows), ""]
    return "\n".join(lines)


def _as_json_text(comparison: EngineComparison) -> str:
    return orjson.dumps(as_json(comparison), option=orjson.OPT_INDENT_2).decode() + "\n"


REPORTS: Mapping[str, Callable[[EngineComparison], str]] = {".md": as_markdown, ".json": _as_json_text}


def _verdict_lines(comparison: EngineComparison) -> list[str]:
    nodes, differing = len(comparison.nodes), comparison.differing
    lines = [
        f"{build.engine} ({build.version}): {len(build.results)} nodes in {build.seconds:.2f} s"
        for build in comparison.builds
    ]
    if not nodes:
        return [*lines, "Nothing was selected, so there was nothing to compare"]
    if not differing:
        return [*lines, f"Equal: all {nodes} nodes have come to the same"]
    return [*lines, f"Different: {len(differing)} of {nodes} nodes; {nodes - len(differing)} have come to the same"]


def _cells(node: NodeCompared) -> tuple[str, str, str, str]:
    words = dict.fromkeys(word or "-" for word in node.statuses)
    return node.unique_id, node.verdict, " / ".join(words), node.why


def _example_lines(comparison: EngineComparison, node: NodeCompared) -> list[str]:
    if node.relations is None:
        return []
    return [
        f"{node.unique_id}, only by {build.engine}: {', '.join(f'{name}={value}' for name, value in row.items())}"
        for build, rows in zip(comparison.builds, node.relations.examples, strict=True)
        for row in rows
    ]


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"

    return [line(columns), line(["---"] * len(columns)), *(line(row) for row in rows)]
