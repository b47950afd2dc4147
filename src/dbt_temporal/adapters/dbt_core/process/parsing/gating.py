"""Edges from tests to the nodes that `build` holds back until they have passed.

dbt's rule (`Linker.add_test_edges_1`, dbt-core 1.11.16 and 1.12.0): a node other than a test waits for every test all
of whose parents are upstream of the node. dbt writes down all such pairs, 451,000 edges and 17 s for 1,000 models; here
an edge is left out where a path says the same already, in one walk along the graph. Sets are bits of integers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import networkx as nx
from dbt.contracts.graph.manifest import Manifest
from dbt.node_types import NodeType


def edges_from_tests(graph: nx.DiGraph, manifest: Manifest) -> list[tuple[str, str]]:
    """The edges (test, node) whose paths are those of dbt's rule."""
    return _Walk(graph, manifest).edges()


class _Walk:
    def __init__(self, graph: nx.DiGraph, manifest: Manifest) -> None:
        self._graph = graph
        nodes = manifest.nodes
        self._tests = [uid for uid in graph if uid in nodes and nodes[uid].resource_type == NodeType.Test]
        self._waiting = {uid for uid in graph if uid in nodes} - set(self._tests)
        parents = {test: set(nodes[test].depends_on_nodes) for test in self._tests}
        tested = sorted(set().union(*parents.values())) if parents else []
        self._bit = {uid: 1 << number for number, uid in enumerate(tested)}
        self._needs = [sum(self._bit[uid] for uid in parents[test]) for test in self._tests]
        self._tests_of: dict[str, int] = defaultdict(int)
        for number, test in enumerate(self._tests):
            for uid in parents[test]:
                self._tests_of[uid] |= 1 << number

    def edges(self) -> list[tuple[str, str]]:
        """Walks from parents to children."""
        pairs: list[tuple[str, str]] = []
        upstream: dict[str, int] = {}  # which tested nodes lie above a node
        nearby: dict[str, int] = {}  # which tests have a parent above a node
        covered: dict[str, int] = {}  # for which tests a node waits
        for node in nx.topological_sort(self._graph):
            above = list(self._graph.predecessors(node))
            upstream[node] = _union(upstream[uid] | self._bit.get(uid, 0) for uid in above)
            nearby[node] = _union(nearby[uid] | self._tests_of.get(uid, 0) for uid in above)
            covered[node] = _union(covered[uid] for uid in above)
            if node not in self._waiting:
                continue
            candidates = nearby[node] & ~covered[node]
            if len(above) == 1 and above[0] in self._waiting:
                candidates &= self._tests_of.get(above[0], 0)  # nothing else is new since the parent
            for number in _bits(candidates):
                if self._needs[number] & ~upstream[node] == 0:
                    covered[node] |= 1 << number
                    pairs.append((self._tests[number], node))
        return pairs


def _union(sets: Iterator[int]) -> int:
    union = 0
    for bits in sets:
        union |= bits
    return union


def _bits(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
