"""A run's states one after the other, by whatever follows runs."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from dbt_temporal.application.ports.runs import RunGateway, Snapshot, SubmittedRun
from dbt_temporal.entrypoints.cli.following import POLL_SECS, Follower, Interrupts
from dbt_temporal.entrypoints.embedding.state import DbtRunState

logger = logging.getLogger(__name__)


async def states_of(
    run: SubmittedRun, gateway: RunGateway, *, with_nodes: bool, poll_secs: float = POLL_SECS
) -> AsyncGenerator[DbtRunState]:
    """The states of a run from now to its end. A reader who is slow misses states between, and no log lines.

    Args:
        run: nobody else may ask it for snapshots.
        gateway: knows whether there are workers; that there is none is logged.
        with_nodes: whether `node_status` is asked for.
        poll_secs: how often at most.

    Raises:
        DbtTemporalError: of type Configuration, where the server says that it will not tell.
    """
    view = _Latest(with_nodes)
    follower = Follower(run, gateway, view, Interrupts(), math.inf, time.monotonic, poll_secs=poll_secs)
    following = asyncio.ensure_future(follower.follow())
    following.add_done_callback(lambda _: view.wake())
    try:
        while (snapshot := await view.next(following)) is not None:
            yield DbtRunState.of(snapshot)
        await following
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


class _Latest:
    """Keeps what a follower shows until somebody takes it: the latest state, with the lines of all that it replaces."""

    def __init__(self, wants_nodes: bool) -> None:
        self.wants_nodes = wants_nodes
        self.wants_events = False
        self._snapshot: Snapshot | None = None
        self._something = asyncio.Event()

    def show(self, snapshot: Snapshot) -> None:
        if self._snapshot is not None:
            snapshot = replace(snapshot, new_log_lines=[*self._snapshot.new_log_lines, *snapshot.new_log_lines])
        self._snapshot = snapshot
        self.wake()

    def note(self, text: str) -> None:
        logger.warning("%s", text)

    def away(self, text: str | None) -> None:
        if text is not None:
            logger.warning("%s", text)

    def wake(self) -> None:
        self._something.set()

    async def next(self, following: asyncio.Future[Any]) -> Snapshot | None:
        """The next state; None where the follower has ended, and no state is left."""
        while self._snapshot is None and not following.done():
            self._something.clear()
            await self._something.wait()
        snapshot, self._snapshot = self._snapshot, None
        return snapshot
