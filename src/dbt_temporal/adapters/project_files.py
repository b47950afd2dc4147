"""The files of a project that dbt parses, and a revision made from them."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_GENERATED_ANYWHERE = frozenset({".git", "__pycache__"})
_GENERATED_BESIDE_PROJECT = frozenset({".venv", "logs", "target", "venv"})
"""Folders that hold what tools made; deeper down, people give their models' folders such names."""
PROJECT_FILE = "dbt_project.yml"
PROFILES_FILE = "profiles.yml"
PACKAGES = frozenset({"dbt_packages", "dbt_modules"})
"""Folders of installed packages: what is in them follows from packages.yml and package-lock.yml."""
SUFFIXES = frozenset({".csv", ".md", ".py", ".sql", ".yaml", ".yml"})
_PACKAGE_FILES = ("packages.yml", "dependencies.yml")
_PATHS = {
    "analysis-paths": "analyses",
    "function-paths": "functions",
    "macro-paths": "macros",
    "model-paths": "models",
    "seed-paths": "seeds",
    "snapshot-paths": "snapshots",
    "test-paths": "tests",
}
"""dbt's names for the folders of a project, and their defaults (dbt/config/project.py; dbt-core 1.11 and 1.12)."""
CACHE_MARK = "CACHEDIR.TAG"
"""Is in a folder that is a cache, as that of a worker whose user has the project's folder as home."""
_IGNORE_FILE = ".dbtignore"
_NOT_SOURCE = frozenset({".user.yml"})
"""dbt's anonymous user id, which its command line writes beside profiles.yml."""


def without_generated(paths: Iterable[str]) -> list[str]:
    """Of paths of files (with `/`, below one folder, which may be a project itself), those that no tool made."""
    paths = list(paths)
    projects = {path.rpartition("/")[0] for path in paths if path.rpartition("/")[2] == PROJECT_FILE} | {""}

    def generated(path: str) -> bool:
        folders = path.split("/")[:-1]
        return any(is_generated(name, "/".join(folders[:depth]) in projects) for depth, name in enumerate(folders))

    return [path for path in paths if not generated(path)]


def is_generated(folder: str, beside_project: bool) -> bool:
    """Whether a folder of this name holds what tools made; `beside_project` says that it lies beside a project file."""
    return folder in _GENERATED_ANYWHERE or (beside_project and folder in _GENERATED_BESIDE_PROJECT)


def is_source(name: str) -> bool:
    """Whether dbt may parse a file of this name; it matches suffixes without regard to case."""
    return name == _IGNORE_FILE or (os.path.splitext(name)[1].lower() in SUFFIXES and name not in _NOT_SOURCE)


def source_files(
    folder: str, without: frozenset[str] = frozenset(), onerror: Callable[[OSError], None] | None = None
) -> Iterator[str]:
    """Paths of the files of the project in `folder` that dbt may parse, in no order.

    They lie below it, in folders that links lead to, and in folders outside of it that the project names. Folders whose
    names are in `without` are left out, those that dbt writes to, and caches. What to do about a folder that cannot be
    listed is up to `onerror`; by default it counts as empty.
    """
    project = _yaml(os.path.join(folder, PROJECT_FILE))
    written = {os.path.join(folder, path) for key in ("target-path", "log-path") for path in _paths(project.get(key))}
    for place in source_folders(folder):
        for root, folders, names in os.walk(place, onerror=onerror, followlinks=True):
            if root != place and CACHE_MARK in names:
                folders.clear()
                continue
            beside = root == place or PROJECT_FILE in names
            folders[:] = [
                name
                for name in folders
                if name not in without
                and not is_generated(name, beside)
                and os.path.join(root, name) not in written
                and not _leads_back(place, root, name)
            ]
            yield from (os.path.join(root, name) for name in names if is_source(name))


def read_files(folder: str) -> Iterator[str]:
    """Of the files of a project, those that dbt reads, or a plugin of it may: in the folders that the project names, of
    its packages, and YAML beside dbt_project.yml.

    A README, scripts and what belongs to CI are `source_files`, too, as only dbt could tell.
    """
    project = _yaml(os.path.join(folder, PROJECT_FILE))
    named = [path for key, default in _PATHS.items() for path in _paths(project.get(key, default))]
    named += [path for key, value in project.items() if str(key).endswith("-paths") for path in _paths(value)]
    named += [*PACKAGES, *_local_packages(folder)]
    places = tuple(os.path.join(os.path.normpath(os.path.join(folder, path)), "") for path in named)
    own = os.path.join(folder, "")
    for path in source_files(folder):
        if path.startswith(places) or not path.startswith(own) or _is_read_beside_project(path.removeprefix(own)):
            yield path


def _is_read_beside_project(name: str) -> bool:
    if os.sep in name:
        return False
    return name == _IGNORE_FILE or (name.lower().endswith((".yml", ".yaml")) and not name.startswith("."))


def source_folders(folder: str) -> list[str]:
    """The project's folder, and those outside of it that it names: of models, macros, ..., and of local packages."""
    project = _yaml(os.path.join(folder, PROJECT_FILE))
    named = [path for key, value in project.items() if str(key).endswith("-paths") for path in _paths(value)]
    named += _local_packages(folder)
    places = {os.path.normpath(os.path.join(folder, path)) for path in named}
    own = os.path.join(folder, "")
    return [folder, *sorted(place for place in places if not os.path.join(place, "").startswith(own))]


def _local_packages(folder: str) -> list[str]:
    named: list[str] = []
    for name in _PACKAGE_FILES:
        packages = _yaml(os.path.join(folder, name)).get("packages")
        listed = packages if isinstance(packages, list) else []
        named += _paths([package.get("local") for package in listed if isinstance(package, dict)])
    return named


def _leads_back(place: str, root: str, name: str) -> bool:
    """Whether a folder is a link to one that it lies in itself: there would be no end to it."""
    path = os.path.join(root, name)
    if not os.path.islink(path):
        return False
    there = os.path.join(os.path.realpath(path), "")
    while not os.path.join(os.path.realpath(root), "").startswith(there):
        if root == place:
            return False
        root = os.path.dirname(root)
    return True


def _paths(values: object) -> list[str]:
    """The paths among `values`; one with Jinja is passed over."""
    listed = values if isinstance(values, list) else [values]
    return [os.path.normpath(value) for value in listed if isinstance(value, str) and "{" not in value]


def _yaml(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            content: Any = yaml.safe_load(file)
    except (OSError, ValueError, yaml.YAMLError):  # dbt says what is wrong with it
        return {}
    return content if isinstance(content, dict) else {}


def content_revision(folder: Path) -> str:
    """A revision by content: the same on every machine that has the same files, whatever their times and owners.

    Raises:
        OSError: the folder or a file cannot be read, or there is no dbt_project.yml.
    """
    digest = hashlib.sha256()
    base = str(folder)
    if not (folder / PROJECT_FILE).is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder / PROJECT_FILE))

    def refuse(error: OSError) -> None:
        # dbt passes over folders below that it may not list: a database's own, for example.
        if error.filename == base or not isinstance(error, PermissionError | FileNotFoundError):
            raise error

    for path in sorted(set(source_files(base, PACKAGES, refuse))):
        if not os.path.isfile(path):  # a dangling link, a socket
            continue
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{os.path.relpath(path, base)}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:40]
