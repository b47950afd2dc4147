"""The engine on dbt v2."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.dbt_v2 import command_line
from dbt_temporal.adapters.dbt_v2.commands import V2Commands, V2Project
from dbt_temporal.adapters.dbt_v2.plan import read_manifest
from dbt_temporal.adapters.dbt_v2.processes.courses import Courses
from dbt_temporal.adapters.dbt_v2.run import DbtV2Run
from dbt_temporal.adapters.dbt_v2.runs.deferral import REFERENCES
from dbt_temporal.adapters.dbt_v2.runs.operations import OPERATIONS, OperationRun
from dbt_temporal.adapters.dbt_v2.runs.selection import beside
from dbt_temporal.adapters.dbt_v2.stage import DepsMode, Stage
from dbt_temporal.adapters.earlier_runs import RetriedRuns
from dbt_temporal.application.ports.engine import EngineRun, LoadedProject, ProjectLocation
from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.application.ports.telemetry import NoTelemetry, ProjectParsed, Telemetry
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.secrets.own_variables import without_own_secrets

CANCEL_SECS = 30.0
SETTLE_SECS = 15.0
"""Longer than other nodes' steps take to hear that their run is cancelled."""


class DbtV2Engine:
    """Implements `DbtEngine`.

    Args:
        cache_dir: everything that dbt writes goes below it; nothing is written into projects.
        binary: DBT_TEMPORAL_V2_BINARY; None for the program on the PATH.
        environ: the environment that runs see below their own; by default the worker's.
        deps: DBT_DEPS.
        references: fetches what a run refers to by URL; without it, only paths are taken.
        telemetry: hears of projects that were parsed.
        cancel_secs, settle_secs: as for `RunCourse`.
    """

    def __init__(
        self,
        cache_dir: Path,
        *,
        binary: str | None = None,
        environ: Mapping[str, str] | None = None,
        deps: DepsMode = "auto",
        references: ArtifactReferences | None = None,
        telemetry: Telemetry | None = None,
        cancel_secs: float = CANCEL_SECS,
        settle_secs: float = SETTLE_SECS,
    ) -> None:
        folder = cache_dir.absolute() / "v2"
        private_copies.mark_cache(folder.parent)
        self._folder = folder
        self._commands = V2Commands(
            binary, without_own_secrets(os.environ if environ is None else environ), folder / "helpers"
        )
        self._stage = Stage(folder / "projects", deps)
        self._courses = Courses(folder / "runs", cancel_secs, settle_secs)
        self._cancel_secs = cancel_secs
        self._references = references
        self._telemetry = NoTelemetry() if telemetry is None else telemetry
        self._retried = RetriedRuns(references, folder / "runs")
        self._tidied = False

    async def prepare(self) -> None:
        """See `DbtEngine`. A process of dbt v2 starts in an instant."""

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        began = time.monotonic()
        await self._tidy()
        project = await self._project(location, {}, None, ())
        with private_copies.unfinished_copy(self._folder / "loads") as folder:
            facts, parsed = await beside(
                self._commands.facts(folder / "facts", project),
                self._commands.run(folder / "parse", ["parse", "--write-json"], project, "parsing"),
            )
            manifest = await asyncio.to_thread(read_manifest, parsed.target)
        seconds = time.monotonic() - began
        self._telemetry.record(ProjectParsed(manifest.project_name, seconds, command_line.NAME, manifest.dbt_version))
        return LoadedProject(
            name=manifest.project_name,
            location=location,
            adapter_type=facts.adapter_type,
            target=facts.name,
            threads=facts.threads,
            engine=command_line.NAME,
            dbt_version=manifest.dbt_version,
            counts=manifest.counts,
            load_seconds=seconds,
        )

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
        if not invocation.taken_over:
            invocation = await self._retried.completed(invocation, location.project_dir)
        run_input = invocation.input
        unresolved = [f"env.{key}" for key, value in run_input.env.items() if not isinstance(value, str)]
        if unresolved:
            raise configuration_error(f"references that nothing resolved: {', '.join(unresolved)}")
        own = {
            **invocation.job,
            "DBT_RUN_STARTED_AT": invocation.started_at,
            **{key: str(value) for key, value in run_input.env.items()},
        }
        command_line.refuse_unsupported(run_input, self._commands.environ(own))
        project = await self._project(location, own, run_input.target, tuple(command_line.variables(run_input)))
        project = replace(project, silence_secs=invocation.silence_secs)
        if run_input.command in OPERATIONS:
            folder = self._courses.folder(invocation.invocation_id)
            return OperationRun(self._commands, folder, invocation, project, self._retried, self._cancel_secs)
        return DbtV2Run(
            self._commands,
            self._courses,
            invocation,
            project,
            await self._referred(location, invocation),
            self._retried,
        )

    async def end_run(self, invocation_id: str) -> None:
        await self._courses.end(invocation_id)

    async def ping(self) -> None:
        """See `DbtEngine`. There is no process that all others need."""

    async def close(self) -> None:
        await self._courses.close()
        await self._commands.close()

    async def _project(
        self, location: ProjectLocation, own: Mapping[str, str], target: str | None, variables: tuple[str, ...]
    ) -> V2Project:
        environ = self._commands.environ(own)

        async def install(folder: Path) -> None:
            uninstalled = V2Project(folder, folder, location.profiles_dir, None, (), environ)
            with private_copies.unfinished_copy(self._folder / "loads") as place:
                await self._commands.run(place / "deps", ["deps"], uninstalled, "installing packages")

        return V2Project(
            copy=await self._stage.copy_of(location, install),
            folder=location.project_dir.absolute(),
            profiles_dir=location.profiles_dir.absolute(),
            target=self._commands.target(own, target, location.target),
            variables=variables,
            environ=environ,
        )

    async def _referred(self, location: ProjectLocation, invocation: DbtInvocation) -> dict[str, Path]:
        """The folders of the artifacts that the input names, on this machine."""
        found: dict[str, Path] = {}
        for field in REFERENCES:
            reference = getattr(invocation.input, field)
            if reference is None:
                continue
            folder = self._courses.folder(invocation.invocation_id) / field
            if self._references is not None:
                reference = await self._references.fetch(field, reference, folder)
            place = location.project_dir / reference
            found[field] = place.parent if place.suffix == ".json" else place
        return found

    async def _tidy(self) -> None:
        if not self._tidied:
            self._tidied = True
            await asyncio.to_thread(self._stage.remove_unused)
            loads = self._folder / "loads"
            await asyncio.to_thread(loads.mkdir, parents=True, exist_ok=True, mode=0o700)
            await asyncio.to_thread(private_copies.remove_unused, loads)
            await asyncio.to_thread(self._courses.remove_old)
