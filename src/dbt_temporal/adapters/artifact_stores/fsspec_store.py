"""An artifact store on anything that fsspec reaches: a folder, s3://, gs://, and others."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import fsspec  # type: ignore[import-untyped]
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_exponential

from dbt_temporal.adapters.object_storage import open_storage, problem
from dbt_temporal.adapters.outside_calls import NoAnswerError, OutsideCalls
from dbt_temporal.application.ports.artifact_store import StoredFile
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

ATTEMPTS = 3
FIRST_WAIT_SECS = 0.2
CALL_SECS = 60.0
"""How long a small request may take, with all its attempts."""
LARGE_SECS = 300.0
"""How long an upload may take, or a request about many files."""
CALLS_AT_ONCE = 64
READS_AT_ONCE = 64
"""Of one call; those beyond the number of connections make sure that none of them waits."""
_MISSING = (FileNotFoundError, IsADirectoryError)
_PERMANENT = (*_MISSING, PermissionError, NotADirectoryError, ValueError, NoAnswerError)
"""What another attempt a moment later does not mend."""

logger = logging.getLogger(__name__)


class FsspecArtifactStore:
    """Implements `ArtifactStore`. A remote store is tried three times.

    Each call is one thread, and has a limit: a store that hangs is one that cannot be reached. A store whose file
    system is asynchronous makes many requests within a call, on fsspec's own event loop; the worker's stays free.
    """

    def __init__(self, root: str, environ: Mapping[str, str] | None = None) -> None:
        """A store below `root`, as in ARTIFACT_STORE. Of `environ` only endpoints are read, no credentials.

        Raises:
            DbtTemporalError: of type Configuration, where the scheme is unknown or its package is missing.
        """
        scheme, separator, _ = root.partition("://")
        self._is_local = not separator or scheme == "file"
        self._calls = OutsideCalls("artifact-store", CALLS_AT_ONCE)
        self._root = _local_root(root) if self._is_local else root.rstrip("/")
        if self._is_local:
            self._files: Any = fsspec.filesystem("file")
            self._base = self._root
        else:
            self._files, self._base = open_storage(f"ARTIFACT_STORE={root!r}", self._root, environ or {})

    async def write(self, path: str, content: bytes) -> str:
        return await self._put(path, CALL_SECS, lambda place: self._files.pipe_file(place, content))

    async def upload(self, path: str, file: Path) -> str:
        return await self._put(path, LARGE_SECS, lambda place: self._files.put_file(str(file), place))

    async def copy(self, source: str, path: str) -> bool:
        origin = self._place(source)
        try:
            await self._put(path, LARGE_SECS, lambda place: self._copy_file(origin, place))
        except DbtTemporalError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        return True

    def location(self, path: str) -> str:
        return f"{self._root}/{_clean(path)}"

    async def read(self, path: str) -> bytes | None:
        place = self._place(path)
        contents: dict[str, bytes] = {}
        await self._call("read", place, lambda: self._read_all({place}, contents))
        return contents.get(place)

    async def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        places = {path: self._place(path) for path in paths}
        contents: dict[str, bytes] = {}
        silent = set(places.values())
        try:
            await self._call("read", f"{len(silent)} files", lambda: self._read_all(silent, contents), LARGE_SECS)
        except DbtTemporalError as error:
            logger.warning("%s (%d of them, such as %s)", error.message, len(silent), min(silent))
        return {path: contents[place] for path, place in places.items() if place in contents}

    async def list_files(self, folder: str) -> list[StoredFile]:
        place = self._place(folder)
        found: list[StoredFile] = []

        def find() -> None:
            with suppress(FileNotFoundError):
                for path, facts in self._files.find(place, detail=True).items():
                    path = f"{folder}/{path.removeprefix(place).lstrip('/')}"
                    found.append(StoredFile(path, int(facts.get("size") or 0), _modified(facts)))

        await self._call("list", place, find, LARGE_SECS)
        return found

    async def list_folders(self, folder: str) -> list[str]:
        place = self._place(folder) if folder else self._base.rstrip("/")
        found: list[str] = []

        def find() -> None:
            with suppress(FileNotFoundError, NotADirectoryError):
                for facts in self._files.ls(place, detail=True):
                    path = str(facts["name"]).rstrip("/")
                    if facts["type"] == "directory" and path != place:
                        found.append(path.rpartition("/")[2])

        await self._call("list", place, find, LARGE_SECS)
        return found

    async def delete_file(self, path: str) -> None:
        place = self._place(path)

        def delete() -> None:
            with suppress(*_MISSING):
                self._files.rm_file(place)

        await self._call("delete", place, delete)

    async def delete(self, path: str) -> None:
        place = self._place(path)

        def delete() -> None:
            with suppress(FileNotFoundError):
                self._files.rm(place, recursive=True)

        await self._call("delete", place, delete, LARGE_SECS)

    def _place(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{_clean(path)}"

    async def _put(self, path: str, limit_secs: float, put: Callable[[str], None]) -> str:
        place = self._place(path)

        def put_whole() -> None:
            if not self._is_local:
                put(place)  # object stores show an object only when it is whole
                return
            with _replacement(Path(place)) as temporary:
                put(str(temporary))

        await self._call("write", place, put_whole, limit_secs)
        return self.location(path)

    def _copy_file(self, origin: str, place: str) -> None:
        # A folder would be copied as an empty one. Buckets have none, and are not asked.
        if not self._files.async_impl and not self._files.isfile(origin):
            raise FileNotFoundError(origin)
        self._files.cp_file(origin, place)

    def _read_all(self, silent: set[str], contents: dict[str, bytes]) -> None:
        """Reads files into `contents`. Takes those that have answered, be it that they are not there, out of `silent`.

        Raises:
            Exception: a backend's own, of one of those that are left.
        """
        problems = []
        places = list(silent)
        at_once = {"batch_size": READS_AT_ONCE} if self._files.async_impl else {}
        # `cat_ranges` without ranges, because `cat` takes `[` and `*` in names for patterns.
        for place, answer in zip(places, self._files.cat_ranges(places, None, None, **at_once), strict=True):
            if isinstance(answer, Exception) and not isinstance(answer, _MISSING):
                problems.append(answer)
                continue
            silent.remove(place)
            if isinstance(answer, bytes):
                contents[place] = answer
        if problems:
            raise problems[0]

    async def _call(self, verb: str, what: str, call: Callable[[], None], limit_secs: float = CALL_SECS) -> None:
        try:
            if self._is_local:
                await self._calls(call, limit_secs)
            else:
                await self._tried(call, limit_secs)
        except Exception as error:  # each backend has exceptions of its own
            reason = str(error) if self._is_local else problem(error, f"{verb} there")
            raise DbtTemporalError(
                ErrorType.ARTIFACT_STORE, f"cannot {verb} {what} in the artifact store {self._root}: {reason}"
            ) from error

    async def _tried(self, call: Callable[[], None], limit_secs: float) -> None:
        deadline = asyncio.get_running_loop().time() + limit_secs
        attempts = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, Exception) and not isinstance(error, _PERMANENT)),
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(limit_secs),
            wait=wait_exponential(FIRST_WAIT_SECS, exp_base=4),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                await self._calls(call, deadline - asyncio.get_running_loop().time())


def _modified(facts: Mapping[str, Any]) -> float:
    """When a file was written; each backend has a name and a kind for it. Now where it does not say."""
    for name in ("mtime", "LastModified", "updated", "last_modified", "created"):
        said = facts.get(name)
        if isinstance(said, str):
            with suppress(ValueError):
                said = datetime.fromisoformat(said)
        if isinstance(said, datetime):
            return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
        if isinstance(said, int | float):
            return float(said)
    return time.time()


def _local_root(root: str) -> str:
    return os.path.abspath(os.path.expanduser(root.removeprefix("file://")))


def _clean(path: str) -> str:
    """A path below the root, and nothing outside it."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise DbtTemporalError(ErrorType.ARTIFACT_STORE, f"{path!r} is not a path below a root", retryable=False)
    return "/".join(parts)


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """A place beside the file for what then takes the file's place, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{uuid4().hex}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
