"""Where lineage is told."""

from __future__ import annotations

from typing import Protocol

from dbt_temporal.domain.lineage.model import LineageEvent


class LineageSender(Protocol):
    """Sends events to whatever gathers lineage. It never raises, and nobody waits for it."""

    def send(self, event: LineageEvent) -> None:
        """Takes an event, which is sent behind those that were taken before it.

        One that cannot be sent is tried again for as long as it may still be of use; then it is lost, and the worker's
        log says so.
        """

    def close(self) -> None:
        """Sends what waits, for as long as the end of a program may take, and takes nothing more. It may block."""
