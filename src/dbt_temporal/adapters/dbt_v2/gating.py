"""Which nodes `build` holds back until which tests have passed. Pure.

A node other than a test waits for each test all of whose parents are above the node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping


def held_back_by(
    order: Iterable[str], parents: Mapping[str, Collection[str]], tests: Collection[str]
) -> dict[str, set[str]]:
    """By node, the tests that it waits for and none of its parents does.

    Args:
        order: the nodes, parents first.
        parents: by node, those above it.
        tests: those of the nodes that are data tests.
    """
    tested = sorted({parent for test in tests for parent in parents[test]})
    bit = {unique_id: 1 << number for number, unique_id in enumerate(tested)}
    needs = {test: sum(bit[parent] for parent in parents[test]) for test in tests if parents[test]}
    tests_of: dict[str, list[str]] = {unique_id: [] for unique_id in tested}
    for test in needs:
        for parent in parents[test]:
            tests_of[parent].append(test)
    above: dict[str, int] = {}
    near: dict[str, set[str]] = {}
    waits_for: dict[str, set[str]] = {}
    found: dict[str, set[str]] = {}
    for unique_id in order:
        above[unique_id], near[unique_id], waits_for[unique_id] = 0, set(), set()
        for parent in parents[unique_id]:
            above[unique_id] |= above[parent] | bit.get(parent, 0)
            near[unique_id] |= near[parent] | set(tests_of.get(parent, ()))
            waits_for[unique_id] |= waits_for[parent]
        if unique_id in tests:
            continue
        new = {test for test in near[unique_id] - waits_for[unique_id] if needs[test] & ~above[unique_id] == 0}
        if new:
            found[unique_id] = new
            waits_for[unique_id] |= new
        near[unique_id] -= waits_for[unique_id]
    return found
