"""Whether a project has changed since it was parsed: by size and time of its files, without reading them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from dbt_temporal.adapters.project_files import source_files


def fingerprint(*folders: str) -> str:
    """A digest that changes when a file that dbt parses changes, comes or goes."""
    digest = hashlib.sha256()
    for folder in dict.fromkeys(folders):
        for path, size, modified in sorted(_files(folder)):
            digest.update(f"{path}\0{size}\0{modified}\n".encode())
    return digest.hexdigest()[:24]


def _files(folder: str) -> Iterator[tuple[str, int, int]]:
    for path in source_files(folder):
        try:
            status = os.stat(path)
        except OSError:
            continue
        yield path, status.st_size, status.st_mtime_ns
