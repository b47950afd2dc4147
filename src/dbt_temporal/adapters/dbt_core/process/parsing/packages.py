"""Packages of a project, installed by dbt's own task into a private folder where the project has not got them.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `DepsTask`, `LocalPinnedPackage.resolve_path`,
`Project.packages_install_path`, `RuntimeConfig._get_project_directories` (whose rule of what is installed is ours).
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbt.cli.flags import Flags
from dbt.cli.types import Command
from dbt.config.project import Project
from dbt.constants import PACKAGE_LOCK_FILE_NAME
from dbt.deps.local import LocalPinnedPackage
from dbt.task.deps import DepsTask
from dbt_common.clients.system import resolve_path_from_base

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.dbt_core.process.bootstrap import Settings
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

_PROJECT_FILE = "dbt_project.yml"
_INSTALLED = "packages"
_KEPT_SECS = 7 * 24 * 3600.0


def provide_packages(project: Project, settings: Settings, how: Mapping[str, str]) -> None:
    """Points a project to its packages, which are installed if need be; nothing is written into the project.

    Args:
        project: the project as loaded; its `packages_install_path` is set where a private folder is used.
        settings: where it lies.
        how: `mode` is DBT_DEPS, `folder` holds all private folders, `install` tells apart what must not be shared.

    Raises:
        DbtTemporalError: of type Configuration, with dbt's message.
    """
    packages = project.packages.packages
    if how["mode"] == "never" or not packages:
        return
    if how["mode"] == "auto" and _installed(project) >= len(packages):
        return
    folder = Path(how["folder"])
    installed = folder / _key(project, how["install"])
    if not private_copies.use_copy(installed):
        print(f"installing the packages of {project.project_name}", flush=True)
        with private_copies.unfinished_copy(folder) as new:
            _install(project, settings, new)
            private_copies.publish(new, installed)
        private_copies.remove_unused(folder, _KEPT_SECS)
    project.packages_install_path = str(installed / _INSTALLED)


def _installed(project: Project) -> int:
    """How many packages there are, by the rule of dbt's own check when it parses."""
    folder = Path(project.project_root) / project.packages_install_path
    return sum(path.is_dir() and not path.name.startswith("__") for path in folder.iterdir()) if folder.is_dir() else 0


def _key(project: Project, install: str) -> str:
    """What the packages follow from: the rendered packages.yml, the lock file, and where paths of `local:` start."""
    lock = Path(project.project_root) / PACKAGE_LOCK_FILE_NAME
    packages = [json.dumps(package.to_dict(), sort_keys=True, default=str) for package in project.packages.packages]
    locked = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    parts = [version("dbt-core"), str(project.project_root), install, locked, *packages]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _install(project: Project, settings: Settings, folder: Path) -> None:
    root = Path(project.project_root)
    # dbt looks for the project's file there, and writes the lock file beside it.
    for name in (_PROJECT_FILE, PACKAGE_LOCK_FILE_NAME):
        if (root / name).is_file():
            shutil.copyfile(root / name, folder / name)
    private = copy.copy(project)
    private.project_root = str(folder)
    private.packages_install_path = str(folder / _INSTALLED)
    options: dict[str, Any] = {"project_dir": str(folder), "profiles_dir": settings.profiles_dir}
    if settings.vars:
        options["vars"] = json.dumps(dict(settings.vars))
    with _back_to_this_folder(), _no_questions(), _local_packages_from(str(root)):
        try:
            DepsTask(Flags.from_dict(Command.DEPS, options), private).run()
        except DbtTemporalError:
            raise
        except Exception as error:
            raise configuration_error(
                f"the packages of {project.project_name} ({root / project.packages_specified_path}) "
                f"could not be installed: {error}"
            ) from error


@contextlib.contextmanager
def _back_to_this_folder() -> Iterator[None]:
    """DepsTask changes the current folder."""
    here = Path.cwd()
    try:
        yield
    finally:
        os.chdir(here)


@contextlib.contextmanager
def _no_questions() -> Iterator[None]:
    """Nobody is there to type a password for git."""
    before = dict(os.environ)
    os.environ.update(GIT_TERMINAL_PROMPT="0", GIT_ASKPASS="")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _local_packages_from(root: str) -> Iterator[None]:
    """Paths of `local:` packages start at the project itself, not at the private folder."""
    own = LocalPinnedPackage.resolve_path
    LocalPinnedPackage.resolve_path = lambda self, _: resolve_path_from_base(self.local, root)
    try:
        yield
    finally:
        LocalPinnedPackage.resolve_path = own
