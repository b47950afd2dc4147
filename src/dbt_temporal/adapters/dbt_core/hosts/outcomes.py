"""How attempts at nodes and hooks ended, on disk: a run host writes it before it tells its worker, which may be gone.

It lies below the cache folder, where the next worker of the machine finds it. Nobody waits for the disk itself: this
outlasts processes, not the machine.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_core import wire

KEPT_SECS = 24 * 3600.0
"""For runs whose end this worker does not hear of."""


class Outcomes:
    """The outcomes of all runs, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, invocation_id: str, step: str, attempt: int) -> Path:
        """Where the outcome of an attempt is, or will be."""
        name = hashlib.sha256(step.encode()).hexdigest()[:32]
        return self._folder / invocation_id / f"{name}.{attempt}.json"

    def begin(self, place: Path) -> None:
        """An attempt begins: what lies at its place is of an attempt with its number, before the run was reset."""
        place.unlink(missing_ok=True)

    def forget(self, invocation_id: str) -> None:
        """Removes those of a run that has ended, and old ones."""
        shutil.rmtree(self._folder / invocation_id, ignore_errors=True)
        limit = time.time() - KEPT_SECS
        for folder in self._folder.glob("*/"):
            try:
                if folder.stat().st_mtime < limit:
                    shutil.rmtree(folder, ignore_errors=True)
            except FileNotFoundError:  # another worker was faster
                continue


def read_outcome(place: Path) -> dict[str, Any] | None:
    """An outcome that was written, or None. Raises OSError where it cannot be read."""
    try:
        answer: dict[str, Any] = wire.loads(place.read_bytes())
    except FileNotFoundError:
        return None
    return answer
