"""When a node's attempts began and ended, by the run's own clock; and lengths of time in words."""

from __future__ import annotations

from pydantic import BaseModel, Field

MAX_FAILED_ATTEMPTS = 20
"""So many of a node are kept by their times; its result has the number of all."""
MAX_REASON_CHARS = 300


def _is_empty(value: object) -> bool:
    return not value


class FailedAttempt(BaseModel):
    """An attempt that another one followed, or that was the last; seconds since the run began."""

    began: float
    ended: float
    reason: str


class NodeTimes(BaseModel):
    """All in seconds since the run began.

    Attributes:
        started: when the run gave the node one of its threads.
        ended: when it heard of the node's end.
        failed: attempts that failed, the newest of them last.
        last: when the last attempt began, where it was not the first; for the parts of a microbatch model, of any part.
    """

    started: float
    ended: float | None = None
    failed: list[FailedAttempt] = Field(default_factory=list, exclude_if=_is_empty)
    last: float | None = Field(default=None, exclude_if=lambda value: value is None)

    def attempt_failed(self, began: float, ended: float, reason: str) -> None:
        """Takes note of one."""
        self.failed.append(FailedAttempt(began=began, ended=ended, reason=reason[:MAX_REASON_CHARS]))
        del self.failed[:-MAX_FAILED_ATTEMPTS]


def span(seconds: float) -> str:
    """A length of time by its two largest units: `45s`, `12m 05s`, `3h 05m`, `2d 03h`. One that is negative has `-`."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
