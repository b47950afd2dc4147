"""The files of a project that dbt parses, and a revision made from them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_GENERATED_ANYWHERE = frozenset({".git", "__pycache__"})
_GENERATED_BESIDE_PROJECT = frozenset({".venv", "logs", "target", "venv"})
"""Folders that hold what tools made; deeper down, people give their models' folders such names."""
PROJECT_FILE = "dbt_project.yml"
PROFILES_FILE = "profiles.yml"
PACKAGES = frozenset({"dbt_packages", "dbt_modules"})
"""Folders of installed packages: what is in them follows from packages.yml and package-lock.yml."""
SUFFIXES = frozenset({".csv", ".md", ".py", ".sql", ".yaml", ".yml"})
_NOT_SOURCE = frozenset({".user.yml"})
"""dbt's anonymous user id, which its command line writes beside profiles.yml."""


def is_generated(folder: str, beside_project: bool) -> bool:
    """Whether a folder of this name holds what tools made; `beside_project` says that it lies beside a project file."""
    return folder in _GENERATED_ANYWHERE or (beside_project and folder in _GENERATED_BESIDE_PROJECT)


def source_files(folder: str, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Paths of the files below `folder` that dbt may parse, in no order; folders named in `without` are left out."""
    for root, folders, names in os.walk(folder):
        beside = root == folder or PROJECT_FILE in names
        folders[:] = [name for name in folders if name not in without and not is_generated(name, beside)]
        for name in names:
            if os.path.splitext(name)[1] in SUFFIXES and name not in _NOT_SOURCE:
                yield os.path.join(root, name)


def content_revision(folder: Path) -> str:
    """A revision by content: the same on every machine that has the same files, whatever their times and owners.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    base = str(folder)
    for path in sorted(source_files(base, PACKAGES)):
        if not os.path.isfile(path):  # a dangling link, a socket
            continue
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{os.path.relpath(path, base)}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:40]
