"""Following a submitted run to its end: polling, interruption, and the wait for a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from dbt_temporal.application.ports.runs import Ending, Outcome, RunGateway, Snapshot, SubmittedRun
from dbt_temporal.domain.errors import DbtTemporalError

Output = TypeVar("Output")

POLL_SECS = 0.25
POLL_SHARE = 4.0
"""A poll is followed by a pause of at least this many times its own length: big runs are asked less often."""
LEAVE_SECS = 3.0
"""How long a user who leaves waits for the server to take the cancel."""
WATCH_SECS = 0.5
"""How often it is looked whether the server has been heard of."""
SILENCE_SECS = 2.0
"""After so much time without a snapshot the server is asked whether it is there."""
WORKER_NOTICE_SECS = 3.0
"""How long a run may go without an answer before the reader is told that no worker polls."""


class RunView(Protocol):
    """What shows a run to a person."""

    wants_nodes: bool
    """Whether snapshots need the state of each node."""
    wants_events: bool
    """Whether they need what events are made of beside lines of the log."""

    def show(self, snapshot: Snapshot) -> None:
        """Shows where the run stands, and its new log lines."""

    def note(self, text: str) -> None:
        """Says something about the run that is not from its log."""

    def away(self, text: str | None) -> None:
        """Says that the server does not answer; None takes it back."""


@dataclass
class Interrupts:
    """Counts what Ctrl-C and SIGTERM ask for: the first cancels, the second leaves."""

    count: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def interrupt(self) -> None:
        self.count += 1
        self._changed.set()

    async def more_than(self, seen: int) -> None:
        while self.count <= seen:
            self._changed.clear()
            await self._changed.wait()


@dataclass
class Follower:
    """Follows one run.

    Attributes:
        interrupts: what the user has asked for since.
        wait_for_worker_secs: how long a run that nobody takes is waited for.
        clock: a monotonic clock in seconds.
        wall_clock: the time of day.
        detaches: whether a user who interrupts leaves the run as it is.
    """

    run: SubmittedRun
    gateway: RunGateway
    view: RunView
    interrupts: Interrupts
    wait_for_worker_secs: float
    clock: Callable[[], float]
    poll_secs: float = POLL_SECS
    poll_share: float = POLL_SHARE
    worker_notice_secs: float = WORKER_NOTICE_SECS
    leave_secs: float = LEAVE_SECS
    watch_secs: float = WATCH_SECS
    silence_secs: float = SILENCE_SECS
    wall_clock: Callable[[], datetime] = datetime.now
    detaches: bool = False
    _answered: bool = False
    _cancelled: bool = False
    _noticed: bool = False
    _interrupts_seen: int = 0
    _heard: float = 0.0
    """When the server was last heard of, by the clock."""
    _is_away: bool = False

    async def follow(self) -> Outcome | None:
        """Shows the run until it has ended. Returns None where the user left before that."""
        began = self._heard = self.clock()
        ending = asyncio.ensure_future(self.run.outcome())
        watching = asyncio.ensure_future(self._watch_server())
        try:
            while not ending.done():
                if await self._left_by_user():
                    return None
                pause = await self._unless_interrupted(self._poll())
                if not self._answered:
                    await self._unless_interrupted(self._look_for_workers(self.clock() - began))
                await self._pause(ending, pause or self.poll_secs)
            outcome = await ending
        finally:
            for each in (ending, watching):
                each.cancel()
        self._is_heard(self.clock())
        if outcome.ending is not Ending.TERMINATED:
            # The last lines of the log; a terminated run has none, and perhaps no worker that could answer.
            await self._poll()
        return outcome

    async def _poll(self) -> float:
        """Shows one snapshot. Returns how long to wait until the next."""
        began = self.clock()
        view = self.view
        snapshot = await self.run.snapshot(with_nodes=view.wants_nodes, with_events=view.wants_events)
        if snapshot is None:
            return self.poll_secs
        self._answered = True
        now = self.clock()
        self._is_heard(now)
        view.show(snapshot)
        return max(self.poll_secs, self.poll_share * (now - began))

    async def _watch_server(self) -> None:
        """Tells when the server is away, and when it is back. A snapshot takes long then, and says less: it may also be
        that no worker answers."""
        while True:
            await asyncio.sleep(self.watch_secs)
            silent = self.clock() - self._heard
            if silent < self.silence_secs:
                continue
            if await self.gateway.answers():
                self._is_heard(self.clock())
            elif not self._is_away:
                self._is_away = True
                since = self.wall_clock() - timedelta(seconds=self.clock() - self._heard)
                self.view.away(
                    f"Temporal does not answer since {since:%H:%M:%S}; still trying. The run itself goes on."
                )

    def _is_heard(self, now: float) -> None:
        silent, self._heard = now - self._heard, now
        if self._is_away:
            self._is_away = False
            self.view.away(None)
            self.view.note(f"Temporal answers again, after {silent:.0f} seconds.")

    async def _pause(self, ending: asyncio.Future[Outcome], seconds: float) -> None:
        """Waits, but not longer than to the run's end or the next interrupt."""
        interrupted = asyncio.ensure_future(self.interrupts.more_than(self._interrupts_seen))
        waited_for: list[asyncio.Future[Any]] = [ending, interrupted]
        await asyncio.wait(waited_for, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        interrupted.cancel()

    async def _left_by_user(self) -> bool:
        """Acts on new interrupts. Returns whether the user does not wish to wait any longer."""
        if self.interrupts.count == self._interrupts_seen:
            return False
        if self.detaches:
            return True
        first = self._interrupts_seen == 0
        self._interrupts_seen = self.interrupts.count
        if not first or self.interrupts.count > 1:
            await self._leave()
            return True
        if not self._answered and not await self.gateway.has_workers():
            # Nothing has run, and nobody is there to cancel it.
            await self.run.terminate("interrupted before a worker took the run")
            return False
        self.view.note("Cancelling: waiting until running nodes have stopped. Ctrl-C again leaves at once.")
        self._cancelled = await self._unless_interrupted(self._cancel()) is not None
        return False

    async def _cancel(self) -> bool:
        await self.run.cancel()
        return True

    async def _leave(self) -> None:
        if not self._cancelled:
            with suppress(DbtTemporalError, TimeoutError):
                async with asyncio.timeout(self.leave_secs):
                    self._cancelled = await self._cancel()
        if self._cancelled:
            self.view.note(f"Left. The run goes on cancelling; its workflow id is {self.run.workflow_id}.")
        else:
            self.view.note(
                f"Left. Temporal does not answer, so the run goes on; its workflow id is {self.run.workflow_id}."
            )

    async def _unless_interrupted(self, work: Coroutine[Any, Any, Output]) -> Output | None:
        """Does the work, unless an interrupt comes before its end: a server that is away lets it take long."""
        task = asyncio.ensure_future(work)
        interrupted = asyncio.ensure_future(self.interrupts.more_than(self._interrupts_seen))
        waited_for: list[asyncio.Future[Any]] = [task, interrupted]
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for each in waited_for:
                each.cancel()
            await asyncio.gather(*waited_for, return_exceptions=True)

    async def _look_for_workers(self, waited: float) -> None:
        if waited < self.worker_notice_secs or await self.gateway.has_workers():
            return
        if not self._noticed:
            self._noticed = True
            self.view.note(
                f"No worker polls {self.gateway.place}. The run waits for one: start `dbt-temporal worker` "
                "(or `dbt-temporal dev`) with the same address, namespace and task queue."
            )
        if waited >= self.wait_for_worker_secs:
            waiting = f"{self.wait_for_worker_secs:g} seconds (--wait-for-worker)"
            await self.run.terminate(f"no worker came within {waiting}; nothing was run")
