"""What the nodes of a run are, for its report, by the manifest that is stored with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_v2.plan import Manifest, read_manifest, relation_of
from dbt_temporal.domain.report.model import NodeFacts, RunGraph


def run_graph(artifacts: Path, parents: Mapping[str, Collection[str]], with_code: Collection[str]) -> RunGraph:
    """The nodes of a plan, the compiled code of some, and where the tests among these store the rows that they find.

    Args:
        artifacts: the folder of the run's artifacts; where there is no manifest in it, nothing is known.
        parents: by node of the plan, those that it waits for.
        with_code: whose code is wanted.
    """
    try:
        manifest = read_manifest(artifacts)
    except OSError:
        return RunGraph()
    # An inline query is in none where no process came so far.
    known = {unique_id: above for unique_id, above in parents.items() if manifest.has(unique_id)}
    nodes = {unique_id: _facts(manifest, unique_id, above) for unique_id, above in known.items()}
    wanted = {unique_id: manifest.node(unique_id) for unique_id in with_code if unique_id in nodes}
    code = {unique_id: node.get("compiled_code") for unique_id, node in wanted.items()}
    tests = {unique_id: node for unique_id, node in wanted.items() if node["resource_type"] == "test"}
    stored = {unique_id: node.get("relation_name") for unique_id, node in tests.items() if _stores_failures(node)}
    return RunGraph(
        nodes,
        {unique_id: text for unique_id, text in code.items() if text},
        {unique_id: name for unique_id, name in stored.items() if name},
    )


def _stores_failures(test: Mapping[str, Any]) -> bool:
    config = test.get("config") or {}
    return bool(config.get("store_failures") or config.get("store_failures_as") in ("table", "view"))


def _facts(manifest: Manifest, unique_id: str, parents: Collection[str]) -> NodeFacts:
    node = manifest.node(unique_id)
    return NodeFacts(
        name=str(node["name"]),
        resource_type=str(node["resource_type"]),
        materialization=(node.get("config") or {}).get("materialized"),
        relation=relation_of(node),
        path=node.get("original_file_path"),
        depends_on=tuple(parents),
    )
