"""What a worker holds after each of many runs, and whether it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.integration.programs import Program


@dataclass(frozen=True)
class Held:
    """At one moment.

    Attributes:
        kib: of memory that is the worker's own.
        descriptors: of the worker.
        files: below the cache folder.
    """

    kib: int
    descriptors: int
    files: int


def held(worker: Program, cache: Path) -> Held:
    """What a worker holds now, between two runs; engine processes end, or are limited in number."""
    process = psutil.Process(worker.process.pid)
    files = sum(1 for _ in cache.rglob("*"))
    return Held(process.memory_full_info().uss // 1024, process.num_fds(), files)


def slope(values: Sequence[float]) -> float:
    """By how much values grow from one to the next: the median over all pairs (Theil and Sen), which outliers spare."""
    slopes = sorted(
        (later - earlier) / (second - first)
        for first, earlier in enumerate(values)
        for second, later in enumerate(values)
        if second > first
    )
    return slopes[len(slopes) // 2]
