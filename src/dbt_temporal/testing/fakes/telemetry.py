"""Telemetry that remembers."""

from __future__ import annotations

from typing import TypeVar

from dbt_temporal.application.ports.telemetry import Fact

OneFact = TypeVar("OneFact")


class FakeTelemetry:
    """Implements `Telemetry`.

    Attributes:
        facts: what was recorded, in order.
    """

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def record(self, fact: Fact) -> None:
        """Takes note."""
        self.facts.append(fact)

    def of(self, kind: type[OneFact]) -> list[OneFact]:
        """The facts of one kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]
