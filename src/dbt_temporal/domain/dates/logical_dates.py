"""The time that a run is for, and the interval of data that ends there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

INTERVAL_FORM = "a number with s, m, h, d or w, such as 30m, 1h or 1d"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class ScheduledStart(BaseModel):
    """What Temporal says of a run that a schedule has started, be it late or by a backfill.

    Attributes:
        schedule_id: which schedule.
        time: the time that the schedule meant, in RFC 3339.
    """

    model_config = ConfigDict(frozen=True)

    schedule_id: str
    time: str


class LogicalDates(BaseModel):
    """The dates of a run, in RFC 3339, in UTC.

    Attributes:
        scheduled_time: the time that the run is for; its data interval ends there.
        data_interval_start: where the interval begins; None where nothing says so, or nobody has asked.
        schedule_id: whose time it is; None where no schedule has started the run.
    """

    model_config = ConfigDict(frozen=True)

    scheduled_time: str
    data_interval_start: str | None = None
    schedule_id: str | None = None

    @property
    def by_name(self) -> Mapping[str, datetime]:
        """The dates by the names that placeholders have for them; those that are not known are not there."""
        told = {
            "scheduled_time": self.scheduled_time,
            "data_interval_start": self.data_interval_start,
            "data_interval_end": self.scheduled_time,
        }
        return {name: in_utc(text) for name, text in told.items() if text is not None}

    def in_words(self) -> str:
        """One line for the run's log."""
        by = "" if self.schedule_id is None else f" by the schedule {self.schedule_id!r}"
        start = self.data_interval_start
        interval = "" if start is None else f"; data from {start} on"
        return f"The run is for {self.scheduled_time}{by}{interval}"


def in_utc(text: str) -> datetime:
    """A time in RFC 3339; in UTC where it has no time zone. Raises ValueError."""
    time = datetime.fromisoformat(text)
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text} is in no year from 1 to 9999 in UTC") from error


def read_interval(text: str) -> timedelta | None:
    """A length of time as INTERVAL_FORM says; None where it is none."""
    match = re.fullmatch(r"(\d{1,8})([smhdw])", text.strip())
    length = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    return length or None
