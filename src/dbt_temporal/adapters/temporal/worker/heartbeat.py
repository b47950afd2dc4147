"""Heartbeats of an activity, sent from the event loop while the engine works elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity

from dbt_temporal.adapters.temporal.worker.notices import Notices
from dbt_temporal.application.attempt_facts import CAN_WAIT
from dbt_temporal.application.ports.engine import Progress
from dbt_temporal.application.ports.telemetry import ActionsTaken, NoTelemetry, Telemetry

Output = TypeVar("Output")

HEARTBEAT_INTERVAL = timedelta(seconds=2)
"""A cancel reaches an activity with the answer to its heartbeat, so this is how long a cancelled query runs on; unless
the server tells workers of cancels by itself."""

QUIET_SECS = 60.0
"""How often an activity heartbeats there: then only a reset and a pause come with the answer."""

SETTLE_SECS = 1.0
"""How long news are held back that come while no heartbeat is due: what follows at once goes with them."""

HEARTBEATS_PER_TIMEOUT = 4
"""Where the timeout is short, this many heartbeats fit into it."""


_HEARTBEAT = ActionsTaken("heartbeat")


class Facts:
    """What an activity has told of itself so far; `news` is set when something new is worth a heartbeat of its own."""

    def __init__(self) -> None:
        self.all: dict[str, Any] = {}
        self.news = asyncio.Event()

    def tell(self, facts: Mapping[str, Any]) -> None:
        if any(name not in CAN_WAIT and self.all.get(name) != fact for name, fact in facts.items()):
            self.news.set()
        self.all.update(facts)


async def with_heartbeats(
    work: Callable[[Progress], Coroutine[Any, Any, Output]],
    notices: Notices,
    every_secs: float = HEARTBEAT_INTERVAL.total_seconds(),
    telemetry: Telemetry | None = None,
) -> Output:
    """Does the work, and heartbeats until it has ended: while it is being cancelled as well. A pause does not end it.

    The work tells facts about itself by the `Progress` that it is given; each heartbeat carries all of them, and for
    how many seconds the attempt has been under way. News go out after `HEARTBEAT_INTERVAL` at the latest, however long
    `every_secs` is. What has ended before the first heartbeat is due costs the server none. Each is told to
    `telemetry`.
    """
    telemetry = telemetry or NoTelemetry()
    facts = Facts()
    working = asyncio.create_task(work(facts.tell))
    beating = asyncio.create_task(_beat(facts, every_secs, telemetry))
    try:
        while True:
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                if working.done():
                    return working.result()
                if notices.heard_pause():
                    await _ended(beating)
                    beating = asyncio.create_task(_listen(facts.all, notices, working, telemetry))
                else:
                    working.cancel()
    finally:
        await _ended(beating)


async def _ended(beating: asyncio.Task[None]) -> None:
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating


async def _listen(facts: dict[str, Any], notices: Notices, working: asyncio.Task[Any], telemetry: Telemetry) -> None:
    # Nothing else reaches an attempt that is paused.
    await notices.listen(facts, _interval(activity.info().heartbeat_timeout), lambda: telemetry.record(_HEARTBEAT))
    working.cancel()


def silence_secs(every_secs: float = HEARTBEAT_INTERVAL.total_seconds()) -> float | None:
    """For how long the worker of the current activity may be silent, and the server will not have given it up.

    The server counts from the last heartbeat that it has had. None outside of activities, and where nobody counts.
    """
    timeout = activity.info().heartbeat_timeout if activity.in_activity() else None
    return None if timeout is None else timeout.total_seconds() - _interval(timeout, every_secs)


def _interval(timeout: timedelta | None, every_secs: float = HEARTBEAT_INTERVAL.total_seconds()) -> float:
    return every_secs if timeout is None else min(every_secs, timeout.total_seconds() / HEARTBEATS_PER_TIMEOUT)


async def _beat(facts: Facts, every_secs: float, telemetry: Telemetry) -> None:
    timeout = activity.info().heartbeat_timeout
    loop = asyncio.get_running_loop()
    began = loop.time()
    at_least, at_most = _interval(timeout), _interval(timeout, every_secs)
    while True:
        await asyncio.sleep(min(at_least, at_most))
        if at_most > at_least:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(at_most - at_least):
                    if not facts.news.is_set():
                        await facts.news.wait()
                        await asyncio.sleep(SETTLE_SECS)
        facts.news.clear()
        activity.heartbeat({**facts.all, "elapsed_secs": round(loop.time() - began)})
        telemetry.record(_HEARTBEAT)
