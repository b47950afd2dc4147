"""Artifacts of earlier runs on any file system that fsspec reaches, copied to this machine."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.object_storage import open_storage, problem, scheme_of
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

ARTIFACTS = ("manifest.json", "run_results.json", "sources.json")
"""What dbt reads of an earlier run; `state:` and `result:` want those beside the one that is named."""


class FsspecReferences:
    """Implements `ArtifactReferences`. `environ` gives the endpoints."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def fetch(self, field: str, reference: str, folder: Path) -> str:
        if scheme_of(reference) in (None, "file"):
            return reference
        # In a thread: looking for credentials may ask the network.
        what = f"{field}={reference!r}"
        files, path = await asyncio.to_thread(open_storage, what, reference.rstrip("/"), self._environ)
        try:
            return await asyncio.to_thread(_copy, files, path, folder)
        except FileNotFoundError:
            raise configuration_error(
                f"{field}: there is nothing at {reference}; give the URL of an artifact, or of the folder of a run"
            ) from None
        except Exception as error:  # each backend has exceptions of its own
            reason = problem(error, "read it")
            raise DbtTemporalError(ErrorType.ARTIFACT_STORE, f"{field}: cannot read {reference}: {reason}") from error


def _copy(files: Any, path: str, folder: Path) -> str:
    """Copies a file with the artifacts beside it, or the artifacts in a folder. Returns the path of the copy."""
    names_file = posixpath.splitext(path)[1] == ".json"
    place = posixpath.dirname(path) if names_file else path
    artifact = posixpath.basename(path) if names_file else None
    folder.mkdir(parents=True, exist_ok=True)
    copies = 0
    for name in dict.fromkeys([*([artifact] if artifact else []), *ARTIFACTS]):
        try:
            content = files.cat_file(f"{place}/{name}")
        except FileNotFoundError:
            if name == artifact:
                raise
            continue
        (folder / name).write_bytes(content)
        copies += 1
    if not copies:
        raise FileNotFoundError(path)
    return str(folder / artifact if artifact else folder)
