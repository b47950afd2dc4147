"""The files of a project that dbt parses, and a revision made from them."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
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
_IGNORE_FILE = ".dbtignore"
_NOT_SOURCE = frozenset({".user.yml"})
"""dbt's anonymous user id, which its command line writes beside profiles.yml."""


def is_generated(folder: str, beside_project: bool) -> bool:
    """Whether a folder of this name holds what tools made; `beside_project` says that it lies beside a project file."""
    return folder in _GENERATED_ANYWHERE or (beside_project and folder in _GENERATED_BESIDE_PROJECT)


def source_files(
    folder: str, without: frozenset[str] = frozenset(), onerror: Callable[[OSError], None] | None = None
) -> Iterator[str]:
    """Paths of the files below `folder` that dbt may parse, in no order.

    Folders named in `without` are left out, and those that dbt writes to. What to do about a folder that cannot be
    listed is up to `onerror`; by default it counts as empty.
    """
    written = _written_to(folder)
    for root, folders, names in os.walk(folder, onerror=onerror):
        beside = root == folder or PROJECT_FILE in names
        folders[:] = [
            name
            for name in folders
            if name not in without and not is_generated(name, beside) and os.path.join(root, name) not in written
        ]
        for name in names:
            if name == _IGNORE_FILE or (os.path.splitext(name)[1] in SUFFIXES and name not in _NOT_SOURCE):
                yield os.path.join(root, name)


def _written_to(folder: str) -> set[str]:
    """The `target-path` and `log-path` of the project in `folder`; one with Jinja is passed over."""
    try:
        with open(os.path.join(folder, PROJECT_FILE), "rb") as file:
            project: Any = yaml.safe_load(file)
    except (OSError, ValueError, yaml.YAMLError):  # dbt says what is wrong with it
        return set()
    values = [project.get(key) for key in ("target-path", "log-path")] if isinstance(project, dict) else []
    paths = [os.path.normpath(value) for value in values if isinstance(value, str) and "{" not in value]
    return {os.path.join(folder, path) for path in paths}


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

    for path in sorted(source_files(base, PACKAGES, refuse)):
        if not os.path.isfile(path):  # a dangling link, a socket
            continue
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{os.path.relpath(path, base)}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:40]
