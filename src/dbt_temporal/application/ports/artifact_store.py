"""Where artifacts are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class StoredFile:
    """A file below the root: its path, its size in bytes, and when it was written, in seconds since 1970."""

    path: str
    size: int
    modified: float


class ArtifactStore(Protocol):
    """A place for files, addressed by paths with `/` below one root. Raises ArtifactStore errors, naming the place."""

    async def write(self, path: str, content: bytes) -> str:
        """Writes a file whole (no reader sees half of it) and returns its location for people and tools."""

    async def upload(self, path: str, file: Path) -> str:
        """Copies a file of this machine whole, without holding all of it, and returns its location like `write`."""

    async def copy(self, source: str, path: str) -> bool:
        """Copies a file below the root whole, within the store; returns whether there is such a file."""

    def location(self, path: str) -> str:
        """Where people, tools and later runs find what lies under a path, as `write` returns it."""

    async def read(self, path: str) -> bytes | None:
        """The content of a file below the root, or None where there is none."""

    async def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """The contents of many files by their paths, read in the way that is fastest for the store.

        Files that are not there are left out. So are those that cannot be read; they raise no error and are logged.
        """

    async def list_files(self, folder: str) -> list[StoredFile]:
        """All files below a folder, in no order; none where there is no such folder."""

    async def list_folders(self, folder: str) -> list[str]:
        """The names of the folders that lie right below a folder (an empty text: below the root), in no order."""

    async def delete_file(self, path: str) -> None:
        """Deletes a file, and never a folder; nothing happens where there is none."""

    async def delete(self, path: str) -> None:
        """Deletes a file or a folder with all below it; nothing happens where there is none."""
