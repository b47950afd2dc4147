"""A project of views on both sides: a worker that has it loaded, and the dbt CLI with its partial parse file."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sides.databases import databases
from benchmarks.sides.projects import Project, view_name, views
from benchmarks.sides.runs import Run, quiet, run_by_cli, run_by_workflow
from benchmarks.sides.temporal import Worker, temporal_server


@dataclass(frozen=True)
class Sides:
    """The two sides. Both have the same models and threads, each in a folder and a schema or file of its own."""

    ours: Project
    cli: Project
    worker: Worker
    environment: dict[str, str]
    postgres: subprocess.Popen[bytes] | None

    async def by_workflow(self, select: str | None = None) -> Run:
        """One run of our side."""
        return await run_by_workflow(self.worker, self.postgres, select=select)

    async def by_cli(self, select: str | None = None) -> Run:
        """One run of the CLI."""
        return await run_by_cli(self.cli.folder, self.environment, self.postgres, select=select)

    async def warm_up(self, select: str) -> None:
        """Some views on each side: the worker has loaded the project then, and the CLI has its partial parse file."""
        await self.by_cli(select)
        await self.by_workflow(select)

    def clear(self) -> None:
        """Leaves no view on either side."""
        self.ours.database.clear()
        self.cli.database.clear()


@asynccontextmanager
async def view_sides(
    kind: str,
    folder: Path,
    nodes: int,
    threads: int,
    *,
    settings: Mapping[str, str] | None = None,
    warm_up: str = view_name(0),
) -> AsyncIterator[Sides]:
    """Both sides with `nodes` views on a database of that kind, warmed up.

    Args:
        kind: `postgres` or `duckdb`.
        folder: of this pair alone.
        nodes: how many views.
        threads: of both profiles.
        settings: further variables of the worker.
        warm_up: what is run before, as a selection.
    """
    with databases(kind, folder) as ((of_ours, of_cli), postgres):
        ours, cli = Project(folder / "ours", of_ours), Project(folder / "cli", of_cli)
        for project in (ours, cli):
            project.write(views(nodes), threads)
        async with (
            temporal_server(folder) as server,
            Worker.started(ours.folder, quiet(settings), server, folder) as worker,
        ):
            sides = Sides(ours, cli, worker, quiet(), postgres)
            await sides.warm_up(warm_up)
            yield sides
