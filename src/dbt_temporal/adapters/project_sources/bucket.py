"""Projects in a bucket: below a prefix (`s3://bucket/prefix`, `gs://bucket/prefix`), or in an archive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.object_storage import open_storage, problem
from dbt_temporal.adapters.project_files import without_generated
from dbt_temporal.adapters.project_sources.archives import ARCHIVES, is_archive
from dbt_temporal.adapters.project_sources.locations import RemoteSource
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError

SCHEMES = ("s3", "gs")
PARALLEL_DOWNLOADS = 16
_STAMPS = ("ETag", "etag", "md5Hash", "crc32c", "generation", "LastModified", "updated", "mtime")
"""What the stores say of an object that changes with its content."""


@dataclass(frozen=True)
class _Object:
    key: str
    path: str
    """Below the prefix; empty for an archive that the URL names itself."""
    size: int
    stamp: str


class Bucket:
    """A prefix or an archive in a bucket; it is downloaded, unless the same objects were before."""

    def __init__(self, url: str, source: RemoteSource, *, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._url = url.rstrip("/")
        self._copies = source.copies_of(self._url)

    async def locate(self) -> list[ProjectLocation]:
        try:
            async with asyncio.timeout(self._source.limits.timeout_secs), self._session() as (files, prefix):
                copy = await self._copy(files, prefix)
        except TimeoutError:
            raise self._source.too_slow() from None
        except Exception as error:  # each backend has exceptions of its own
            cause = _first_of(error)
            if isinstance(cause, DbtTemporalError):
                raise cause from error
            raise self._source.error(problem(cause, "list and read it")) from error
        return await asyncio.to_thread(self._locations, copy)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[Any, str]]:
        """A file system that is connected on this event loop, and the prefix in it."""
        what = f"{self._source.named_by}: {self._source.shown}"
        # In a thread, because it looks for credentials, which may mean to ask other servers.
        files, prefix = await asyncio.to_thread(open_storage, what, self._url, self._environ, asynchronous=True)
        connect = getattr(files, "set_session", None) or files._set_session
        session = await connect()
        try:
            yield files, prefix
        finally:
            await session.close()

    async def _copy(self, files: Any, prefix: str) -> Path:
        objects = await self._objects(files, prefix)
        digest = hashlib.sha256("\n".join(f"{o.path}\0{o.size}\0{o.stamp}" for o in objects).encode()).hexdigest()
        copy = self._copies / digest[:40]
        if not private_copies.use_copy(copy):
            with private_copies.unfinished_copy(self._copies) as folder:
                if objects[0].path:
                    await self._download(files, objects, folder)
                    private_copies.publish(folder, copy)
                else:
                    archive = folder / "archive"
                    await self._download_object(files, objects[0], archive)
                    await asyncio.to_thread(self._source.unpack, archive, objects[0].key, folder / "files")
                    private_copies.publish(folder / "files", copy)
        return copy

    async def _objects(self, files: Any, prefix: str) -> list[_Object]:
        """What is below the prefix, in the order of the paths.

        Raises:
            DbtTemporalError: nothing is there, it is too large, or a key would leave the folder that it is written to.
        """
        listing: dict[str, dict[str, Any]] = await files._find(prefix, detail=True)
        objects = []
        for key, facts in listing.items():
            path = key.removeprefix(prefix).removeprefix("/")
            # Consoles make empty objects that end with / to show folders.
            if not path or path.endswith("/") or facts.get("type") == "directory":
                continue
            parts = path.split("/")
            if any(part in ("", ".", "..") for part in parts) or "\\" in path or "\0" in path:
                raise self._source.error(f"the key {key!r} is no path below the prefix; rename or delete that object")
            objects.append(_Object(key, path, int(facts.get("size") or 0), _stamp(facts)))
        kept = frozenset(without_generated(item.path for item in objects))
        objects = [item for item in objects if item.path in kept]
        if not objects and prefix in listing:
            objects = [self._archive(prefix, listing[prefix])]
        if not objects:
            raise self._source.error("holds nothing: there is no object below this prefix; is it spelled right?")
        if sum(item.size for item in objects) > self._source.limits.max_bytes:
            raise self._source.too_large()
        return sorted(objects, key=lambda item: item.path)

    def _archive(self, key: str, facts: Mapping[str, Any]) -> _Object:
        """The object that the URL names itself, which must be an archive."""
        if not is_archive(key):
            raise self._source.error(f"is one object, which is neither a folder nor an archive ({ARCHIVES})")
        return _Object(key, "", int(facts.get("size") or 0), _stamp(facts))

    async def _download(self, files: Any, objects: list[_Object], folder: Path) -> None:
        gate = asyncio.Semaphore(PARALLEL_DOWNLOADS)

        async def download(item: _Object) -> None:
            target = folder / item.path
            target.parent.mkdir(parents=True, exist_ok=True)
            async with gate:
                await self._download_object(files, item, target)

        async with asyncio.TaskGroup() as group:
            for item in objects:
                group.create_task(download(item))

    async def _download_object(self, files: Any, item: _Object, target: Path) -> None:
        await files._get_file(item.key, str(target))
        if (await asyncio.to_thread(target.stat)).st_size != item.size:
            raise self._source.error(f"the object {item.key!r} changed while it was downloaded; start again")

    def _locations(self, copy: Path) -> list[ProjectLocation]:
        private_copies.remove_unused(self._copies)
        return self._source.projects_of_files(copy)


def _stamp(facts: Mapping[str, Any]) -> str:
    return next((str(facts[name]) for name in _STAMPS if facts.get(name)), "")


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
