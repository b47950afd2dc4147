"""Notices that files of a dbt project have changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

WATCHED_SUFFIXES = frozenset({".sql", ".py", ".yml", ".yaml", ".md", ".csv"})
"""The kinds of files that dbt reads of a project. Databases and logs that lie beside them change all the time."""
UNWATCHED_FOLDERS = frozenset({"target", "logs", "node_modules", "__pycache__", "venv"})
"""Folders below a project that hold no sources of it, beside all whose name begins with a dot."""

FileStates = dict[str, tuple[int, int]]
"""Path to (time of last change in ns, size in bytes)."""


class ProjectWatch:
    """Compares the files of some folders with how they were before."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = sorted({folder.resolve() for folder in folders})
        self._states = self._look()

    def changes(self) -> list[str]:
        """Paths that were added, changed or removed since the last call, sorted."""
        before, self._states = self._states, self._look()
        touched = {path for path, state in self._states.items() if before.get(path) != state}
        return sorted(touched | (before.keys() - self._states.keys()))

    def _look(self) -> FileStates:
        return {path: state for folder in self._folders for path, state in _file_states(folder)}


def _file_states(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for parent, subfolders, names in os.walk(folder, followlinks=False):
        subfolders[:] = [name for name in subfolders if name not in UNWATCHED_FOLDERS and not name.startswith(".")]
        for name in names:
            if os.path.splitext(name)[1] not in WATCHED_SUFFIXES:
                continue
            path = os.path.join(parent, name)
            try:
                status = os.stat(path)
            except FileNotFoundError:
                # Deleted since the folder was listed, or a dangling link.
                continue
            yield path, (status.st_mtime_ns, status.st_size)
