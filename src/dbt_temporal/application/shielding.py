"""What must happen although the run is cancelled. Deterministic, so that workflows may use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Output = TypeVar("Output")


def cancels_asked() -> int:
    """How often the current task was asked to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def cancel_again() -> None:
    """Cancels the current task at its next await, where something else has used the cancel up."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().call_soon(task.cancel)


async def shielded(work: Awaitable[Output]) -> Output:
    """Awaits work to its end, whatever is cancelled meanwhile; whoever was cancelled goes on with that himself."""
    task = asyncio.ensure_future(work)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done():
                return task.result()
