"""When the nodes of a run go on in another execution of its workflow: when the history of this one has become long.

Nothing more starts then. Attempts that are under way are waited for, as another execution could not hear of them; nodes
between two attempts, and those that operators hold, are handed on as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

from dbt_temporal.application.ports.runtime import RunRuntime
from dbt_temporal.application.run.nodes.waits import Waits
from dbt_temporal.domain.log.run_log import RunLog
from dbt_temporal.domain.run.plan import HistoryLimits

MAX_NODES = 100_000
"""Packing the plan of more would take longer than a workflow has for a turn."""


class Packing(Protocol):
    """Packs what the next execution has to know."""

    def begin(self) -> None:
        """Packs what will not change any more, while attempts are still waited for."""

    def pack(self) -> list[bytes]:
        """Packs all of it, as it is now, in parts."""


class HandOver:
    """That of one run.

    Args:
        runtime: knows how long the history is.
        limits: when it is long; None where a run stays in one execution.
        nodes: how many nodes the run has.
        waits: has the nodes that wait.
        packing: packs.
    """

    def __init__(
        self, runtime: RunRuntime, limits: HistoryLimits | None, nodes: int, waits: Waits, packing: Packing
    ) -> None:
        self._runtime = runtime
        self._limits = limits if nodes <= MAX_NODES else None
        self._waits = waits
        self._packing = packing
        self.begun = False
        self.handed_on: dict[str, None] = {}
        """Nodes that have left their tasks, in that order."""

    def is_due(self) -> bool:
        """Whether to begin. Asked when a node or a batch has ended, so that each execution brings the run forward."""
        return not self.begun and self._limits is not None and self._runtime.is_longer_than(self._limits)

    def begin(self) -> None:
        """Ends all waits."""
        self.begun = True
        self._waits.hand_on()
        with suppress(Exception):  # `can_be` comes to the same, and tells of it: the run itself goes on
            self._packing.begin()

    def can_be(self, log: RunLog) -> bool:
        """Whether another execution can take over what there is to carry. Where not, it is told, and asked no more."""
        try:
            carried = self._packing.pack()
            if self._runtime.can_carry(carried):
                return True
            why = f"{sum(map(len, carried))} bytes are too many for the arguments of a workflow"
        except Exception as error:  # whatever it is: the run itself goes on
            why = f"{type(error).__name__}: {error}"
        self._limits = None
        log.add(
            f"The run cannot go on in another execution of its workflow ({why}): it stays in this one as long as its "
            "history has room"
        )
        return False

    def carry_out(self) -> NoReturn:
        """Ends this execution. Raises what the runtime's `hand_over` does."""
        self._runtime.hand_over(self._packing.pack())

    def call_off(self, go_on: Callable[[list[str]], None]) -> None:
        """The nodes that had been handed on go on here after all."""
        self.begun = False
        self._waits.call_off()
        handed_on, self.handed_on = list(self.handed_on), {}
        go_on(handed_on)
