"""Scenarios by their number: `python -m tests.differential.generating NUMBER` prints one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.differential.grammar import scenarios
from tests.differential.scenario import Scenario

_DRAWN = 15
"""hypothesis begins with the smallest example, and small ones; this many lead to one that is not."""


def scenario_of(number: int) -> Scenario:
    """The scenario that a number stands for, the same each time (with one version of hypothesis and of the grammar).

    It is drawn in a process of its own: hypothesis draws constants out of the modules that a process has imported.
    """
    command = [sys.executable, "-m", __name__, str(number)]
    folder = Path(__file__).parents[2]
    return Scenario.from_json(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)


def _draw(number: int) -> Scenario:
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


if __name__ == "__main__":
    print(_draw(int(sys.argv[1])).to_json())
