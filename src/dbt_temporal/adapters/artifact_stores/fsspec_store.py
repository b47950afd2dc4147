"""An artifact store on anything that fsspec reaches: a folder, s3://, gs://, and others."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec  # type: ignore[import-untyped]

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of this package that brings what a scheme needs."""

Found = TypeVar("Found")


class FsspecArtifactStore:
    """Implements `ArtifactStore`. Blocking calls run in threads; transient errors are retried by the caller."""

    def __init__(self, root: str, options: Mapping[str, Any] | None = None) -> None:
        """A store below `root`, a path or a URL.

        Args:
            root: as in ARTIFACT_STORE.
            options: for fsspec's file system; credentials come from the usual environment variables.

        Raises:
            DbtTemporalError: of type Configuration, where the scheme is unknown or its package is missing.
        """
        scheme, separator, _ = root.partition("://")
        self._is_local = not separator or scheme == "file"
        self._root = _local_root(root) if self._is_local else root.rstrip("/")
        try:
            # Listings are not cached: other workers write here too.
            self._files, self._base = fsspec.core.url_to_fs(self._root, use_listings_cache=False, **(options or {}))
        except ImportError as error:
            extra = EXTRAS.get(scheme)
            remedy = f'install "dbt-temporal[{extra}]"' if extra else f"install what it needs ({error})"
            raise configuration_error(
                f"ARTIFACT_STORE={root!r}: {scheme}:// is not available here: {remedy}"
            ) from error
        except ValueError as error:
            raise configuration_error(f"ARTIFACT_STORE={root!r}: {error}") from error

    async def write(self, path: str, content: bytes) -> str:
        """Writes a file whole. See `ArtifactStore.write`."""
        place = self._place(path)
        await self._call("write", place, lambda: self._write(place, content))
        return f"{self._root}/{_clean(path)}"

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
        try:
            return await asyncio.to_thread(call)
        except Exception as error:  # each backend has exceptions of its own
            reason = str(error) or type(error).__name__
            raise DbtTemporalError(
                ErrorType.ARTIFACT_STORE,
                f"cannot {verb} {place} in the artifact store {self._root}: {reason}",
            ) from error


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
