"""An artifact store on anything that fsspec reaches: a folder, s3://, gs://, and others."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec  # type: ignore[import-untyped]

from dbt_temporal.adapters.object_storage import open_storage, problem
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

ATTEMPTS = 3
FIRST_WAIT_SECS = 0.2
_PERMANENT = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, ValueError)
"""What another attempt a moment later does not mend."""

Found = TypeVar("Found")


class FsspecArtifactStore:
    """Implements `ArtifactStore`. Blocking calls run in threads; a remote store is tried three times."""

    def __init__(self, root: str, environ: Mapping[str, str] | None = None) -> None:
        """A store below `root`, a path or a URL.

        Args:
            root: as in ARTIFACT_STORE.
            environ: for endpoints; credentials come from the usual variables of the process.

        Raises:
            DbtTemporalError: of type Configuration, where the scheme is unknown or its package is missing.
        """
        scheme, separator, _ = root.partition("://")
        self._is_local = not separator or scheme == "file"
        self._root = _local_root(root) if self._is_local else root.rstrip("/")
        if self._is_local:
            self._files: Any = fsspec.filesystem("file")
            self._base = self._root
        else:
            self._files, self._base = open_storage(f"ARTIFACT_STORE={root!r}", self._root, environ or {})

    async def write(self, path: str, content: bytes) -> str:
        """Writes a file whole. See `ArtifactStore.write`."""
        place = self._place(path)
        await self._call("write", place, lambda: self._write(place, content))
        return f"{self._root}/{_clean(path)}"

    async def upload(self, path: str, file: Path) -> str:
        """Writes a local file whole. See `ArtifactStore.upload`."""
        return await self.write(path, await asyncio.to_thread(file.read_bytes))

    async def read(self, path: str) -> bytes | None:
        """The content of a file, or None. See `ArtifactStore.read`."""
        place = self._place(path)
        return await self._call("read", place, lambda: self._read(place))

    async def delete(self, path: str) -> None:
        """Deletes a file or folder. See `ArtifactStore.delete`."""
        place = self._place(path)
        await self._call("delete", place, lambda: self._delete(place))

    def _place(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{_clean(path)}"

    def _write(self, place: str, content: bytes) -> None:
        if self._is_local:
            _write_local(Path(place), content)
        else:
            # Object stores show an object only when it is whole.
            self._files.pipe_file(place, content)

    def _read(self, place: str) -> bytes | None:
        try:
            content: bytes = self._files.cat_file(place)
        except (FileNotFoundError, IsADirectoryError):
            return None
        return content

    def _delete(self, place: str) -> None:
        try:
            self._files.rm(place, recursive=True)
        except FileNotFoundError:
            return

    async def _call(self, verb: str, place: str, call: Callable[[], Found]) -> Found:
        wait = FIRST_WAIT_SECS
        for attempts_left in range(ATTEMPTS - 1, -1, -1):
            try:
                return await asyncio.to_thread(call)
            except Exception as error:  # each backend has exceptions of its own
                if attempts_left == 0 or self._is_local or isinstance(error, _PERMANENT):
                    reason = str(error) if self._is_local else problem(error, f"{verb} there")
                    raise DbtTemporalError(
                        ErrorType.ARTIFACT_STORE,
                        f"cannot {verb} {place} in the artifact store {self._root}: {reason}",
                    ) from error
            await asyncio.sleep(wait)
            wait *= 4
        raise AssertionError("the last attempt returns or raises")


def _local_root(root: str) -> str:
    return os.path.abspath(os.path.expanduser(root.removeprefix("file://")))


def _clean(path: str) -> str:
    """A path below the root, and nothing outside it."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise DbtTemporalError(ErrorType.ARTIFACT_STORE, f"{path!r} is not a path below a root", retryable=False)
    return "/".join(parts)


def _write_local(path: Path, content: bytes) -> None:
    """Writes beside the file and renames, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        # mkstemp makes files private; artifacts are for other users' tools as well.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


_umask_lock = threading.Lock()


def _umask() -> int:
    """The process's mask, which can only be read by setting it: one thread at a time, or one reads the other's zero."""
    with _umask_lock:
        mask = os.umask(0)
        os.umask(mask)
        return mask
