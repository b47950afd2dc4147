"""Whether files have changed since they were parsed: by their size and time, without reading them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator

from dbt_temporal.adapters.project_files import PACKAGES, source_files


def fingerprint(*places: str) -> str:
    """A digest that changes when one of these files, or a file that dbt parses in these folders, changes or goes."""
    digest = hashlib.sha256()
    for place in dict.fromkeys(places):
        for path, size, modified in sorted(_files(place)):
            digest.update(f"{path}\0{size}\0{modified}\n".encode())
    return digest.hexdigest()[:24]


def _files(place: str) -> Iterator[tuple[str, int, int]]:
    for path in [place] if os.path.isfile(place) else _below(place):
        try:
            status = os.stat(path)
        except OSError:
            continue
        yield path, status.st_size, status.st_mtime_ns


def _below(folder: str) -> Iterator[str]:
    yield from source_files(folder)
    if os.path.basename(folder) not in PACKAGES:
        return
    links: list[str] = []  # made by dbt for packages that packages.yml gives with `local:`
    with contextlib.suppress(OSError):
        links = [entry.path for entry in os.scandir(folder) if entry.is_symlink()]
    # The package may lie around the project, as with its integration tests; the project has a revision of its own.
    project = os.path.realpath(os.path.dirname(folder)) + os.sep
    for link in links:
        yield from (path for path in source_files(os.path.realpath(link)) if not path.startswith(project))
