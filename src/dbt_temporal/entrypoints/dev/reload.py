"""Replaces the worker of `dbt-temporal dev` when the project's files change, without disturbing a run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from dbt_temporal.entrypoints.dev.watch import ProjectWatch

LOOK_SECS = 0.5
SHOWN_CHANGES = 3


class ServingWorker(Protocol):
    """A worker process, as far as reloading goes (see `dev_worker.DevWorker`)."""

    output: deque[str]

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        ...

    async def ready(self) -> bool:
        """Waits until it takes work. False where it ended instead."""
        ...

    async def stop(self) -> None:
        """Ends it in good order."""
        ...

    def kill(self) -> None:
        """Ends it at once."""
        ...


@dataclass
class Reloader:
    """Watches files, and has a new worker take over from the old one once the project loads and no run goes on.

    Attributes:
        watch: the project's files.
        start: starts a worker.
        runs_going_on: how many runs have not ended.
        say: tells the user something.
        worker: the worker that serves now, or None while no version of the project has loaded.
        alive: all workers that were started and not stopped: also one that loads, and one that ends.
    """

    watch: ProjectWatch
    start: Callable[[], Awaitable[ServingWorker]]
    runs_going_on: Callable[[], Awaitable[int]]
    say: Callable[[str], None]
    look_secs: float = LOOK_SECS
    worker: ServingWorker | None = None
    alive: list[ServingWorker] = field(default_factory=list)

    async def load(self) -> list[str] | None:
        """Starts a worker and lets it take over when it is ready.

        Returns:
            None, or the output of a worker that did not become ready; then all is as before.
        """
        incoming = await self.start()
        self.alive.append(incoming)
        if not await incoming.ready():
            await self._end(incoming)
            return list(incoming.output)
        outgoing, self.worker = self.worker, incoming
        if outgoing is not None:
            await self._end(outgoing)
        return None

    async def keep_loaded(self) -> None:
        """Reloads after each change, and starts a worker that died again, until it is cancelled."""
        while True:
            changed = await self._settled_changes()
            if changed:
                self.say(f"Changed: {_named(changed)}")
                await self._until_no_run()
            if await self.load() is None:
                self.say("Loaded: the next run uses the new version." if changed else "The worker is back.")
            elif self.worker is not None:
                self.say("Not loaded. The worker before it stays; runs of what has changed meet the same error.")
            else:
                self.say("The project does not load; waiting for the next change.")

    async def stop(self) -> None:
        """Ends all workers."""
        await asyncio.gather(*(self._end(worker) for worker in list(self.alive)))

    def kill(self) -> None:
        """Kills all workers."""
        for worker in self.alive:
            worker.kill()

    async def _end(self, worker: ServingWorker) -> None:
        await worker.stop()
        self.alive.remove(worker)

    async def _settled_changes(self) -> list[str]:
        """Waits for changes, and until a look finds none: editors and checkouts write many files.

        Returns an empty list where the worker has died meanwhile.
        """
        changed: set[str] = set()
        while True:
            await asyncio.sleep(self.look_secs)
            new = await asyncio.to_thread(self.watch.changes)
            if changed and not new:
                return sorted(changed)
            changed.update(new)
            if self.worker is not None and self.worker.exit_code is not None:
                self.say(f"The worker has ended by itself (exit code {self.worker.exit_code}); starting it again.")
                await self._end(self.worker)
                self.worker = None
                return []

    async def _until_no_run(self) -> None:
        """A run keeps to the version that it was planned with."""
        told = False
        while self.worker is not None and (count := await self.runs_going_on()):
            if not told:
                what = "the run" if count == 1 else f"the {count} runs"
                self.say(f"Reloading at the end of {what} under way.")
                told = True
            await asyncio.sleep(self.look_secs)


def _named(paths: list[str]) -> str:
    shown = ", ".join(paths[:SHOWN_CHANGES])
    return f"{shown} and {len(paths) - SHOWN_CHANGES} more" if len(paths) > SHOWN_CHANGES else shown
