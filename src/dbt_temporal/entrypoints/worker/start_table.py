"""What a worker says of its projects when it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from dbt_temporal.application.projects.loading import ReadyProject

SHOWN_REVISION_CHARS = 12


def print_projects(console: Console, projects: Sequence[ReadyProject]) -> None:
    """A table where a person looks, plain lines where a log collector does; then what projects wait for."""
    parsed = [project for project in projects if project.waits_for is None]
    if console.is_terminal and parsed:
        console.print(_table(parsed))
        parsed = []
    for project in parsed:
        loaded = project.loaded
        line = (
            f"Loaded project {loaded.name}: revision {_revision(project)}, source {loaded.location.source}, "
            f"adapter {loaded.adapter_type}, target {loaded.target}, {_counts(loaded.counts)}, "
            f"engine {loaded.engine}, dbt {loaded.dbt_version}, {loaded.load_seconds:.1f} s"
        )
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for project in projects:
        if project.waits_for is not None:
            # dbt's messages have several lines, and a line of the log is one.
            why = " ".join(project.waits_for.split())
            line = (
                f"Waiting project {project.loaded.name}: a run must bring what is missing, or it must be mended: {why}"
            )
            console.print(line, highlight=False, soft_wrap=True, markup=False, style="yellow")


def engines_of(projects: Sequence[ReadyProject]) -> str:
    """Which engines of which versions have parsed the projects, in one line; empty where none was parsed."""
    names: dict[str, list[str]] = {}
    for project in projects:
        if project.waits_for is None:
            names.setdefault(f"{project.loaded.engine} {project.loaded.dbt_version}", []).append(project.loaded.name)
    return ", ".join(f"{engine} ({', '.join(sorted(of_engine))})" for engine, of_engine in sorted(names.items()))


def _table(projects: Sequence[ReadyProject]) -> Table:
    table = Table(title="Projects")
    for heading in ("project", "revision", "source", "adapter", "target", "nodes", "engine", "dbt"):
        table.add_column(heading, overflow="fold")
    table.add_column("seconds", justify="right")
    for project in projects:
        loaded = project.loaded
        table.add_row(
            loaded.name,
            _revision(project),
            loaded.location.source,
            loaded.adapter_type,
            loaded.target,
            _counts(loaded.counts),
            loaded.engine,
            loaded.dbt_version,
            f"{loaded.load_seconds:.1f}",
        )
    return table


def _revision(project: ReadyProject) -> str:
    return (project.loaded.location.revision or "-")[:SHOWN_REVISION_CHARS]


def _counts(counts: Mapping[str, int]) -> str:
    """Nodes by type. Macros are no nodes, and dbt's own would hide what the project has."""
    shown = [(kind, count) for kind, count in sorted(counts.items()) if count and kind != "macro"]
    return ", ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in shown) or "no nodes"
