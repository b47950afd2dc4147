"""The courses of the runs that this worker takes part in, and where their files are."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

from dbt_temporal.adapters.dbt_v2.processes.course import RunCourse
from dbt_temporal.adapters.dbt_v2.processes.judge import Judge
from dbt_temporal.adapters.dbt_v2.processes.process import EVENTS, pid_of_living
from dbt_temporal.domain.run.invocation import DbtInvocation

_KEPT_SECS = 24 * 3600.0
"""For runs whose end this worker does not hear of."""


class Courses:
    """By invocation.

    Args:
        root: each run has a folder below it.
        cancel_secs, settle_secs: as for `RunCourse`.
    """

    def __init__(self, root: Path, cancel_secs: float, settle_secs: float) -> None:
        self._root = root
        self._cancel_secs = cancel_secs
        self._settle_secs = settle_secs
        self._courses: dict[str, RunCourse] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    def folder(self, invocation_id: str) -> Path:
        """Where the files of a run are on this machine."""
        return self._root / invocation_id

    async def of(self, invocation: DbtInvocation, judge: Judge) -> RunCourse:
        """The course of a run, with what an earlier worker of this machine has left of it."""
        invocation_id = invocation.invocation_id
        # What is left of one run may take long to end: the others go on.
        async with self._opening.setdefault(invocation_id, asyncio.Lock()):
            course = self._courses.get(invocation_id)
            if course is None:
                folder = self.folder(invocation_id)
                course = RunCourse(folder / "processes", judge, self._cancel_secs, self._settle_secs)
                folder.joinpath("processes").mkdir(parents=True, exist_ok=True, mode=0o700)
                await course.restore()
                self._courses[invocation_id] = course
            if invocation.is_reset:
                course.go_on_in(invocation.execution)
            return course

    async def end(self, invocation_id: str) -> None:
        """Ends what runs of a run, and removes its files."""
        self._opening.pop(invocation_id, None)
        course = self._courses.pop(invocation_id, None)
        if course is not None:
            await course.close()
        await asyncio.to_thread(shutil.rmtree, self.folder(invocation_id), ignore_errors=True)

    async def close(self) -> None:
        """Ends all that runs. Files stay, for whoever goes on with these runs."""
        await asyncio.gather(*(course.close() for course in self._courses.values()))

    def remove_old(self) -> None:
        """Removes the files of runs of which no process runs, and none has told anything for a day."""
        limit = time.time() - _KEPT_SECS
        for folder in self._root.glob("*/"):
            processes = list(folder.glob("processes/*/"))
            touched = [folder, *folder.glob("processes/*"), *(place / EVENTS for place in processes)]
            newest = max((each.stat().st_mtime for each in touched if each.exists()), default=0.0)
            if newest < limit and not any(pid_of_living(place) for place in processes):
                shutil.rmtree(folder, ignore_errors=True)
