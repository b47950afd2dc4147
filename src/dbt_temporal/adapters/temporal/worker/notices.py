"""What is said to an attempt while it works: that it is cancelled, reset or paused, or that its worker ends.

Temporal pauses an attempt that runs by cancelling it, and leaves it to the activity what that means. Here it means that
the statement goes on, and that no further attempt begins. The SDK passes on no second cancel after that, so a paused
attempt asks for itself what else is said (temporalio 1.35, measured: a run that was cancelled, and a worker that ended,
waited until the statement had ended).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.activity import ActivityCancellationDetails
from temporalio.client import AsyncActivityCancelledError
from temporalio.service import RPCError, RPCStatusCode

_SHUT_DOWN = ActivityCancellationDetails(worker_shutdown=True)
_GONE = ActivityCancellationDetails(not_found=True)


class Notices:
    """Those of the current attempt.

    Args:
        grace: how long running attempts may go on when the worker ends.
    """

    def __init__(self, grace: timedelta = timedelta()) -> None:
        self._grace = grace
        self._last: ActivityCancellationDetails | None = None
        self.paused = False
        """Whether the attempt was paused while it ran."""

    def heard_pause(self) -> bool:
        """Whether the cancel that has just come is a pause alone, and the first one."""
        said = activity.cancellation_details()
        if self.paused or said is None or not said.paused or said.cancel_requested or said.reset:
            return False
        self.paused = True
        return True

    @property
    def shut_down(self) -> bool:
        """Whether the attempt ends for its worker's sake, and not because anybody has cancelled it."""
        said = self._said()
        return said is not None and said.worker_shutdown and not said.cancel_requested

    @property
    def reset(self) -> bool:
        """Whether the attempt ends so that another one begins."""
        said = self._said()
        return said is not None and said.reset and not said.cancel_requested

    @property
    def gone(self) -> bool:
        """Whether the server no longer knows the attempt: its run has ended without it, or somebody has ended it."""
        said = self._said()
        return said is not None and said.not_found and not said.cancel_requested

    async def listen(self, facts: Mapping[str, Any], interval: float, beats: Callable[[], None]) -> None:
        """Returns when a paused attempt is to end; until then, heartbeats for it each so many seconds.

        `beats` is called for each.
        """
        handle = activity.client().get_async_activity_handle(task_token=activity.info().task_token)
        ending = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            while not ending.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(interval):
                        await asyncio.shield(ending)
                beats()
                try:
                    await handle.heartbeat(dict(facts))
                except AsyncActivityCancelledError as error:
                    said = error.details
                    if said is not None and (said.cancel_requested or said.reset):
                        self._last = said
                        return
                except RPCError as error:
                    # Whatever else it is, the server may answer next time.
                    if error.status == RPCStatusCode.NOT_FOUND:
                        self._last = _GONE
                        return
            await asyncio.sleep(self._grace.total_seconds())
            self._last = _SHUT_DOWN
        finally:
            ending.cancel()

    def _said(self) -> ActivityCancellationDetails | None:
        return self._last or activity.cancellation_details()
