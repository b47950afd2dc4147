"""When the nodes of a run go on in another execution of its workflow: when the history of this one has become long.

Nothing more starts then. Attempts that are under way are waited for, as another execution could not hear of them; nodes
between two attempts, and those that operators hold, are handed on as they are.
"""

from __future__ import annotations

from collections.abc import Callable

from dbt_temporal.application.ports.runtime import RunRuntime
from dbt_temporal.application.run.nodes.waits import Waits
from dbt_temporal.domain.run.plan import HistoryLimits


class HandOver:
    """That of one run.

    Args:
        runtime: knows how long the history is.
        limits: when it is long; None where a run stays in one execution.
        waits: has the nodes that wait.
        begins: is called when it begins, while attempts are still waited for.
    """

    def __init__(
        self, runtime: RunRuntime, limits: HistoryLimits | None, waits: Waits, begins: Callable[[], object]
    ) -> None:
        self._runtime = runtime
        self.limits = limits
        self._waits = waits
        self._begins = begins
        self.begun = False
        self.handed_on: dict[str, None] = {}
        """Nodes that have left their tasks, in that order."""

    def is_due(self) -> bool:
        """Whether to begin. Asked when a node has ended, so that each execution brings the run forward."""
        return not self.begun and self.limits is not None and self._runtime.is_longer_than(self.limits)

    def begin(self) -> None:
        """Ends all waits."""
        self.begun = True
        self._waits.hand_on()
        self._begins()

    def call_off(self) -> list[str]:
        """The run comes to its end here after all. Returns the nodes that had been handed on."""
        self.begun = False
        self._waits.call_off()
        handed_on, self.handed_on = list(self.handed_on), {}
        return handed_on
