"""A sender of lineage that remembers."""

from __future__ import annotations

from dbt_temporal.domain.lineage.model import LineageEvent


class FakeLineageSender:
    """Implements `LineageSender`.

    Attributes:
        events: what was sent, in order.
        closed: whether it takes nothing more.
    """

    def __init__(self) -> None:
        self.events: list[LineageEvent] = []
        self.closed = False

    def send(self, event: LineageEvent) -> None:
        """Takes note."""
        if not self.closed:
            self.events.append(event)

    def close(self) -> None:
        """Nothing waits."""
        self.closed = True

    def told(self) -> list[tuple[str, str]]:
        """The jobs with the types of their events, in order."""
        return [(event.job, event.type.value) for event in self.events]
