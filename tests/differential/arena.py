"""Everything that scenarios need, kept alive over all of them."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from temporalio.client import Client

from tests.differential.databases import LANDED, PROFILES, Database, Server
from tests.differential.differences import database_differences, step_differences
from tests.differential.normalised import ended_early
from tests.differential.scenario import Scenario, Step
from tests.differential.sides import CommandLine, Ended, Workers, Workflow, base_environment
from tests.integration.engine_driver import write_files

_SILENT = 2
"""After so many commands in a row that leave nothing behind, the rest would not either."""
OURS: tuple[str, ...] = ("one", "two")


@dataclass
class Report:
    """What came out of a scenario.

    Attributes:
        differences: by side, with the step; none is what is hoped for.
        statuses: how often the command line's results had each status.
        seconds: how long each side's commands took.
    """

    differences: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    shared: int = 0
    """How many commands two workers have shared."""
    silent: int = 0
    """How many of the last commands left nothing behind on the command line, as where a project does not parse."""
    ended_early: bool = False
    """Whether fail-fast ended the last step: nothing after it can be compared."""


class Arena:
    """Carries scenarios out, one after the other.

    Attributes:
        ours: our sides: with one worker and with two.
    """

    def __init__(
        self, server: Server, workers: Workers, dbt: subprocess.Popen[str], environ: Mapping[str, str], folder: Path
    ) -> None:
        self.ours = OURS
        self._server = server
        self._workers = workers
        self._dbt = dbt
        self._environ = environ
        self._folder = folder

    async def run(self, scenario: Scenario) -> Report:
        """All steps on all sides. After a step that differs nothing further is tried: it would only follow from it."""
        folder = self._folder / uuid4().hex[:8]
        project = folder / "project"
        profiles = PROFILES.format(connection=self._server.connection, threads=scenario.threads)
        settings = "retry: {initial_interval_secs: 0.01}\n"
        write_files(project, {"profiles.yml": profiles, "dbt_temporal.yml": settings, **scenario.files})
        report = Report()
        with self._server.databases(folder, ["cli", *self.ours]) as databases:
            if any(LANDED in text for text in scenario.files.values()):
                await asyncio.gather(*(asyncio.to_thread(database.land) for database in databases.values()))
            cli = CommandLine(self._dbt, self._environ, project, folder)
            sides: list[CommandLine | Workflow] = [cli, *(Workflow(name, self._workers) for name in self.ours)]
            if "packages.yml" in scenario.files:
                await asyncio.to_thread(cli.invoke, ["deps"], databases["cli"].env)
            await self._workers.serve(project)
            for number, step in enumerate(scenario.steps):
                _edit(project, step)
                found = await self._step(sides, databases, step, report, scenario)
                report.differences += [f"step {number} ({step}): {each}" for each in found]
                if found or report.ended_early or report.silent == _SILENT:
                    break
        if not report.differences:
            await asyncio.to_thread(shutil.rmtree, folder, True)
        return report

    async def _step(
        self,
        sides: list[CommandLine | Workflow],
        databases: Mapping[str, Database],
        step: Step,
        report: Report,
        scenario: Scenario,
    ) -> list[str]:
        async def timed(side: CommandLine | Workflow) -> Ended:
            began = time.monotonic()
            ended = await side.run(step, databases[side.name].env)
            report.seconds[side.name] += time.monotonic() - began
            return ended

        theirs, *ours = await asyncio.gather(*(timed(side) for side in sides))
        report.commands[step.command] += 1
        began = time.monotonic()
        relations = {name: await asyncio.to_thread(database.relations) for name, database in databases.items()}
        report.ended_early = any(map(ended_early, (theirs, *ours)))
        report.statuses.update(_statuses(theirs))
        report.silent = 0 if theirs.artifacts else report.silent + 1
        report.shared += max(ended.workers for ended in ours) > 1
        found: list[str] = []
        for side, ended in zip(self.ours, ours, strict=True):
            names = (databases[side].name, databases["cli"].name)
            lines = step_differences(step, ended, theirs, names, in_order=scenario.threads == 1, own=scenario.own)
            if not report.ended_early:
                lines += database_differences(relations[side], relations["cli"], (ended, theirs), names, scenario.own)
            found += [f"{side}: {line}" for line in lines]
        report.seconds["comparing"] += time.monotonic() - began
        return found


def _statuses(ended: Ended) -> list[str]:
    text = ended.artifacts.get("run_results.json")
    return [result["status"] for result in json.loads(text)["results"]] if text else ["no results"]


def _edit(project: Path, step: Step) -> None:
    for name, text in step.edits.items():
        if text is None:
            (project / name).unlink(missing_ok=True)
    write_files(project, {name: text for name, text in step.edits.items() if text is not None})


@asynccontextmanager
async def open_arena(server: Server, clients: Sequence[Client], folder: Path) -> AsyncIterator[Arena]:
    """An arena on a server; workers and dbt end with it."""
    environ = {**base_environment(), **server.env}
    with CommandLine.warm(environ) as dbt:
        async with Workers(clients, environ, folder).working() as workers:
            yield Arena(server, workers, dbt, environ, folder)
