"""Projects in a folder of this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dbt_temporal.adapters.project_files import PROJECT_FILE, content_revision
from dbt_temporal.adapters.project_sources.locations import ProjectUse, absolute, find_projects
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error


async def current_revision(project: Path) -> str:
    """The revision of a project's files as they are now.

    Raises:
        DbtTemporalError: of type Configuration: they cannot be read.
    """
    try:
        return await asyncio.to_thread(content_revision, project)
    except OSError as error:
        raise configuration_error(f"the project in {project} cannot be read: {error}") from error


class LocalFolder:
    """A folder that is a project, or that holds projects in its subfolders (one level down)."""

    def __init__(
        self,
        folder: str | Path,
        *,
        named_by: str,
        profiles_dir: Path | None = None,
        target: str | None = None,
        only_subfolders: bool = False,
    ) -> None:
        """A source.

        `named_by` is the variable that names the folder, for messages; `profiles_dir` and `target` are DBT_PROFILES_DIR
        and DBT_TARGET. With `only_subfolders`, the folder itself is not taken for a project.
        """
        self._folder = Path(folder).expanduser()
        self._written = str(folder)
        self._named_by = named_by
        self._use = ProjectUse(profiles_dir, target)
        self._only_subfolders = only_subfolders

    async def locate(self) -> list[ProjectLocation]:
        return await asyncio.to_thread(self._locations)

    def _locations(self) -> list[ProjectLocation]:
        folder = absolute(self._folder)
        if not folder.exists():
            raise self._error("does not exist")
        if not folder.is_dir():
            raise self._error("is not a folder")
        try:
            locations = [
                self._use.location(project, str(project), content_revision(project), changeable=True)
                for project in find_projects(folder, only_subfolders=self._only_subfolders)
            ]
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            raise self._error(f"cannot be read ({error.strerror}{where})") from error
        if not locations:
            places = "its subfolders" if self._only_subfolders else "it or its subfolders"
            raise self._error(f"holds no dbt project: there is no {PROJECT_FILE} in {places}")
        return locations

    def _error(self, what: str) -> DbtTemporalError:
        return configuration_error(f"{self._named_by}: the folder {self._written!r} {what}")
