"""Heartbeats of an activity, sent from the event loop while the engine works elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity

from dbt_temporal.adapters.temporal.worker.notices import Notices
from dbt_temporal.application.ports.engine import Progress

Output = TypeVar("Output")

HEARTBEAT_INTERVAL = timedelta(seconds=2)
"""A cancel reaches an activity with the answer to its heartbeat, so this is how long a cancelled query runs on."""

HEARTBEATS_PER_TIMEOUT = 4
"""Where the timeout is short, this many heartbeats fit into it."""


async def with_heartbeats(work: Callable[[Progress], Coroutine[Any, Any, Output]], notices: Notices) -> Output:
    """Does the work, and heartbeats until it has ended: while it is being cancelled as well. A pause does not end it.

    The work tells facts about itself by the `Progress` that it is given; each heartbeat carries all of them. What has
    ended before the first one is due costs the server none.
    """
    facts: dict[str, Any] = {}
    working = asyncio.create_task(work(facts.update))
    beating = asyncio.create_task(_beat(facts))
    try:
        while True:
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                if working.done():
                    return working.result()
                if notices.heard_pause():
                    await _ended(beating)
                    beating = asyncio.create_task(_listen(facts, notices, working))
                else:
                    working.cancel()
    finally:
        await _ended(beating)


async def _ended(beating: asyncio.Task[None]) -> None:
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating


async def _listen(facts: dict[str, Any], notices: Notices, working: asyncio.Task[Any]) -> None:
    await notices.listen(facts, _interval(activity.info().heartbeat_timeout))
    working.cancel()


def silence_secs() -> float | None:
    """For how long the worker of the current activity may be silent, and the server will not have given it up.

    The server counts from the last heartbeat that it has had. None outside of activities, and where nobody counts.
    """
    timeout = activity.info().heartbeat_timeout if activity.in_activity() else None
    return None if timeout is None else timeout.total_seconds() - _interval(timeout)


def _interval(timeout: timedelta | None) -> float:
    interval = HEARTBEAT_INTERVAL.total_seconds()
    return interval if timeout is None else min(interval, timeout.total_seconds() / HEARTBEATS_PER_TIMEOUT)


async def _beat(facts: dict[str, Any]) -> None:
    interval = _interval(activity.info().heartbeat_timeout)
    while True:
        await asyncio.sleep(interval)
        activity.heartbeat(dict(facts))
