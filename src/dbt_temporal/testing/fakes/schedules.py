"""Schedules whose times a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error


class FakeSchedules:
    """Implements `Schedules`.

    Attributes:
        times: by the id of a schedule, when it is due, with time zones.
        begins: by the same, its own beginning, where it has one.
        away: whether nobody answers.
        asked: what was asked, in order.
    """

    def __init__(
        self, times: Mapping[str, Sequence[datetime]] | None = None, begins: Mapping[str, datetime] | None = None
    ) -> None:
        self.times = dict(times or {})
        self.begins = dict(begins or {})
        self.away = False
        self.asked: list[tuple[str, datetime]] = []

    async def time_before(self, schedule_id: str, time: datetime) -> datetime:
        """The last of its times before this one, else its beginning."""
        self.asked.append((schedule_id, time))
        if self.away:
            message = f"the times of the schedule {schedule_id!r} cannot be asked for: it is told to be away"
            raise DbtTemporalError(ErrorType.ENGINE_CRASHED, message)
        if schedule_id not in self.times:
            raise configuration_error(f"there is no schedule {schedule_id!r}; give data_interval in the run's input")
        earlier = [each for each in self.times[schedule_id] if each < time]
        begin = self.begins.get(schedule_id)
        if not earlier and begin is not None and begin < time:
            return begin
        if not earlier:
            raise configuration_error(
                f"the schedule {schedule_id!r} has no time before {time.isoformat()}; give data_interval in the input"
            )
        return max(earlier)
