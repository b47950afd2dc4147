"""A run that goes on by another plan: what has ended stays so, as far as it is part of the new one."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo
from dbt_temporal.domain.run.scheduler import Scheduler


def scheduler_of_new_plan(
    scheduler: Scheduler, nodes: Mapping[str, NodeInfo], ephemerals: Mapping[str, EphemeralTurn]
) -> Scheduler:
    """A scheduler of the new plan's nodes that continues where this one is. Nothing may run."""
    known = {*nodes, *ephemerals}
    snapshot = scheduler.snapshot()
    snapshot["progress"] = {name: _only(known, value) for name, value in snapshot["progress"].items()}
    snapshot["doom"] = {name: _only(known, value) for name, value in snapshot["doom"].items()}
    snapshot["ready"]["arrived"] = _only(known, snapshot["ready"]["arrived"])
    return Scheduler.restore(nodes, snapshot, ephemerals)


def _only(known: Container[str], value: Any) -> Any:
    if isinstance(value, dict):
        return {unique_id: each for unique_id, each in value.items() if unique_id in known}
    if isinstance(value, list):
        return [unique_id for unique_id in value if unique_id in known]
    return value
