"""What the scheduler says after each event: which nodes start, and which are skipped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FAIL_FAST_REASON = "Skipping due to fail_fast"
"""dbt's own message for nodes that fail-fast kept from running (dbt/task/runnable.py, execute_nodes)."""
FIRST_ERROR_REASON = "Skipping because the command ends at its first error"
"""Of nodes that dbt has no result of: it ends with the error (dbt/task/runnable.py, raise_on_first_error)."""
ENDS_EARLY = frozenset({FAIL_FAST_REASON, FIRST_ERROR_REASON})
SKIP_ORDERED_REASON = "Skipped by an operator"

Order = Literal["hold", "skip", "accept"]
"""What an operator has said of a node before its turn: that it waits, is skipped, or counts as done without a run."""


@dataclass(frozen=True)
class SkippedNode:
    """A node that will not run.

    Attributes:
        unique_id: the node.
        reason: in words.
        cause: the node that it is skipped for, or None where no node is to blame.
        behind: the skipped ephemeral model that was the last above it to take its turn, where one was.
        behind_if_failed: the one above it that took its turn after all that, and stands behind the skip if it turns out
            not to compile.
    """

    unique_id: str
    reason: str
    cause: str | None = None
    behind: str | None = None
    behind_if_failed: str | None = None


@dataclass
class Turn:
    """What follows from one event: nodes to start now, and nodes that ended as skipped or accepted, each in order.

    `ephemerals` are the models that took their turns before a node that starts, and after the one that started last.
    """

    start: list[str] = field(default_factory=list)
    ephemerals: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[SkippedNode] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
