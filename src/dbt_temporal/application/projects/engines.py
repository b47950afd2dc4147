"""Several engines behind one port: each project has its own."""

from __future__ import annotations

from collections.abc import Mapping

from dbt_temporal.application.ports.engine import DbtEngine, EngineRun, LoadedProject, ProjectLocation
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.invocation import DbtInvocation


class EngineByProject:
    """A `DbtEngine` that hands each project to the engine that it names.

    Args:
        engines: by the name that `engine` in dbt_temporal.yml gives.
        default: the name of the engine of projects that name none.
    """

    def __init__(self, engines: Mapping[str, DbtEngine], default: str) -> None:
        self._engines = engines
        self._default = default

    async def prepare(self) -> None:
        for engine in self._engines.values():
            await engine.prepare()

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        return await self.engine_of(location).load_project(location)

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
        return await self.engine_of(location).open(location, invocation)

    async def end_run(self, invocation_id: str) -> None:
        """See `DbtEngine.end_run`. A project may name another engine by now, so all of them are told."""
        for engine in self._engines.values():
            await engine.end_run(invocation_id)

    async def ping(self) -> None:
        for engine in self._engines.values():
            await engine.ping()

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()

    def engine_of(self, location: ProjectLocation) -> DbtEngine:
        """The engine of a project. Raises Configuration where this worker does not have it."""
        name = location.engine or self._default
        engine = self._engines.get(name)
        if engine is None:
            known = ", ".join(sorted(self._engines))
            raise configuration_error(f"dbt_temporal.yml: `engine`: this worker has no {name!r} (it has: {known})")
        return engine
