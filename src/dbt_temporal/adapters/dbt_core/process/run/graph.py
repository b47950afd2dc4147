"""What the nodes of a run are, for its report."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.adapters.dbt_core.process.run.plan import make_plan


def run_graph(run: HostRun, with_code: Collection[str]) -> dict[str, Any]:
    """The fields of `NodeFacts` of all nodes of the plan, behind their unique_ids, the compiled code of some,
    and the relations with the failures of tests among these."""
    plan, _ = make_plan(run)
    nodes = [
        (
            each.unique_id,
            each.name,
            each.resource_type,
            each.materialization,
            each.relation,
            getattr(_node(run, each.unique_id), "original_file_path", None),
            each.depends_on,
        )
        for each in plan.nodes.values()
    ]
    code = {unique_id: getattr(_node(run, unique_id), "compiled_code", None) for unique_id in with_code}
    stored = {
        unique_id: getattr(_node(run, unique_id), "relation_name", None)
        for unique_id in with_code
        if unique_id in plan.nodes and plan.nodes[unique_id].resource_type == "test"
    }
    return {
        "nodes": nodes,
        "code": {unique_id: text for unique_id, text in code.items() if text},
        "stored_failures": {unique_id: name for unique_id, name in stored.items() if name},
    }


def _node(run: HostRun, unique_id: str) -> Any:
    return run.manifest.nodes.get(unique_id) or run.manifest.sources.get(unique_id) or _other(run, unique_id)


def _other(run: HostRun, unique_id: str) -> Any:
    """Unit tests, and what newer versions of dbt run; nothing for what is no node of dbt's."""
    places = ("unit_tests", "exposures", "functions", "saved_queries")
    return next((found for name in places if (found := getattr(run.manifest, name, {}).get(unique_id))), None)
