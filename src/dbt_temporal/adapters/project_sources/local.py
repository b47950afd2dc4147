"""Projects in a folder of this machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

PROJECT_FILE = "dbt_project.yml"
PROFILES_FILE = "profiles.yml"
HOME_PROFILES_DIR = Path("~/.dbt")
"""Where dbt looks for profiles.yml when neither --profiles-dir nor the project's folder has one."""


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

        Args:
            folder: the folder as the user wrote it.
            named_by: the variable that names it, for error messages.
            profiles_dir: DBT_PROFILES_DIR; by default the project's folder, then ~/.dbt.
            target: DBT_TARGET.
            only_subfolders: whether the folder itself is not taken for a project.
        """
        self._folder = Path(folder).expanduser()
        self._written = str(folder)
        self._named_by = named_by
        self._profiles_dir = profiles_dir
        self._target = target
        self._only_subfolders = only_subfolders

    async def locate(self) -> list[ProjectLocation]:
        """Finds the projects. See `ProjectSource.locate`."""
        folders = await asyncio.to_thread(self._project_folders)
        return [self._location(folder) for folder in folders]

    def _project_folders(self) -> list[Path]:
        folder = self._folder.resolve()
        if not folder.exists():
            raise self._error("does not exist")
        if not folder.is_dir():
            raise self._error("is not a folder")
        if (folder / PROJECT_FILE).is_file() and not self._only_subfolders:
            return [folder]
        try:
            found = sorted(child for child in folder.iterdir() if (child / PROJECT_FILE).is_file())
        except OSError as error:
            raise self._error(f"cannot be read ({error.strerror})") from error
        if not found:
            places = "its subfolders" if self._only_subfolders else "it or its subfolders"
            raise self._error(f"holds no dbt project: there is no {PROJECT_FILE} in {places}")
        return found

    def _location(self, folder: Path) -> ProjectLocation:
        return ProjectLocation(
            project_dir=folder,
            profiles_dir=self._profiles_dir.resolve() if self._profiles_dir else default_profiles_dir(folder),
            source=str(folder),
            target=self._target,
        )

    def _error(self, what: str) -> DbtTemporalError:
        return configuration_error(f"{self._named_by}: the folder {self._written!r} {what}")


def default_profiles_dir(project_dir: Path) -> Path:
    """The project's folder, or ~/.dbt where only that has a profiles.yml (dbt's own order)."""
    home = HOME_PROFILES_DIR.expanduser()
    if not (project_dir / PROFILES_FILE).is_file() and os.access(home / PROFILES_FILE, os.R_OK):
        return home
    return project_dir
