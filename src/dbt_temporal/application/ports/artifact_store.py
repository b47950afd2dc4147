"""Where artifacts are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ArtifactStore(Protocol):
    """A place for files, addressed by paths with `/` below one root. Raises ArtifactStore errors, naming the place."""

    async def write(self, path: str, content: bytes) -> str:
        """Writes a file whole (no reader sees half of it) and returns its location for people and tools."""
        ...

    async def upload(self, path: str, file: Path) -> str:
        """The same as `write` for a file of this machine, which does not pass through this process as one piece."""
        ...

    async def read(self, path: str) -> bytes | None:
        """The content of a file below the root, or None where there is none."""
        ...

    async def delete(self, path: str) -> None:
        """Deletes a file or a folder with all below it; nothing happens where there is none."""
        ...
