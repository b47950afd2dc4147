"""A run that is kept open: its nodes have failed, or operators hold some, and all else is done."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from dbt_temporal.application.ports.runtime import RunRuntime
from dbt_temporal.application.run.live_state import LiveState

HOLD_ENDED_REASON = "Skipping because the hold has ended"


class Hold:
    """Waits for an operator's word, or for so long.

    Args:
        runtime: the clock.
        live: is told.
        limit_secs: how long a hold lasts at most (`hold_secs`).
        on_failure: whether a run of which nodes have failed is kept open.
        wake: is set when something about the nodes has changed.
    """

    def __init__(
        self, runtime: RunRuntime, live: LiveState, limit_secs: float, on_failure: bool, wake: asyncio.Event
    ) -> None:
        self._runtime = runtime
        self._live = live
        self._limit_secs = limit_secs
        self._on_failure = on_failure
        self._wake = wake
        self.finished = False
        """Whether the run is kept open no longer."""
        self.waits = False
        """Whether the run is kept open at the moment."""

    def finish(self) -> None:
        """Ends the hold, now or before it has begun."""
        if not self.finished:
            self.finished = True
            self._live.log.add("finish by an operator: the run is kept open no longer")
            self._live.changed()
        self._wake.set()

    def is_due(self, held: list[str]) -> bool:
        """Whether a run at rest, of which `held` are kept from running, waits for an operator."""
        return not self.finished and bool(held or (self._on_failure and not self._live.state.success))

    async def wait(self, held: list[str]) -> None:
        """Waits until something has changed. When the time is up, the hold has ended."""
        ends_at = self._runtime.now() + timedelta(seconds=self._limit_secs)
        reason = f"held: {', '.join(held)}" if held else self._live.state.failure_message()
        how = "Go on node by node (retry, skip, accept), or end it by `finish`"
        self._live.hold_begins(
            f"The run is kept open until {ends_at:%Y-%m-%d %H:%M:%S} UTC (hold_secs): {reason}. {how}"
        )
        timer = asyncio.create_task(self._time_out())
        self.waits = True
        try:
            await self._wake.wait()
        finally:
            self.waits = False
            timer.cancel()
        self._live.hold_ends()

    async def _time_out(self) -> None:
        await self._runtime.sleep(self._limit_secs, "the run is kept open for an operator (hold_secs)")
        self.finished = True
        self._live.log.add("The run's hold has ended by itself (hold_secs)")
        self._wake.set()
