"""An artifact store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from dbt_temporal.application.ports.artifact_store import StoredFile
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType


class InMemoryArtifactStore:
    """Implements `ArtifactStore`. Paths that begin with one of `broken` raise ArtifactStore errors."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken: list[str] = []

    async def write(self, path: str, content: bytes) -> str:
        """Keeps a file."""
        self._check(path)
        self.files[path] = content
        return self.location(path)

    def location(self, path: str) -> str:
        """A URL that nothing else reads."""
        return f"memory://{path}"

    async def upload(self, path: str, file: Path) -> str:
        """Keeps what a file of this machine holds."""
        try:
            content = await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            raise DbtTemporalError(ErrorType.ARTIFACT_STORE, f"memory://{path}: {error}") from error
        return await self.write(path, content)

    async def copy(self, source: str, path: str) -> bool:
        """Copies a file, by `write`."""
        content = await self.read(source)
        if content is None:
            return False
        await self.write(path, content)
        return True

    async def read(self, path: str) -> bytes | None:
        """A file's content, or None."""
        self._check(path)
        return self.files.get(path)

    async def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """The contents of those files that there are and that can be read."""
        return {path: self.files[path] for path in paths if path in self.files and not self._is_broken(path)}

    async def list_files(self, folder: str) -> list[StoredFile]:
        """The files of a folder, the one that was written first being the oldest."""
        self._check(folder)
        return [
            StoredFile(path, len(content), float(number))
            for number, (path, content) in enumerate(self.files.items())
            if path.startswith(f"{folder}/")
        ]

    async def list_folders(self, folder: str) -> list[str]:
        """The folders right below one, or below the root."""
        self._check(folder)
        above = f"{folder}/" if folder else ""
        below = [path.removeprefix(above) for path in self.files if path.startswith(above)]
        return list(dict.fromkeys(path.partition("/")[0] for path in below if "/" in path))

    async def delete_file(self, path: str) -> None:
        """Deletes a file."""
        self._check(path)
        self.files.pop(path, None)

    async def delete(self, path: str) -> None:
        """Deletes a file or a folder."""
        self._check(path)
        for known in list(self.files):
            if known == path or known.startswith(f"{path}/"):
                del self.files[known]

    def _is_broken(self, path: str) -> bool:
        return any(path.startswith(prefix) for prefix in self.broken)

    def _check(self, path: str) -> None:
        if self._is_broken(path):
            raise DbtTemporalError(ErrorType.ARTIFACT_STORE, f"memory://{path}: the store is told to fail")
