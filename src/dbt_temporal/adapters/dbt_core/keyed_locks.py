"""Locks by key, for what may be made once for each key but side by side for different ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, field


@dataclass
class _Lock:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0


class KeyedLocks:
    """A lock for each key, there as long as somebody has it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, _Lock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @contextlib.asynccontextmanager
    async def holding(self, key: Hashable) -> AsyncIterator[None]:
        entry = self._locks.setdefault(key, _Lock())
        entry.callers += 1
        try:
            async with entry.lock:
                yield
        finally:
            entry.callers -= 1
            if entry.callers == 0:
                del self._locks[key]
