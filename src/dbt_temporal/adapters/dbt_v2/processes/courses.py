"""The courses of the runs that this worker takes part in, and where their files are."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from uuid import uuid4

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.dbt_v2.processes.course import RunCourse
from dbt_temporal.adapters.dbt_v2.processes.process import EVENTS, pid_of_living
from dbt_temporal.adapters.dbt_v2.processes.verdicts import Judge
from dbt_temporal.domain.run.invocation import DbtInvocation

_KEPT_SECS = 24 * 3600.0
"""For runs whose end this worker does not hear of."""
PLANNED_SECS = 3600.0
"""For runs that it has planned, and that another one has gone on with."""
TIDY_EVERY_SECS = 3600.0


class Courses:
    """By invocation.

    Args:
        root: each run has a folder below it.
        cancel_secs, settle_secs: as for `RunCourse`.

    Attributes:
        mark: this worker's, which no other one ever has.
    """

    def __init__(self, root: Path, cancel_secs: float, settle_secs: float) -> None:
        self.mark = uuid4().hex
        self._root = root
        self._cancel_secs = cancel_secs
        self._settle_secs = settle_secs
        self._courses: dict[str, RunCourse] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._opened_at: dict[str, float] = {}
        self._tidied_at = time.monotonic()
        self._tidying: asyncio.Task[None] | None = None

    def folder(self, invocation_id: str) -> Path:
        """Where the files of a run are on this machine."""
        return self._root / invocation_id

    async def of(self, invocation: DbtInvocation, judge: Judge) -> RunCourse:
        """The course of a run, with what an earlier worker of this machine has left of it."""
        invocation_id = invocation.invocation_id
        self._tidy_now_and_then()
        self._opened_at[invocation_id] = time.monotonic()
        # What is left of one run may take long to end: the others go on.
        async with self._opening.setdefault(invocation_id, asyncio.Lock()):
            course = self._courses.get(invocation_id)
            if course is None:
                folder = self.folder(invocation_id)
                course = RunCourse(folder / "processes", judge, self._cancel_secs, self._settle_secs)
                folder.joinpath("processes").mkdir(parents=True, exist_ok=True, mode=0o700)
                await course.restore()
                course.answers.take_part(self.mark)
                self._courses[invocation_id] = course
            if invocation.is_reset:
                course.go_on_in(invocation.execution)
            return course

    def keep(self, invocation_id: str) -> None:
        """Keeps the files of a run for as long as this worker lives, however long nothing is heard of it."""
        private_copies.use_copy(self.folder(invocation_id))

    async def end(self, invocation_id: str) -> None:
        """Ends what runs of a run, and removes its files."""
        self._opening.pop(invocation_id, None)
        self._opened_at.pop(invocation_id, None)
        course = self._courses.pop(invocation_id, None)
        if course is not None:
            await course.close()
        await asyncio.to_thread(shutil.rmtree, self.folder(invocation_id), ignore_errors=True)
        private_copies.let_go(self.folder(invocation_id))
        private_copies.remove_lock(self.folder(invocation_id))

    async def close(self) -> None:
        """Ends all that runs. Files stay, for whoever goes on with these runs."""
        await asyncio.gather(*(course.close() for course in self._courses.values()))
        for invocation_id in self._courses:
            private_copies.let_go(self.folder(invocation_id))

    def remove_old(self) -> None:
        """Removes the files of runs that no worker keeps, of which no process runs, and none has told anything for a
        day; of runs that were planned here and begun nowhere here, for an hour."""
        for folder in self._root.glob("*/"):
            processes = list(folder.glob("processes/*/"))
            touched = [
                folder,
                *folder.glob("*/"),
                *folder.glob("processes/*"),
                *(place / EVENTS for place in processes),
            ]
            newest = max((each.stat().st_mtime for each in touched if each.exists()), default=0.0)
            if newest > time.time() - (_KEPT_SECS if processes else PLANNED_SECS):
                continue
            with private_copies.unheld(folder) as lock:
                if lock is not None and not any(pid_of_living(place) for place in processes):
                    shutil.rmtree(folder, ignore_errors=True)
                    private_copies.remove_lock(folder)

    def _tidy_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._tidied_at < TIDY_EVERY_SECS:
            return
        self._tidied_at = now
        for invocation_id, course in list(self._courses.items()):
            is_idle = not course.processes and course.current is None
            if is_idle and now - self._opened_at[invocation_id] > PLANNED_SECS:
                del self._courses[invocation_id], self._opened_at[invocation_id]
                self._opening.pop(invocation_id, None)
        self._tidying = asyncio.create_task(asyncio.to_thread(self.remove_old))
