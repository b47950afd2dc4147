"""How many steps of one turn are handed to the worker that carries the turn out, with the server's answer to it."""

from __future__ import annotations

MAX_IN_TURN = 3
"""The SDK takes no more (temporalio 1.35); others go by the queue, where any worker may take them."""


class HandingOn:
    """Counts the steps of the turn that goes on. A turn is known by the length of the history at its begin."""

    def __init__(self) -> None:
        self._turn = -1
        self._steps = 0

    def has_room(self, events: int) -> bool:
        """Whether one more is handed on, where the worker has room for it."""
        return self._turn != events or self._steps < MAX_IN_TURN

    def sent(self, events: int) -> None:
        """Counts one that was sent to the run's own queue."""
        if self._turn != events:
            self._turn, self._steps = events, 0
        self._steps += 1
