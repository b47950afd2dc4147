"""What the nodes of a run read and write, by the manifest that dbt v2 has planned it with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dbt_temporal.adapters.dbt_v2.commands import TargetFacts
from dbt_temporal.adapters.dbt_v2.plan import Manifest, relation_of
from dbt_temporal.domain.lineage.model import LineageGraph, LineageNode
from dbt_temporal.domain.lineage.names import CREDENTIALS, dataset_namespace

_KINDS = frozenset({"model", "seed", "snapshot", "source", "test", "unit_test"})


def run_lineage(manifest: Manifest, selected: Iterable[str], facts: TargetFacts) -> LineageGraph:
    """The nodes that are selected, and what these read in the database."""
    known = {name: getattr(facts, name, None) for name in CREDENTIALS}
    nodes: dict[str, LineageNode] = {}
    stack = sorted(selected)
    while stack:
        unique_id = stack.pop()
        node = _node(manifest.node(unique_id), manifest.parents(unique_id))
        if unique_id not in nodes and node.resource_type in _KINDS:
            nodes[unique_id] = node
            stack += node.parents
    return LineageGraph(dataset_namespace(facts.adapter_type, known), nodes)


def _node(node: Mapping[str, Any], parents: list[str]) -> LineageNode:
    kind = str(node["resource_type"])
    table = node["name"] if kind == "source" else None
    if relation_of(node) is not None:
        table = node.get("alias") or node["name"]
    above = () if kind in ("unit_test", "source") else tuple(parents)
    is_test = kind == "test"
    return LineageNode(
        resource_type=kind,
        database=node.get("database"),
        schema=node.get("schema"),
        table=table,
        parents=above,
        tests=(node.get("attached_node") or next(iter(above), None)) if is_test else None,
        assertion=node["name"] if is_test else None,
        column=node.get("column_name") if is_test else None,
    )
