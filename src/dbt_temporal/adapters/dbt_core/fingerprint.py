"""Whether files have changed since they were parsed: by their size and time, without reading them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from dbt_temporal.adapters.project_files import source_files


def fingerprint(*places: str) -> str:
    """A digest that changes when one of these files, or a file that dbt parses in these folders, changes or goes."""
    digest = hashlib.sha256()
    for place in dict.fromkeys(places):
        for path, size, modified in sorted(_files(place)):
            digest.update(f"{path}\0{size}\0{modified}\n".encode())
    return digest.hexdigest()[:24]


def _files(place: str) -> Iterator[tuple[str, int, int]]:
    for path in [place] if os.path.isfile(place) else source_files(place):
        try:
            status = os.stat(path)
        except OSError:
            continue
        yield path, status.st_size, status.st_mtime_ns
