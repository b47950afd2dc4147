"""What a worker holds after each of many runs, and whether it grows."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.integration.programs import Program


@dataclass(frozen=True)
class Held:
    """At one moment.

    Attributes:
        kib: of memory that is the worker's or its engine processes' own, hosts left out, as they end with their runs.
        descriptors: of the same processes.
        files: below the cache folder.
        processes: how many there are, hosts included.
    """

    kib: int
    descriptors: int
    files: int
    processes: int


def held(worker: Program, cache: Path) -> Held:
    """What a worker holds now, that has no run."""
    kib, descriptors, processes = 0, 0, 0
    for process in worker.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            kib += process.memory_full_info().uss // 1024
            descriptors += process.num_fds()
            processes += 1
    return Held(kib, descriptors, sum(1 for _ in cache.rglob("*")), processes)


def slope(values: Sequence[float]) -> float:
    """By how much values grow from one to the next: the median over all pairs (Theil and Sen), which outliers spare."""
    slopes = sorted(
        (later - earlier) / (second - first)
        for first, earlier in enumerate(values)
        for second, later in enumerate(values)
        if second > first
    )
    return slopes[len(slopes) // 2]
