"""The files of the projects of `dev`: whether they have changed, and in one line, which."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dbt_temporal.adapters.dbt_core.parents.fingerprint import MISSING, state_of
from dbt_temporal.adapters.project_files import read_files
from dbt_temporal.adapters.project_sources.locations import find_projects

LOOK_SECS = 0.5
LOOK_SHARE = 20.0
"""A look is followed by a pause of at least this many times its own length: large projects are looked at less often."""
MAX_READ_BYTES = 1_000_000
"""A larger file (a seed) has changed when its size or its time has."""
MAX_NAMED = 3


class ProjectFiles:
    """The files that dbt reads of some projects, by what is in them: a save that changes nothing is none.

    Args:
        sources: folders of projects, or that hold projects, and single files, which need not be there.
    """

    def __init__(self, sources: Sequence[Path]) -> None:
        self._sources = sources
        self._known: dict[str, tuple[str, str]] = {}
        self._looking = asyncio.Lock()

    async def now(self) -> Mapping[str, str]:
        """A digest of each file, by its path."""
        async with self._looking:
            return await asyncio.to_thread(self._look)

    async def changed_since(self, before: Mapping[str, str]) -> Mapping[str, str]:
        """Waits until the files are others than before, and nobody saves for a moment. Returns what they are then."""
        last = before
        while True:
            began = time.monotonic()
            now = await self.now()
            if now == last != before:
                return now
            last = now
            await asyncio.sleep(max(LOOK_SECS, LOOK_SHARE * (time.monotonic() - began)))

    def edited(self, before: Mapping[str, str], after: Mapping[str, str]) -> str:
        """What is different, in one line."""
        paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        named = [self._shown(path) + _what(path, before, after) for path in paths[:MAX_NAMED]]
        more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
        return f"Edited: {', '.join(named)}{more}."

    def _look(self) -> dict[str, str]:
        known: dict[str, tuple[str, str]] = {}
        for path in self._paths():
            state = state_of(path)
            if state != MISSING:
                before = self._known.get(path)
                known[path] = before if before is not None and before[0] == state else (state, _digest(path, state))
        self._known = known
        return {path: digest for path, (_, digest) in known.items()}

    def _paths(self) -> Iterator[str]:
        for source in self._sources:
            if source.is_dir():
                for project in _projects(source):
                    yield from read_files(str(project))
            else:
                yield str(source)

    def _shown(self, path: str) -> str:
        """Below the folder of its project; where there are several, with the folder's name."""
        folders = [source for source in self._sources if source.is_dir()]
        for folder in folders:
            own = os.path.join(folder, "")
            if path.startswith(own):
                short = path.removeprefix(own)
                return short if len(folders) == 1 else os.path.join(folder.name, short)
        return path


def _projects(folder: Path) -> list[Path]:
    """Those in a folder, else itself: it may become one."""
    try:
        return find_projects(folder) or [folder]
    except OSError:
        return []


def _digest(path: str, state: str) -> str:
    try:
        if os.path.getsize(path) > MAX_READ_BYTES:
            return state
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return state


def _what(path: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    if path not in before:
        return " (new)"
    return " (gone)" if path not in after else ""
