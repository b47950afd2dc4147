"""Nodes between two attempts. An operator may have the next one come at once, or hold it back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from dbt_temporal.application.ports.runtime import RunRuntime


class HandedOnError(Exception):
    """A node does not go on in this execution of the run, but in the next one."""


@dataclass
class _Wait:
    task: asyncio.Task[object]
    cut: bool = False


class Waits:
    """The waits of one run, by node; a microbatch model has several at a time.

    Args:
        runtime: the clock.
        held_back: called when a node is kept from its next attempt.
    """

    def __init__(self, runtime: RunRuntime, held_back: Callable[[], None]) -> None:
        self._runtime = runtime
        self._tell = held_back
        self._waits: dict[str, list[_Wait]] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._kept_back: dict[str, None] = {}
        self._given_up: set[str] = set()
        self.handing_on = False
        """Whether the nodes go on in another execution."""

    async def wait(self, unique_id: str, seconds: float, why: str | None = None) -> bool:
        """Waits before the next attempt at a node: so long, or until it is cut short; while it is held, until released.

        `why` is told to whoever sees the wait.

        Returns:
            whether there is a next attempt: false where a hold has ended without one.

        Raises:
            HandedOnError: the next attempt comes in another execution.
        """
        if unique_id not in self._held and not self.handing_on:
            await self._sleep(unique_id, seconds, why)
        while unique_id in self._held and not self.handing_on:
            self._kept_back[unique_id] = None
            self._tell()
            await self._held[unique_id].wait()
        if self.handing_on:
            raise HandedOnError
        self._kept_back.pop(unique_id, None)
        return unique_id not in self._given_up

    def cut(self, unique_id: str) -> bool:
        """Has the next attempt at a node come now. Returns whether it was waiting for one."""
        waiting = self._waits.get(unique_id, [])
        for wait in waiting:
            if not wait.cut:
                wait.cut = True
                wait.task.cancel()
        return bool(waiting)

    def cut_all(self) -> list[str]:
        """Has the next attempts at all nodes that wait for one come now, and returns these nodes."""
        return [unique_id for unique_id in list(self._waits) if self.cut(unique_id)]

    def hold(self, unique_id: str) -> None:
        """Lets no further attempt at a node begin."""
        self._held.setdefault(unique_id, asyncio.Event())
        self._given_up.discard(unique_id)

    def release(self, unique_id: str) -> bool:
        """Takes a hold back. Returns whether there was one."""
        event = self._held.pop(unique_id, None)
        if event is not None:
            event.set()
        return event is not None

    def give_up(self) -> None:
        """Ends all holds, with no further attempts."""
        for unique_id in self.held_back:
            self._given_up.add(unique_id)
            self.release(unique_id)

    def hand_on(self) -> None:
        """Ends all waits: who waits goes on in another execution."""
        self.handing_on = True
        self.cut_all()
        for event in self._held.values():
            event.set()

    def call_off(self) -> None:
        """Who waits goes on in this execution after all."""
        self.handing_on = False
        for event in self._held.values():
            event.clear()

    @property
    def holds(self) -> list[str]:
        """Nodes of which no further attempt may begin."""
        return list(self._held)

    def is_waiting(self, unique_id: str) -> bool:
        """Whether a node is between two attempts, or kept from a further one."""
        return unique_id in self._waits or unique_id in self._held

    @property
    def held_back(self) -> list[str]:
        """Nodes that would make their next attempt now, if they were not held."""
        return [unique_id for unique_id in self._held if unique_id in self._kept_back]

    async def _sleep(self, unique_id: str, seconds: float, why: str | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        wait = _Wait(task)
        self._waits.setdefault(unique_id, []).append(wait)
        try:
            await self._runtime.sleep(seconds, why)
        except asyncio.CancelledError:
            # The operator's cancel ends the sleep alone; one of the run ends the node.
            if not wait.cut or task.uncancel() > 0:
                raise
        finally:
            self._waits[unique_id].remove(wait)
            if not self._waits[unique_id]:
                del self._waits[unique_id]
