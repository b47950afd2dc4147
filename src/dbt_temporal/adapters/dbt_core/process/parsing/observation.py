"""What dbt reads while it parses, found by watching it: by that a parse is kept or not."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from typing import Any

from dbt.contracts.files import FilePath
from dbt.contracts.graph.manifest import Manifest

from dbt_temporal.adapters.dbt_core.parents.fingerprint import state_of
from dbt_temporal.adapters.dbt_core.parents.parse_key import Covered
from dbt_temporal.adapters.project_files import PACKAGES, source_files, source_folders

_ASKED = frozenset({"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.posix_spawn"})
_EVENTS = _ASKED | {"open", "os.scandir", "os.listdir"}
_IMPORTING = ("importlib", "pkgutil", "tokenize")
"""Modules that read code (the beginnings of their names): that of a worker does not change."""
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_EDITED = "edited while it was parsed"


class Observation:
    """Takes note of the files that Python opens for reading, the folders that it lists, and whether others are asked.

    Attributes:
        states: of files and folders, by absolute path; as of just before they were read, so that an edit meanwhile
            counts as one.
        asked_others: whether a network was used or a program started: what they said is in no file.
    """

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.asked_others = False
        self._listed: set[str] = set()
        self._on = False
        sys.addaudithook(self._hear)  # it cannot be taken back, and stays in the hosts: hence `_on`

    @contextlib.contextmanager
    def switched(self, on: bool) -> Iterator[None]:
        """Takes note within the block, or takes none."""
        before, self._on = self._on, on
        try:
            yield
        finally:
            self._on = before

    def add_records(self, manifest: Manifest) -> None:
        """Adds dbt's own records: in a partial parse it looks at the times of some files, and does not open them."""
        for file in manifest.files.values():
            if isinstance(file.path, FilePath) and file.path.absolute_path not in self.states:
                path = file.path.absolute_path
                same = os.path.exists(path) and os.path.getmtime(path) == file.path.modification_time
                self.states[path] = state_of(path) if same else _EDITED

    def beyond_revision(self, project_dir: str, covered: Covered, cache_dir: str) -> dict[str, str]:
        """The states of what the revision says nothing of; without Python's own files, and ours.

        Args:
            project_dir: where the project lies.
            covered: what the revision stands for.
            cache_dir: what we write, and links to local packages.
        """
        is_covered = _covered_by_revision(project_dir, covered)
        installed = tuple(map(_prefix, (sysconfig.get_path("stdlib"), cache_dir, "/dev", "/proc", "/sys")))
        real_dir = _prefix(os.path.realpath(project_dir))
        watched = {}
        for path, state in self.states.items():
            place = os.path.realpath(path) if path.startswith(_prefix(cache_dir)) else path
            if place.startswith(real_dir):  # dbt knows a project given by a link by its own place
                place = os.path.join(project_dir, place[len(real_dir) :])
            if not _INSTALLED.isdisjoint(place.split(os.sep)) or place.startswith(installed):
                continue
            if not is_covered(place, path in self._listed):
                watched[place] = state
        return watched

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._on or event not in _EVENTS:
            return
        if str(sys._getframe(1).f_globals.get("__name__")).startswith(_IMPORTING):
            return
        if event in _ASKED:
            self.asked_others = True
        elif event != "open":
            self._take_note("." if args[0] is None else args[0], is_listed=True)
        elif args[2] & os.O_ACCMODE == os.O_RDONLY:
            self._take_note(args[0])

    def _take_note(self, path: object, *, is_listed: bool = False) -> None:
        if not isinstance(path, str | bytes | os.PathLike):  # an open file's number
            return
        with self.switched(False):
            place = os.path.abspath(os.fsdecode(path))
            if is_listed:
                self._listed.add(place)
            if place not in self.states:
                self.states[place] = state_of(place)


def _covered_by_revision(project_dir: str, covered: Covered) -> Callable[[str, bool], bool]:
    """Whether the revision stands for a place, of which the second argument says whether it was listed as a folder."""
    if covered == "nothing":
        return lambda *_: False
    if covered == "folder":
        return lambda place, _: place.startswith(_prefix(project_dir))
    files = set(source_files(project_dir, PACKAGES))
    folders = tuple(_prefix(folder) for folder in source_folders(project_dir))
    return lambda place, is_listed: (
        place in files
        or (is_listed and _prefix(place).startswith(folders) and PACKAGES.isdisjoint(place.split(os.sep)))
    )


def _prefix(folder: str) -> str:
    return os.path.join(folder, "")
