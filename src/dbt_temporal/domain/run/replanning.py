"""A run that goes on by another plan: what has ended stays so, as far as it is part of the new one."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo
from dbt_temporal.domain.run.scheduler import FAILURES, Scheduler


def scheduler_of_new_plan(
    scheduler: Scheduler, nodes: Mapping[str, NodeInfo], ephemerals: Mapping[str, EphemeralTurn]
) -> Scheduler:
    """A scheduler of the new plan's nodes that continues where this one is. Nothing may run.

    It has not come to its end, whatever had brought this one there: new nodes run. Ephemeral models that were skipped
    take their turns again: what they were skipped for may lie above them no more.
    """
    known = {*nodes, *ephemerals}
    snapshot = scheduler.snapshot()
    progress = {name: _only(known, value) for name, value in snapshot["progress"].items()}
    doom = {name: _only(known, value) for name, value in snapshot["doom"].items()}
    # A model may be ephemeral now, or no more.
    progress |= {name: _only(nodes, progress[name]) for name in ("_ended", "_words")}
    words = {word for unique_id, word in progress["_words"].items() if nodes[unique_id].in_queue}
    passed = ephemerals.keys() - set(doom["sources"])
    snapshot["progress"] = progress | {
        "_stopped": None,
        "_failed": not FAILURES.isdisjoint(words),
        "_erred": "error" in words,
        "_passed": _only(passed, progress["_passed"]),
    }
    # Only what has ended dooms others: one that was skipped as an ephemeral model may be a table now.
    snapshot["doom"] = doom | {"sources": _only(progress["_ended"], doom["sources"])}
    snapshot["ready"]["arrived"] = _only(known, snapshot["ready"]["arrived"])
    return Scheduler.restore(nodes, snapshot, ephemerals)


def _only(known: Container[str], value: Any) -> Any:
    if isinstance(value, dict):
        return {unique_id: each for unique_id, each in value.items() if unique_id in known}
    if isinstance(value, list):
        return [unique_id for unique_id in value if unique_id in known]
    return value
