"""Which nodes a further process of a run is started for, once one has ended. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from dbt_temporal.adapters.dbt_v2.processes.told import GOOD, Told

State = Literal["good", "bad", "skipped", "open"]
"""How a node stands by the last process that had it: `open` where none has begun it."""


def chosen_nodes(
    parents: Mapping[str, Collection[str]], states: Mapping[str, State], requested: Collection[str]
) -> frozenset[str]:
    """The nodes of a further process: those that are asked for, and what can run with them, as `dbt retry` has it.

    A node that was skipped or never begun comes along where all above it has ended well, or comes along too. One that
    has failed does not, unless it is asked for: whether there is another attempt at it is the run's to say.

    Args:
        parents: by node, in an order in which parents come first, those of its parents that are nodes of the run.
        states: of the nodes; those that are not in it are open.
        requested: nodes that somebody waits for.
    """
    chosen: set[str] = set()
    for unique_id, above in parents.items():
        waits = states.get(unique_id, "open") in ("skipped", "open")
        if unique_id in requested or (
            waits and all(parent in chosen or states.get(parent, "open") == "good" for parent in above)
        ):
            chosen.add(unique_id)
    return frozenset(chosen)


def state_of(told: Told, *, ended: bool) -> State:
    """How a node stands by what a process has told of it, which has `ended` or not."""
    if told.status in GOOD:
        return "good"
    if told.status == "skipped":
        return "skipped"
    began = told.finished or told.started_at or told.error
    return "bad" if began and (ended or told.finished) else "open"
