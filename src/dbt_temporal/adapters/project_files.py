"""The files of a project that dbt parses, and a revision made from them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

GENERATED = frozenset({".git", ".venv", "__pycache__", "logs", "target", "venv"})
"""Folders that hold what tools made, never what a person wrote."""
PACKAGES = frozenset({"dbt_packages", "dbt_modules"})
"""Folders of installed packages: what is in them follows from packages.yml and package-lock.yml."""
SUFFIXES = frozenset({".csv", ".md", ".py", ".sql", ".yaml", ".yml"})
_NOT_SOURCE = frozenset({".user.yml"})
"""dbt's anonymous user id, which its command line writes beside profiles.yml."""


def source_files(folder: str, without: frozenset[str] = GENERATED) -> Iterator[str]:
    """Paths of the files below `folder` that dbt may parse, in no order; folders named in `without` are left out."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
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
    for path in sorted(source_files(base, GENERATED | PACKAGES)):
        if not os.path.isfile(path):  # a dangling link, a socket
            continue
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{os.path.relpath(path, base)}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:40]
