"""What must happen although the run is cancelled. Deterministic, so that workflows may use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Output = TypeVar("Output")


async def shielded(work: Awaitable[Output]) -> Output:
    """Awaits work to its end, whatever is cancelled meanwhile; whoever was cancelled goes on with that himself."""
    task = asyncio.ensure_future(work)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done():
                return task.result()
