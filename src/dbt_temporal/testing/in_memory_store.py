"""An artifact store in memory."""

from __future__ import annotations

from pathlib import Path

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
        return f"memory://{path}"

    async def upload(self, path: str, file: Path) -> str:
        """Keeps a file of this machine."""
        return await self.write(path, file.read_bytes())  # noqa: ASYNC240 -- a small file of a test

    async def read(self, path: str) -> bytes | None:
        """A file's content, or None."""
        self._check(path)
        return self.files.get(path)

    async def delete(self, path: str) -> None:
        """Deletes a file or a folder."""
        self._check(path)
        for known in list(self.files):
            if known == path or known.startswith(f"{path}/"):
                del self.files[known]

    def _check(self, path: str) -> None:
        if any(path.startswith(prefix) for prefix in self.broken):
            raise DbtTemporalError(ErrorType.ARTIFACT_STORE, f"memory://{path}: the store is told to fail")
