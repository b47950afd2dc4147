"""What the nodes of a run read and write.

Checked on dbt-core 1.11.16 and 1.12.0: `depends_on_nodes`; of tests `attached_node`, `column_name`.
"""

from __future__ import annotations

from typing import Any

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun, is_ephemeral
from dbt_temporal.domain.lineage.names import CREDENTIALS, dataset_namespace

_RELATIONS = frozenset({"model", "seed", "snapshot"})


def run_lineage(run: HostRun) -> dict[str, Any]:
    """The fields of `LineageGraph`, with the nodes that are selected, and what these read in the database."""
    credentials: Any = run.adapter.config.credentials
    known = {name: getattr(credentials, name, None) for name in CREDENTIALS}
    nodes: dict[str, dict[str, Any]] = {}
    unit_tests = getattr(run.task, "model_to_unit_test_map", {}).values()  # dbt runs them with their models
    stack = sorted(run.selected().union(*unit_tests))
    while stack:
        unique_id = stack.pop()
        node = _node(run, unique_id)
        if node is None or unique_id in nodes:
            continue
        nodes[unique_id] = facts = _facts(node)
        stack += facts["parents"]
    return {"namespace": dataset_namespace(run.adapter.type(), known), "nodes": nodes}


def _node(run: HostRun, unique_id: str) -> Any:
    manifest = run.manifest
    return manifest.nodes.get(unique_id) or manifest.sources.get(unique_id) or manifest.unit_tests.get(unique_id)


def _facts(node: Any) -> dict[str, Any]:
    """The fields of `LineageNode`. A unit test reads rows of its own."""
    kind = str(node.resource_type)
    parents = [] if kind in ("unit_test", "source") else list(dict.fromkeys(node.depends_on_nodes))
    facts = {
        "resource_type": kind,
        "database": getattr(node, "database", None),
        "schema": getattr(node, "schema", None),
        "table": None,
        "parents": parents,
    }
    if kind == "source":
        return facts | {"table": node.name}
    if kind in _RELATIONS and not is_ephemeral(node):
        return facts | {"table": node.alias}
    if kind == "test":
        attached = getattr(node, "attached_node", None) or next(iter(parents), None)
        return facts | {"tests": attached, "assertion": node.name, "column": getattr(node, "column_name", None)}
    return facts
