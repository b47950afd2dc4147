"""Artifacts of earlier runs on any file system that fsspec reaches, copied to this machine."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dbt_temporal.adapters.object_storage import open_storage, problem, scheme_of
from dbt_temporal.adapters.outside_calls import OutsideCalls
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

ARTIFACTS = ("manifest.json", "run_results.json", "sources.json")
"""What dbt reads of an earlier run; `state:` and `result:` want those beside the one that is named."""
FETCH_SECS = 120.0
"""How long a reference may take to be fetched; whole manifests are tens of megabytes."""
FETCHES_AT_ONCE = 4
"""From one place, so that one that hangs leaves the others alone."""


class FsspecReferences:
    """Implements `ArtifactReferences`. `environ` gives the endpoints; a fetch fails after `limit_secs`."""

    def __init__(self, environ: Mapping[str, str], limit_secs: float = FETCH_SECS) -> None:
        self._environ = environ
        self._limit_secs = limit_secs
        self._calls: defaultdict[str, OutsideCalls] = defaultdict(lambda: OutsideCalls("references", FETCHES_AT_ONCE))

    async def fetch(self, field: str, reference: str, folder: Path) -> str:
        if scheme_of(reference) in (None, "file"):
            return reference

        def fetch() -> str:
            # On the thread too: looking for credentials may ask the network.
            files, path = open_storage(f"{field}={reference!r}", reference.rstrip("/"), self._environ)
            return _copy(files, path, folder)

        try:
            return await self._calls[urlsplit(reference).netloc](fetch, self._limit_secs)
        except DbtTemporalError:
            raise
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
