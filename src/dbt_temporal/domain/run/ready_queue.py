"""The nodes of a plan that could start, in the order in which they do."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable, Mapping
from typing import Any

from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo


class ReadyQueue:
    """Nodes whose parents have ended.

    With `first_come`, those that became ready first come first, and of those that became ready together the lowest
    rank, then the lowest name: dbt's queue hands nodes to its threads in that order (dbt/graph/queue.py and
    dbt/task/runnable.py, handle_job_queue). A unit test is run with its model there, as one job.
    Without, the lowest rank comes first, then the longest remaining path, then the plan's order.

    Args:
        nodes: the plan's nodes.
        ephemerals: ephemeral models that take turns between them.
        first_come: go by dbt's order.

    Raises:
        DbtTemporalError: of type Configuration, where the plan has a cycle or names a node that it does not hold.
    """

    def __init__(
        self, nodes: Mapping[str, NodeInfo], ephemerals: Mapping[str, EphemeralTurn], *, first_come: bool
    ) -> None:
        self._nodes = nodes
        self.first_come = first_come
        self.children = _children_of(nodes)
        self.heights = _heights(nodes, self.children)
        self.followers = _followers(self.children, ephemerals)
        """By node and ephemeral model, all that waits for it: the children, with ephemeral models among them."""
        self._ranks = {unique_id: node.rank or 0 for unique_id, node in nodes.items()}
        self._ranks |= {unique_id: turn.rank for unique_id, turn in ephemerals.items()}
        self._index = {unique_id: index for index, unique_id in enumerate(self._ranks)}
        self._arrivals = 0
        self._arrived: dict[str, int] = {}
        self._heap: list[tuple[tuple[int, int, int | str], int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def next_arrivals(self) -> None:
        """What is pushed from now on became ready later than what was before."""
        self._arrivals += 1

    def push(self, unique_id: str, after: str | None = None) -> None:
        """Takes a node. `after` is the node whose end has made it ready: a model comes in its unit tests' place."""
        arrival = self._arrived.get(after or "", 0) if self.is_unit_test(after) else self._arrivals
        self._push(unique_id, arrival)

    def is_unit_test(self, unique_id: str | None) -> bool:
        """Whether this is a unit test, which runs with its model."""
        node = self._nodes.get(unique_id or "")
        return node is not None and node.resource_type == "unit_test"

    def pop(self) -> str:
        """The next node."""
        return heapq.heappop(self._heap)[-1]

    def clear(self) -> None:
        """Drops all nodes."""
        self._heap.clear()

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues."""
        return {"first_come": self.first_come, "arrivals": self._arrivals, "arrived": dict(self._arrived)}

    def restore(self, snapshot: Mapping[str, Any], ready: list[str]) -> None:
        """Continues where the snapshot was taken, with the nodes that were ready then."""
        self._arrivals = snapshot["arrivals"]
        self._arrived = dict(snapshot["arrived"])
        for unique_id in ready:
            self._push(unique_id, self._arrived.get(unique_id, 0))

    def refill(self, ready: Iterable[str], anew: Container[str]) -> None:
        """Holds these nodes alone; those of `anew` come as if they were ready only now."""
        self._heap.clear()
        self._arrivals += 1
        for unique_id in ready:
            arrival = self._arrivals if unique_id in anew else self._arrived.get(unique_id, self._arrivals)
            self._push(unique_id, arrival)

    def _push(self, unique_id: str, arrival: int) -> None:
        rank = self._ranks[unique_id]
        self._arrived[unique_id] = arrival
        key = (arrival, rank, self._job(unique_id)) if self.first_come else (0, rank, -self.heights.get(unique_id, 0))
        heapq.heappush(self._heap, (key, self._index[unique_id], unique_id))

    def _job(self, unique_id: str) -> str:
        while self.is_unit_test(unique_id) and self.children[unique_id]:
            unique_id = self.children[unique_id][0]
        return unique_id


def _children_of(nodes: Mapping[str, NodeInfo]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {unique_id: [] for unique_id in nodes}
    for unique_id, node in nodes.items():
        for parent in dict.fromkeys(node.depends_on):
            if parent not in children:
                raise configuration_error(f"the plan is broken: {unique_id} depends on {parent}, which is not in it")
            children[parent].append(unique_id)
    return children


def _followers(children: Mapping[str, list[str]], ephemerals: Mapping[str, EphemeralTurn]) -> dict[str, list[str]]:
    followers = {unique_id: list(below) for unique_id, below in children.items()}
    followers |= {unique_id: list(turn.children) for unique_id, turn in ephemerals.items()}
    for unique_id, turn in ephemerals.items():
        for parent in turn.depends_on:
            followers[parent].append(unique_id)
    return followers


def _heights(nodes: Mapping[str, NodeInfo], children: Mapping[str, list[str]]) -> dict[str, int]:
    heights = dict.fromkeys(nodes, 1)
    unseen_children = {unique_id: len(below) for unique_id, below in children.items()}
    leaves = [unique_id for unique_id, count in unseen_children.items() if count == 0]
    seen = 0
    while leaves:
        unique_id = leaves.pop()
        seen += 1
        for parent in dict.fromkeys(nodes[unique_id].depends_on):
            heights[parent] = max(heights[parent], heights[unique_id] + 1)
            unseen_children[parent] -= 1
            if unseen_children[parent] == 0:
                leaves.append(parent)
    if seen < len(nodes):
        stuck = [unique_id for unique_id, count in unseen_children.items() if count]
        raise configuration_error(f"the plan is broken: these nodes wait for each other: {', '.join(stuck[:5])}")
    return heights
