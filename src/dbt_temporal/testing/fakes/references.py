"""Earlier runs whose artifacts are in a dictionary."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error


class FakeReferences:
    """Implements `ArtifactReferences`.

    Attributes:
        files: contents by URL.
        broken: what begins with one of these cannot be read.
        asked: the fields and references that were asked for, in order.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken: list[str] = []
        self.asked: list[tuple[str, str]] = []

    async def fetch(self, field: str, reference: str, folder: Path) -> str:
        """Copies a file with those beside it, or the files of a folder."""
        self.asked.append((field, reference))
        if "://" not in reference or reference.startswith("file://"):
            return reference
        if any(reference.startswith(prefix) for prefix in self.broken):
            raise DbtTemporalError(ErrorType.ARTIFACT_STORE, f"{field}: cannot read {reference}: it is told to fail")
        url = reference.rstrip("/")
        place, _, name = url.rpartition("/")
        is_file = name.endswith(".json")
        above = f"{place if is_file else url}/"
        found = {key.removeprefix(above): content for key, content in self.files.items() if key.startswith(above)}
        if not found or (is_file and name not in found):
            raise configuration_error(f"{field}: there is nothing at {reference}")
        await asyncio.to_thread(_write, folder, found)
        return str(folder / name if is_file else folder)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if "/" not in name:
            (folder / name).write_bytes(content)
