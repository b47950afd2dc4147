"""Finds and loads all projects of a worker, side by side."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from dbt_temporal.application.ports.engine import DbtEngine, LoadedProject, ProjectLocation
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.project_config import ProjectConfig

Done = TypeVar("Done")


_LACKS_VARIABLE = re.compile(r"Env var required but not provided|Required var '.*' not found in config")
"""The words of dbt-core 1.11 and 1.12 for `env_var()` and `var()` that have neither a value nor a default."""


@dataclass(frozen=True)
class ReadyProject:
    """A project that runs can use: its dbt_temporal.yml is read, and it is parsed or waits for a run.

    Attributes:
        loaded: what is known of it; of a project that waits, its name and location.
        config: its dbt_temporal.yml.
        waits_for: why it could not be parsed when the worker started; a run may bring what is missing, and parses it
            then. None where it is parsed.
    """

    loaded: LoadedProject
    config: ProjectConfig
    waits_for: str | None = None


class LoadProjects:
    """The use case of a worker's start.

    Args:
        sources: where projects come from.
        engine: parses them.
        read_config: reads the dbt_temporal.yml of a folder.
        read_name: the `name` in the dbt_project.yml of a folder; None where it cannot be read.
        check: refuses a location that no engine of this worker is for.
        strict: whether one project that does not parse stops the start.
    """

    def __init__(
        self,
        sources: Sequence[ProjectSource],
        engine: DbtEngine,
        read_config: Callable[[Path], ProjectConfig],
        *,
        read_name: Callable[[Path], str | None] = lambda _: None,
        check: Callable[[ProjectLocation], object] = lambda _: None,
        strict: bool = False,
    ) -> None:
        self._sources = sources
        self._engine = engine
        self._read_config = read_config
        self._read_name = read_name
        self._check = check
        self._strict = strict

    async def __call__(self) -> list[ReadyProject]:
        """All projects of all sources, in the order of the sources. Those that do not parse wait for a run.

        Raises:
            DbtTemporalError: the first problem met: a source, a dbt_temporal.yml, two projects of one name (both
                places named), and where that is strict, a project that does not parse. Also where none parses, and
                none of them for want of a variable, which a run could bring.
        """
        located = await _all([source.locate() for source in self._sources])
        locations = [location for of_source in located for location in of_source]
        configs = [self._read_config(location.project_dir) for location in locations]
        locations = [
            replace(location, engine=config.engine) for location, config in zip(locations, configs, strict=True)
        ]
        for location in locations:
            self._check(location)
        projects = await _all([self._load(*each) for each in zip(locations, configs, strict=True)])
        _refuse_duplicates([project.loaded for project in projects])
        _refuse_hopeless(projects)
        return projects

    async def _load(self, location: ProjectLocation, config: ProjectConfig) -> ReadyProject:
        try:
            return ReadyProject(await self._engine.load_project(location), config)
        except DbtTemporalError as error:
            # dbt's message names the file, but seldom the project.
            message = f"the project {location.source} does not load: {error.message}"
            if self._strict:
                raise DbtTemporalError(error.error_type, message, retryable=error.retryable) from error
            name = await asyncio.to_thread(self._read_name, location.project_dir)
            return ReadyProject(LoadedProject(name or location.source, location), config, waits_for=message)


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
        return replace(project, loaded=replace(project.loaded, location=now), config=config)


def _refuse_duplicates(projects: Sequence[LoadedProject]) -> None:
    places: dict[str, ProjectLocation] = {}
    for project in projects:
        first = places.setdefault(project.name, project.location)
        if first is not project.location:
            raise configuration_error(
                f"two projects are named {project.name!r}: {first.source} and {project.location.source}; "
                "rename one in its dbt_project.yml, or load only one of them"
            )


def _refuse_hopeless(projects: Sequence[ReadyProject]) -> None:
    """A worker that can run nothing, whatever a run brings, would only hide that from whoever deploys it."""
    problems = [project.waits_for for project in projects if project.waits_for is not None]
    if len(problems) == len(projects) and problems and not any(map(_LACKS_VARIABLE.search, problems)):
        raise configuration_error("\n".join(problems))


async def _all(work: Sequence[Coroutine[Any, Any, Done]]) -> list[Done]:
    """Does all of it at once; the first failure cancels the rest, and is told alone."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
