"""A sender of lineage that remembers."""

from __future__ import annotations

from dbt_temporal.domain.lineage.model import LineageEvent


class FakeLineageSender:
    """Implements `LineageSender`.

    Attributes:
        events: what was sent, in order.
    """

    def __init__(self) -> None:
        self.events: list[LineageEvent] = []

    def send(self, event: LineageEvent) -> None:
        """Takes note."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing waits."""

    def told(self) -> list[tuple[str, str]]:
        """The jobs with the types of their events, in order."""
        return [(event.job, event.type.value) for event in self.events]
