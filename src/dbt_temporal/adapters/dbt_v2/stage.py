"""Private copies of projects: dbt v2 writes into the folder that it runs in (a line of .gitignore, installed packages).

A copy is of one revision and stays, so all processes of a run have the same files, whatever is edited meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import yaml

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.project_files import PACKAGES, PROJECT_FILE, content_revision, source_files, source_folders
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

DepsMode = Literal["auto", "always", "never"]
_PACKAGE_FILES = ("packages.yml", "dependencies.yml")
_KEPT_SECS = 24 * 3600.0

Install = Callable[[Path], Awaitable[None]]
"""Installs the packages of the project in a folder, there."""


class Stage:
    """The copies of a worker, below `folder`; several workers may share them."""

    def __init__(self, folder: Path, deps: DepsMode) -> None:
        self._folder = folder
        self._deps = deps
        self._ready: dict[ProjectLocation, tuple[Path, Path]] = {}
        self._lock = asyncio.Lock()

    async def copy_of(self, location: ProjectLocation, install: Install) -> Path:
        """The copy of a project, made where there is none yet.

        Raises:
            DbtTemporalError: Configuration where the files cannot be read; ProjectNotFound, retryable, where they have
                another revision by now; what `install` raises.
        """
        if (ready := self._ready.get(location)) is not None:  # another project's packages may be on their way
            copy, inside = ready
            private_copies.note_use(copy)
            return copy / inside
        async with self._lock:
            ready = self._ready.get(location)
            if ready is not None:
                return ready[0] / ready[1]
            key, inside = await asyncio.to_thread(_key_of, location)
            copy = self._folder / key
            if not await asyncio.to_thread(private_copies.use_copy, copy):
                await self._make(location, copy, inside, install)
            if location.revision is not None:
                self._ready[location] = copy, inside
            return copy / inside

    def remove_unused(self) -> None:
        """Removes copies that no worker has used for a day."""
        if self._folder.is_dir():
            private_copies.remove_unused(self._folder, _KEPT_SECS)

    async def _make(self, location: ProjectLocation, copy: Path, inside: Path, install: Install) -> None:
        with private_copies.unfinished_copy(self._folder) as unfinished:
            project = unfinished / inside
            try:
                await asyncio.to_thread(_copy_files, location.project_dir, project)
                revision = await asyncio.to_thread(content_revision, project) if location.changeable else None
            except OSError as error:
                raise configuration_error(f"the project {location.source or location.project_dir}: {error}") from error
            if revision != (location.revision if location.changeable else None):
                raise DbtTemporalError(
                    ErrorType.PROJECT_NOT_FOUND,
                    f"the project {location.source or location.project_dir} has another revision by now than "
                    f"{location.revision}",
                    retryable=True,
                )
            if self._deps == "always" or (self._deps == "auto" and _lacks_packages(project)):
                await install(project)
            private_copies.publish(unfinished, copy)


def read_project_file(project: Path) -> dict[str, Any]:
    """The dbt_project.yml of a folder, as it is written; empty where it cannot be read: dbt says why."""
    try:
        content = yaml.safe_load((project / PROJECT_FILE).read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _key_of(location: ProjectLocation) -> tuple[str, Path]:
    """A name of the copy, and where the project lies in it: as deep as it names folders outside of itself."""
    folder = location.project_dir.absolute()
    try:
        revision = location.revision or content_revision(folder)
    except OSError as error:
        raise configuration_error(f"the project {location.source or folder}: {error}") from error
    ups = [os.path.relpath(place, folder).split(os.sep).count("..") for place in source_folders(str(folder))]
    depth = max([1, *ups])
    packages = [(name, (folder / name).stat().st_mtime_ns) for name in sorted(PACKAGES) if (folder / name).is_dir()]
    digest = hashlib.sha256(repr((str(folder), revision, packages)).encode()).hexdigest()[:32]
    return digest, Path(*folder.parts[-depth:]) if len(folder.parts) > depth else Path(*folder.parts[1:])


def _copy_files(folder: Path, target: Path) -> None:
    base = str(folder.absolute())
    target.mkdir(parents=True)
    for place in sorted(set(source_files(base))):
        if not os.path.isfile(place):
            continue
        copy = Path(os.path.normpath(target / os.path.relpath(place, base)))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, copy)


def _lacks_packages(project: Path) -> bool:
    names_some = any(
        isinstance(listed, list) and listed for listed in (_packages_of(project / name) for name in _PACKAGE_FILES)
    )
    return names_some and not any((project / name).is_dir() for name in PACKAGES)


def _packages_of(file: Path) -> Any:
    try:
        content = yaml.safe_load(file.read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return content.get("packages") if isinstance(content, dict) else None
