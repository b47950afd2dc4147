"""Whether a project without a revision has changed: by size and time of its files, without reading them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

_NOT_SOURCE = frozenset({".git", ".venv", "__pycache__", "logs", "target", "venv"})
_SUFFIXES = frozenset({".csv", ".md", ".py", ".sql", ".yaml", ".yml"})


def fingerprint(*folders: str) -> str:
    """A digest that changes when a file that dbt parses changes, comes or goes."""
    digest = hashlib.sha256()
    for folder in dict.fromkeys(folders):
        for path, size, modified in sorted(_files(folder)):
            digest.update(f"{path}\0{size}\0{modified}\n".encode())
    return digest.hexdigest()[:24]


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_SOURCE]
        for name in names:
            if os.path.splitext(name)[1] in _SUFFIXES:
                path = os.path.join(root, name)
                try:
                    status = os.stat(path)
                except OSError:
                    continue
                yield path, status.st_size, status.st_mtime_ns
