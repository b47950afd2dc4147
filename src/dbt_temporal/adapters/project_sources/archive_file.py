"""Projects in an archive on this machine: `/srv/shop.zip`, `/srv/shop.tar.gz`."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.project_sources.locations import RemoteSource
from dbt_temporal.application.ports.engine import ProjectLocation


class ArchiveFile:
    """An archive; it is unpacked below the cache folder, unless the same content was before."""

    def __init__(self, file: Path, source: RemoteSource) -> None:
        self._file = file
        self._source = source
        self._copies = source.copies_of(str(file))

    async def locate(self) -> list[ProjectLocation]:
        return await asyncio.to_thread(self._locations)

    def _locations(self) -> list[ProjectLocation]:
        try:
            with self._file.open("rb") as file:
                copy = self._copies / hashlib.file_digest(file, "sha256").hexdigest()[:40]
        except OSError as error:
            raise self._source.error(f"cannot be read ({error.strerror})") from error
        if not private_copies.use_copy(copy):
            with private_copies.unfinished_copy(self._copies) as folder:
                self._source.unpack(self._file, self._file.name, folder / "files")
                private_copies.publish(folder / "files", copy)
        private_copies.remove_unused(self._copies)
        return self._source.projects_of_files(copy)
