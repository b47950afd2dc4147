"""The most memory that the processes of a worker took at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

SAMPLE_SECS = 0.5


@dataclass
class Peak:
    """The most that was seen at once, in bytes: RSS of the worker, and of its engine processes together.

    Pages that engine processes share count once (PSS), where the system tells it; elsewhere once in each of them.
    """

    worker: int = 0
    engine: int = 0

    def look(self, pid: int) -> None:
        """Takes what the worker of that pid and the processes below it use now."""
        root = psutil.Process(pid)
        self.worker = max(self.worker, root.memory_info().rss)
        self.engine = max(self.engine, sum(map(_share, root.children(recursive=True))))


@asynccontextmanager
async def peak_memory(pid: int) -> AsyncIterator[Peak]:
    """Looks again and again while the block runs."""
    peak = Peak()

    async def watch() -> None:
        while True:
            await asyncio.to_thread(peak.look, pid)
            await asyncio.sleep(SAMPLE_SECS)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()


def _share(process: psutil.Process) -> int:
    try:
        told = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0
    return int(getattr(told, "pss", told.rss))
