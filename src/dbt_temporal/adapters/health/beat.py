"""A file that the worker touches while it is well."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

logger = logging.getLogger(__name__)

BEAT_SECS = 15.0
STALE_SECS = 60.0
LIMIT_SECS = 20.0


async def _always() -> bool:
    return True


async def beat(
    path: Path,
    every_secs: float = BEAT_SECS,
    *,
    about: str = "",
    alive: Callable[[], Awaitable[bool]] = _always,
    limit_secs: float = LIMIT_SECS,
) -> None:
    """Touches the file until it is cancelled, then deletes it: a worker that has ended is not healthy.

    Args:
        about: what the file says of the worker, in one line.
        alive: asked before each touch; without a yes the file is left to grow old.
        limit_secs: an answer that takes longer is a no.
    """
    healthy = True
    try:
        while True:
            if await _says_yes(alive, limit_secs):
                healthy = _touch(path, about, warn=healthy)
            await asyncio.sleep(every_secs)
    finally:
        _forget(path)


async def _says_yes(alive: Callable[[], Awaitable[bool]], limit_secs: float) -> bool:
    try:
        async with asyncio.timeout(limit_secs):
            if await alive():
                return True
        logger.error("unhealthy: the worker does not poll any more")
    except TimeoutError:
        logger.error(
            "unhealthy: the dbt engine, or a thread of the worker, has not answered within %g seconds", limit_secs
        )
    except Exception as error:
        logger.error("unhealthy: %s: %s", type(error).__name__, error)
    return False


def _touch(path: Path, about: str, *, warn: bool) -> bool:
    try:
        if about:
            path.write_text(about, encoding="utf-8")
        else:
            path.touch()
    except OSError as error:
        if warn:
            logger.warning("the health file %s cannot be touched: %s", path, error)
        return False
    return True


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def age_of_beat(path: Path, now: Callable[[], float] = time.time) -> float | None:
    """Seconds since the last beat; None where there was none."""
    try:
        return now() - path.stat().st_mtime
    except OSError:
        return None


def check_health(path: Path, now: Callable[[], float] = time.time) -> tuple[bool, str]:
    """Whether the worker lives, and why in words: the file was touched within the last 60 seconds; and what it says."""
    age = age_of_beat(path, now)
    if age is None:
        return False, f"unhealthy: there is no health file {path}"
    if age > STALE_SECS:
        return False, f"unhealthy: {path} was last touched {age:.0f} seconds ago (limit {STALE_SECS:.0f})"
    about = _about(path)
    return True, f"healthy: {path} was touched {max(age, 0.0):.0f} seconds ago{about and f'; {about}'}"


def _about(path: Path) -> str:
    """What the worker says of itself; it may be writing that, or be gone."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
