"""Finds and loads all projects of a worker, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from dbt_temporal.application.ports.engine import DbtEngine, LoadedProject, ProjectLocation
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.project_config import ProjectConfig

Done = TypeVar("Done")


@dataclass(frozen=True)
class ReadyProject:
    """A project that runs can use: parsed, and its dbt_temporal.yml read."""

    loaded: LoadedProject
    config: ProjectConfig


class LoadProjects:
    """The use case of a worker's start."""

    def __init__(
        self,
        sources: Sequence[ProjectSource],
        engine: DbtEngine,
        read_config: Callable[[Path], ProjectConfig],
    ) -> None:
        self._sources = sources
        self._engine = engine
        self._read_config = read_config

    async def __call__(self) -> list[ReadyProject]:
        """All projects of all sources, in the order of the sources.

        Raises:
            DbtTemporalError: the first problem met: a source, a dbt_temporal.yml, a project that does not parse, or
                two projects of one name (both places named).
        """
        located = await _all([source.locate() for source in self._sources])
        locations = [location for of_source in located for location in of_source]
        configs = [self._read_config(location.project_dir) for location in locations]
        loaded = await _all(
            [
                self._load(replace(location, engine=config.engine))
                for location, config in zip(locations, configs, strict=True)
            ]
        )
        _refuse_duplicates(loaded)
        return [ReadyProject(project, config) for project, config in zip(loaded, configs, strict=True)]

    async def _load(self, location: ProjectLocation) -> LoadedProject:
        try:
            return await self._engine.load_project(location)
        except DbtTemporalError as error:
            # dbt's message names the file, but seldom the project.
            message = f"the project {location.source} does not load: {error.message}"
            raise DbtTemporalError(error.error_type, message, retryable=error.retryable) from error


class RereadProject:
    """Looks whether the files of a project were edited since they were read last, where that may be."""

    def __init__(
        self, revision_of: Callable[[Path], Awaitable[str]], read_config: Callable[[Path], ProjectConfig]
    ) -> None:
        self._revision_of = revision_of
        self._read_config = read_config

    async def __call__(self, project: ReadyProject) -> ReadyProject:
        """The project with the revision and the dbt_temporal.yml that its folder has now. Nothing is parsed.

        Raises:
            DbtTemporalError: of type Configuration: the folder cannot be read, or its dbt_temporal.yml is wrong.
        """
        location = project.loaded.location
        if not location.changeable:
            return project
        revision = await self._revision_of(location.project_dir)
        if revision == location.revision:
            return project
        config = self._read_config(location.project_dir)
        now = replace(location, revision=revision, engine=config.engine)
        return ReadyProject(replace(project.loaded, location=now), config)


def _refuse_duplicates(projects: Sequence[LoadedProject]) -> None:
    places: dict[str, ProjectLocation] = {}
    for project in projects:
        first = places.setdefault(project.name, project.location)
        if first is not project.location:
            raise configuration_error(
                f"two projects are named {project.name!r}: {first.source} and {project.location.source}; "
                "rename one in its dbt_project.yml, or load only one of them"
            )


async def _all(work: Sequence[Coroutine[Any, Any, Done]]) -> list[Done]:
    """Does all of it at once; the first failure cancels the rest, and is told alone."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
