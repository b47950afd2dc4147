"""Temporal's schedules, as far as a run asks them something."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Schedules(Protocol):
    """What knows the times of schedules."""

    async def time_before(self, schedule_id: str, time: datetime) -> datetime:
        """The last time of a schedule's spec before this one, whether or not anything was started then.

        Where there is none, the schedule's own beginning.

        Raises:
            DbtTemporalError: of type Configuration, where there is no such schedule or no such time, saying what to do;
                of type EngineCrashed, where nobody answers.
        """
