"""Nodes by the names that people call them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.limits import fit_name
from dbt_temporal.domain.run.plan import NodeInfo

MAX_SHOWN = 5


def find_nodes(nodes: Mapping[str, NodeInfo], names: Iterable[str]) -> list[str]:
    """The unique_ids of nodes that are named by unique_id, name, or `<resource_type>:<name>`, each once.

    Raises:
        DbtTemporalError: of type Configuration, where a name is no node of the run, or more than one.
    """
    by_name: dict[str, list[str]] = {}
    for unique_id, node in nodes.items():
        for name in dict.fromkeys((unique_id, node.name, node.activity_type)):
            by_name.setdefault(name, []).append(unique_id)
    return list(dict.fromkeys(_only_one(name, by_name) for name in names))


def _only_one(name: str, by_name: Mapping[str, list[str]]) -> str:
    found = by_name.get(name, [])
    if len(found) == 1:
        return found[0]
    if found:
        raise configuration_error(f"{name!r} is more than one node: {_some(found)}; give the unique_id")
    near = list(dict.fromkeys(by_name[match][0] for match in get_close_matches(name, by_name, MAX_SHOWN)))
    hint = f"; did you mean {_some(near)}?" if near else ""
    raise configuration_error(f"the run has no node {name!r}{hint}")


def _some(unique_ids: list[str]) -> str:
    more = f" and {len(unique_ids) - MAX_SHOWN} more" if len(unique_ids) > MAX_SHOWN else ""
    return ", ".join(unique_ids[:MAX_SHOWN]) + more


def activity_ids(nodes: Iterable[NodeInfo]) -> dict[str, str]:
    """By unique_id, what an operator calls a node's activity by: its label, or its unique_id where others have that."""
    nodes = list(nodes)
    counts = Counter(node.activity_type for node in nodes)
    return {
        node.unique_id: node.activity_type if counts[node.activity_type] == 1 else fit_name(node.unique_id)
        for node in nodes
    }
