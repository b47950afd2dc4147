"""Scenarios by their number."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.grammar import scenarios
from tests.differential.scenario import Scenario

_DRAWN = 15
"""hypothesis begins with the smallest example, and small ones; this many lead to one that is not."""


def scenario_of(number: int) -> Scenario:
    """The scenario that a number stands for, the same each time (with one version of hypothesis and of the grammar)."""
    drawn: list[Scenario] = []

    @seed(number)
    @settings(
        max_examples=_DRAWN,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def collect(scenario: Scenario) -> None:
        drawn.append(scenario)

    collect()
    return drawn[-1]
