"""Waiting for a condition, without a guess of how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TURNS = 10_000


async def until(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Lets the event loop turn until the condition holds. For work that needs no real time.

    Raises:
        AssertionError: it did not hold after many turns.
    """
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{what} did not come true")
