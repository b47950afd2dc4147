"""docs/benchmarks.md and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Row
from benchmarks.figures import cores, hosts, large, views
from benchmarks.page import svg
from benchmarks.page.tables import HEADER, cells, machine, markdown, sizes
from benchmarks.results import Machine, Result
from benchmarks.sides.runs import middle, wall_of

PARTS = {
    "engine": "engine_cpu",
    "worker": "worker_cpu",
    "Temporal server": "temporal_cpu",
    "database": "postgres_cpu",
    "dbt CLI": "cli_cpu",
}

_LIMITS = Path(__file__).with_name("limits.md")
"""Written by hand, from profiles."""
_INTRODUCTION = """# Benchmarks

Written by `make bench` ([benchmarks/README.md](../benchmarks/README.md) says what each figure is, and how to measure
one again). Each ratio is of two things that were measured in turns, in one run on one machine, with the same threads
and the same version of dbt on both sides; seconds of different machines say nothing about each other. Goals are those
that the project has set itself.
"""


def write_page(path: Path, results: Sequence[Result]) -> list[Path]:
    """Writes the page, and beside it the plots that the results suffice for. Returns what was written."""
    plots = _plots(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path]
    for name, (_, picture) in plots.items():
        written.append(path.with_name(f"{path.stem}-{name}.svg"))
        written[-1].write_text(picture)
    path.write_text(_text(path, results, {name: title for name, (title, _) in plots.items()}))
    return written


def _text(path: Path, results: Sequence[Result], plots: Mapping[str, str]) -> str:
    rows: list[Row] = [row for result in results for row in result.rows]
    parts = [_INTRODUCTION, markdown([HEADER, *map(cells, rows)])]
    parts += [f"## {title}\n\n![{title}]({path.stem}-{name}.svg)" for name, title in plots.items()]
    parts.append(f"## The model of more cores\n\n{cores.HOW.strip()}")
    parts.append(f"## What bounds the figures\n\n{_LIMITS.read_text(encoding='utf-8').strip()}")
    parts.append(f"## How it was measured\n\n{_machines(results)}")
    parts.append(
        markdown(
            [
                ["command", "began (UTC)", "load", "commit"],
                *(
                    [
                        f"`{sizes(result)}`",
                        f"{result.began:%Y-%m-%d %H:%M}",
                        f"{result.machine.load:.2f}",
                        result.machine.commit,
                    ]
                    for result in results
                ),
            ]
        )
    )
    for result in results:
        for title, (header, *body) in result.details:
            parts.append(f"### {result.figure.name}: {title}\n\n{markdown([header, *body])}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _machines(results: Sequence[Result]) -> str:
    """Each machine once: commit and load stand with each figure."""
    found: dict[str, Machine] = {}
    for result in results:
        found.setdefault(machine(result.machine).rpartition(", commit")[0], result.machine)
    return "\n\n".join(f"{text}." for text in found)


def _plots(results: Sequence[Result]) -> dict[str, tuple[str, str]]:
    """Title and SVG by the name of the plot's file."""
    measured: dict[str, Any] = {result.figure.name: result.measured for result in results}
    chosen: dict[str, Any] = {result.figure.name: result.sizes for result in results}
    plots = {}
    if "large" in measured:
        title = "Time of a node against the number of nodes"
        plots["nodes"] = (title, _time_per_node(title, measured["large"]))
    if "views" in measured:
        title = "CPU of a node, by where it goes"
        plots["shares"] = (title, _shares(title, measured["views"], chosen["views"].nodes))
    if "hosts" in measured:
        title = "Wall time of a run against its hosts"
        plots["hosts"] = (title, _hosts(title, measured["hosts"]))
    return plots


def _time_per_node(title: str, measured: large.Measured) -> str:
    ours = [(size.nodes, size.workflow.wall / size.nodes * 1000) for size in measured.by_size if size.workflow]
    cli = [(size.nodes, size.cli.wall / size.nodes * 1000) for size in measured.by_size]
    return svg.line_plot(title, "nodes", "ms a node", {"dbt-temporal": ours, "dbt CLI": cli})


def _shares(title: str, measured: views.Measured, nodes: int) -> str:
    bars: dict[str, dict[str, float]] = {}
    for kind, runs in measured.by_database.items():
        for way, of_way in (("dbt-temporal", runs.second.workflow), ("dbt", runs.second.cli)):
            shares = {name: middle(of_way, part) for name, part in PARTS.items()}
            bars[f"{kind}\n{way}"] = {name: used / nodes * 1000 for name, used in shares.items() if used is not None}
    return svg.stacked_bars(title, "ms of CPU a node, second run", list(PARTS), bars)


def _hosts(title: str, measured: hosts.Measured) -> str:
    ours = [(float(each.hosts), wall_of(each.workflow)) for each in measured.by_hosts]
    cli = [(float(each.hosts), wall_of(each.cli)) for each in measured.by_hosts]
    return svg.line_plot(title, "DBT_TEMPORAL_RUN_HOSTS", "wall, s", {"dbt-temporal": ours, "dbt CLI": cli})
