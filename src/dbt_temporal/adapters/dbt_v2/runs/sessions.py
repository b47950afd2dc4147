"""The sessions of a run in its database: what they are called, and how those that processes have left are ended."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from dbt_temporal.adapters.dbt_v2.commands import TargetFacts, V2Commands, V2Project
from dbt_temporal.adapters.dbt_v2.helper import SESSIONS_CAN_BE_ENDED, session_name
from dbt_temporal.adapters.dbt_v2.processes.course import RunCourse
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.domain.errors import DbtTemporalError

logger = logging.getLogger("dbt_temporal.engine")


class Sessions:
    """Of one run.

    Args:
        commands: start dbt.
        invocation_id: the run's.
        project: the run's.
        folder: of the files of dbt's answers.
        facts: of the target.
    """

    def __init__(
        self,
        commands: V2Commands,
        invocation_id: str,
        project: V2Project,
        folder: Path,
        facts: Callable[[], Awaitable[TargetFacts]],
    ) -> None:
        self._commands = commands
        self._invocation_id = invocation_id
        self._project = project
        self._folder = folder
        self._facts = facts

    async def name(self, number: int) -> str:
        """What those of a process are called, where the database knows them by a name; else empty."""
        is_known = (await self._facts()).adapter_type in SESSIONS_CAN_BE_ENDED
        return session_name(self._invocation_id, number) if is_known else ""

    async def end_of(self, number: int) -> None:
        """Ends those of a process. Raises where they cannot be ended."""
        await self._end(session_name(self._invocation_id, number))

    async def end_of_killed(self, process: V2Process) -> None:
        """Ends those of a process that had to be killed, as far as that can be done: no further step would."""
        if process.died:
            try:
                await self.end_of(process.number)
            except DbtTemporalError as error:
                logger.warning("sessions that run %s has left may go on: %s", self._invocation_id, error.message)

    async def end_left(self, course: RunCourse) -> None:
        """Ends those of the processes that have died here. Raises where they cannot be ended."""
        async with course.ending:  # several nodes that were lost at once ask for it
            for process in course.processes:
                if process.died and not process.sessions_ended:
                    await self.end_of(process.number)
                    process.sessions_ended = True

    async def end_left_if_possible(self, course: RunCourse) -> None:
        """Does so where nothing else is to be done for lack of it, and nobody else does it now."""
        if course.ending.locked():
            async with course.ending:
                return
        try:
            await self.end_left(course)
        except DbtTemporalError as error:
            logger.warning("sessions that run %s has left may go on: %s", self._invocation_id, error.message)

    async def cancel(self, course: RunCourse, unique_id: str) -> None:
        """Ends what runs of a node, in the database too where its process had to be killed."""
        await course.cancel(unique_id)
        await self.end_left_if_possible(course)

    async def end_all(self, course: RunCourse) -> None:
        """Ends all of the run: those of other machines too. Raises where they cannot be ended."""
        async with course.ending:
            await self._end(session_name(self._invocation_id))
            for process in course.processes:
                process.sessions_ended = process.sessions_ended or process.died

    async def _end(self, prefix: str) -> None:
        if (await self._facts()).adapter_type in SESSIONS_CAN_BE_ENDED:
            await self._commands.end_sessions(self._folder, prefix, self._project)
