"""Writes that a step begins and need not see the end of: a slow store must not hold up the run."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dbt_temporal.domain.errors import DbtTemporalError

MAX_LATE = 1000
"""What is still to be written is in memory; beyond so many steps' writes a further one is given up."""

logger = logging.getLogger(__name__)

Write = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Patience:
    """How long is waited for a store, in seconds.

    Attributes:
        step_secs: by a step, for what it leaves behind; then it goes on without.
        late_step_secs: the same while others are late already.
        deadline_secs: until a write that fails is given up.
        first_pause_secs: before a write is tried again; doubled each time.
        missing_secs: for files that another worker may still be writing.
    """

    step_secs: float = 5.0
    late_step_secs: float = 0.2
    deadline_secs: float = 300.0
    first_pause_secs: float = 1.0
    missing_secs: float = 10.0


class LateWrites:
    """The writes of a worker that are under way."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._groups: defaultdict[str, set[asyncio.Task[bool]]] = defaultdict(set)
        self._late = 0

    async def begin(self, group: str, what: str, write: Write) -> bool:
        """Begins a write, one of a group, and waits for it for a while.

        Returns:
            whether it is done; otherwise it goes on without the caller, or has been given up, which is logged.
        """
        task = asyncio.create_task(self._keep_writing(what, write))
        tasks = self._groups[group]
        tasks.add(task)
        task.add_done_callback(lambda done: self._forget_done(group, done))
        await asyncio.wait({task}, timeout=self.patience.late_step_secs if self._late else self.patience.step_secs)
        if task.done():
            return task.result()
        if self._late >= MAX_LATE:
            task.cancel()
            logger.warning("%s could not be stored: too much waits for the store already", what)
            return False
        self._late += 1
        task.add_done_callback(self._one_less)
        logger.warning("%s is not stored yet; the run goes on", what)
        return False

    async def settle(self, group: str, limit_secs: float) -> None:
        """Waits for what this worker still writes of a group, for so many seconds."""
        tasks = self._groups.get(group)
        if tasks:
            await asyncio.wait(set(tasks), timeout=max(limit_secs, 0.0))

    def forget(self, group: str) -> None:
        """Says that nobody needs the files of a group any more."""
        for task in self._groups.pop(group, set()).copy():
            task.cancel()

    async def _keep_writing(self, what: str, write: Write) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience.deadline_secs
        pause = self.patience.first_pause_secs
        while True:
            try:
                await write()
                return True
            except DbtTemporalError as error:
                if not error.retryable or loop.time() + pause > deadline:
                    logger.warning("%s could not be stored: %s", what, error.message)
                    return False
            await asyncio.sleep(pause)
            pause *= 2

    def _forget_done(self, group: str, task: asyncio.Task[bool]) -> None:
        """Whoever ends the run may do so on another worker, so groups go by themselves."""
        tasks = self._groups.get(group, set())
        tasks.discard(task)
        if not tasks:
            self._groups.pop(group, None)

    def _one_less(self, _task: asyncio.Task[bool]) -> None:
        self._late -= 1
