"""The execution plan, from what `dbt list` names and from the manifest that it writes.

Order and skips are dbt's own: the edges say when the run asks for a node, and dbt when it is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import orjson

from dbt_temporal.adapters.dbt_v2.gating import held_back_by
from dbt_temporal.adapters.dbt_v2.processes.told import INLINE
from dbt_temporal.adapters.node_overrides import node_overrides
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error
from dbt_temporal.domain.run.plan import ExecutionPlan, NodeInfo

_LACKING = {
    ("2.0.0-preview.190", "postgres"): (
        "unit_test",
        "its process ends with: not yet implemented: list_relations_schemas",
    )
}
"""By version and adapter, a resource type that ends dbt's process, and in which words."""
MANIFEST_FILE = "manifest.json"
ON_RUN_START, ON_RUN_END = "on-run-start", "on-run-end"
_COUNTED = ("sources", "exposures", "metrics", "semantic_models", "saved_queries", "unit_tests", "functions")
_REPLACING = frozenset({"table", "view", "materialized_view", "dynamic_table", "ephemeral"})
_BY_KEY = frozenset({None, "", "default", "merge", "delete+insert"})
_BY_PARTITION = frozenset({"insert_overwrite", "microbatch", "replace_where"})
_HIGHEST_PRIORITY, _LOWEST_PRIORITY = 1, 5
_WITHOUT_ORDER = frozenset({"list", "clone"})
"""Commands of which no node waits for another one."""


class Manifest:
    """What this engine reads of a manifest.json of dbt v2."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._nodes: dict[str, Any] = {
            **document.get("nodes", {}),
            **document.get("unit_tests", {}),
            **document.get("functions", {}),
            **document.get("sources", {}),
            **document.get("exposures", {}),
            **document.get("saved_queries", {}),
        }

    @property
    def project_name(self) -> str:
        return str(self.document["metadata"].get("project_name") or "")

    @property
    def adapter_type(self) -> str:
        return str(self.document["metadata"].get("adapter_type") or "")

    @property
    def dbt_version(self) -> str:
        return str(self.document["metadata"].get("dbt_version") or "")

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each resource type."""
        counts = Counter(str(node["resource_type"]) for node in self.document.get("nodes", {}).values())
        for key in _COUNTED:
            if self.document.get(key):
                counts[key.removesuffix("s") if key != "saved_queries" else "saved_query"] = len(self.document[key])
        return dict(counts)

    def macro(self, name: str) -> Mapping[str, Any] | None:
        """The macro that `run-operation` finds by a name, with or without its package; None where there is none."""
        package, _, short = name.rpartition(".")
        found = [each for each in self.document.get("macros", {}).values() if each["name"] == short]
        ranks = {self.project_name: 0, "dbt": 2}
        in_order = sorted(found, key=lambda each: ranks.get(each["package_name"], 1))
        return next((dict(each) for each in in_order if package in ("", each["package_name"])), None)

    def take_inline(self) -> str:
        """Takes in the model that an inline query is, which only the manifest of its own process has; its unique_id."""
        unique_id = f"model.{self.project_name}.{INLINE}"
        self._nodes[unique_id] = {
            "resource_type": "model",
            "name": INLINE,
            "package_name": self.project_name,
            "config": {"materialized": "ephemeral"},  # by dbt's events
        }
        return unique_id

    def has(self, unique_id: str) -> bool:
        return unique_id in self._nodes

    def hooks(self, kind: str) -> list[str]:
        """The unique_ids of the hooks of a kind."""
        return [uid for uid, node in self._nodes.items() if node["resource_type"] == "operation" and f"-{kind}-" in uid]

    def node(self, unique_id: str) -> Mapping[str, Any]:
        """Raises Compilation where the manifest does not have it."""
        node = self._nodes.get(unique_id)
        if node is None:
            raise DbtTemporalError(
                ErrorType.COMPILATION, f"dbt v2 lists {unique_id}, and its manifest does not have it"
            )
        return dict(node)

    def parents(self, unique_id: str) -> list[str]:
        """The nodes that one refers to; of a unit test, the model that it tests."""
        node = self._nodes.get(unique_id)
        listed = (node or {}).get("depends_on", {}).get("nodes") or []
        return list(dict.fromkeys(parent for parent in listed if parent in self._nodes))


def read_manifest(target: Path) -> Manifest:
    """That which dbt has written into a target folder."""
    return Manifest(orjson.loads((target / MANIFEST_FILE).read_bytes()))


def make_plan(
    manifest: Manifest, selected: Sequence[str], *, invocation_id: str, command: str, listing: Mapping[str, str]
) -> ExecutionPlan:
    """The plan of a run.

    Args:
        manifest: of the project.
        selected: the nodes, as dbt lists them.
        invocation_id: the run's.
        command: dbt's.
        listing: for the command `list`, the line of each node.

    Raises:
        DbtTemporalError: Compilation, where nodes wait for each other; Configuration, where a node's `meta` is wrong.
    """
    parents = _edges(manifest, selected, command)
    order = _in_order(parents)
    levels = _levels(order, parents)
    priorities = _priorities(order, parents)
    infos = {
        unique_id: _node_info(manifest, unique_id, sorted(parents[unique_id]), level, priorities[unique_id])
        for level, ids in enumerate(levels)
        for unique_id in ids
    }
    if listing:
        infos = {uid: info.model_copy(update={"listing": listing.get(uid)}) for uid, info in infos.items()}
    runs = command != "list" and bool(infos)
    return ExecutionPlan(
        project=manifest.project_name,
        invocation_id=invocation_id,
        levels=levels,
        nodes=infos,
        has_on_run_start=runs and bool(manifest.hooks(ON_RUN_START)),
        has_on_run_end=runs and bool(manifest.hooks(ON_RUN_END)),
    )


def unrepeatable(manifest: Manifest, selected: Iterable[str], *, full_refresh: bool) -> frozenset[str]:
    """Models that add rows each time they run, and those of materializations of which nothing is known."""
    return frozenset(uid for uid in selected if not _is_repeatable(manifest.node(uid), full_refresh=full_refresh))


def refuse_lacking(version: str, adapter_type: str, plan: ExecutionPlan) -> None:
    """Raises Configuration where the plan has what this version is known not to run on this adapter."""
    kind, why = _LACKING.get((version, adapter_type), ("", ""))
    lacking = [unique_id for unique_id, node in plan.nodes.items() if node.resource_type == kind]
    runs = plan.has_on_run_start or any(node.listing is None for node in plan.nodes.values())
    if lacking and runs:
        raise configuration_error(
            f"dbt {version} cannot run a {kind} on {adapter_type} ({why}): leave them out (`exclude_resource_types: "
            f"[{kind}]`), or let the project run on dbt-core; the first is {lacking[0]}"
        )


def _is_repeatable(node: Mapping[str, Any], *, full_refresh: bool) -> bool:
    if node["resource_type"] != "model":
        return True
    config = node.get("config") or {}
    materialized = config.get("materialized")
    if materialized in _REPLACING:
        return True
    if materialized != "incremental":
        return False
    own = config.get("full_refresh")
    strategy = config.get("incremental_strategy")
    anew = full_refresh if own is None else bool(own)
    return anew or strategy in _BY_PARTITION or (strategy in _BY_KEY and bool(config.get("unique_key")))


def _edges(manifest: Manifest, selected: Sequence[str], command: str) -> dict[str, set[str]]:
    """By selected node, the selected ones that it waits for; paths through others are bridged."""
    chosen = frozenset(selected)
    bridged: dict[str, frozenset[str]] = {}
    parents = {unique_id: set(_above(manifest, unique_id, chosen, bridged)) for unique_id in selected}
    if command in _WITHOUT_ORDER:
        return {unique_id: set() for unique_id in selected}
    kinds = {unique_id: manifest.node(unique_id)["resource_type"] for unique_id in selected}
    unit_tests = [unique_id for unique_id, kind in kinds.items() if kind == "unit_test"]
    for unit_test in unit_tests:  # it comes before its model, and after what that reads
        models = [model for model in parents[unit_test] if kinds[model] == "model"]
        parents[unit_test] = set().union(*(parents[model] for model in models)) if models else set()
    if command != "build":
        return parents
    tested = {unit_test: [each for each in manifest.parents(unit_test) if each in chosen] for unit_test in unit_tests}
    tests = {unique_id for unique_id, kind in kinds.items() if kind == "test"}
    for unique_id, waits_for in held_back_by(_in_order(parents), parents, tests).items():
        if kinds[unique_id] != "unit_test":
            parents[unique_id] |= waits_for
    for unit_test, models in tested.items():
        for model in models:
            parents[model].add(unit_test)
    return parents


def _above(
    manifest: Manifest, unique_id: str, chosen: Collection[str], bridged: dict[str, frozenset[str]]
) -> frozenset[str]:
    """The nearest selected nodes above one. Without recursion: chains are as long as projects make them."""
    stack = [unique_id]
    on_the_way: set[str] = set()
    while stack:
        here = stack[-1]
        if here in bridged:
            stack.pop()
            continue
        missing = [
            parent
            for parent in manifest.parents(here)
            if parent not in chosen and parent not in bridged and parent not in on_the_way
        ]
        if missing:
            on_the_way.add(here)
            stack += missing
            continue
        found: set[str] = set()
        for parent in manifest.parents(here):
            found |= {parent} if parent in chosen else bridged.get(parent, frozenset())
        bridged[here] = frozenset(found)
        stack.pop()
    return bridged[unique_id]


def _in_order(parents: Mapping[str, Collection[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        raise DbtTemporalError(
            ErrorType.COMPILATION, f"nodes wait for each other: {', '.join(error.args[1])}"
        ) from error


def _levels(order: Sequence[str], parents: Mapping[str, Collection[str]]) -> list[list[str]]:
    level_of: dict[str, int] = {}
    levels: list[list[str]] = []
    for unique_id in order:
        level = max((level_of[parent] + 1 for parent in parents[unique_id]), default=0)
        level_of[unique_id] = level
        if level == len(levels):
            levels.append([])
        levels[level].append(unique_id)
    return [sorted(level) for level in levels]


def _priorities(order: Sequence[str], parents: Mapping[str, Collection[str]]) -> dict[str, int]:
    """1 for nodes in the highest fifth of the critical path, 5 for those in the lowest."""
    heights = dict.fromkeys(order, 0)
    for unique_id in reversed(order):
        for parent in parents[unique_id]:
            heights[parent] = max(heights[parent], heights[unique_id] + 1)
    steps = max(heights.values(), default=0) + 1
    span = _LOWEST_PRIORITY - _HIGHEST_PRIORITY + 1
    return {
        unique_id: _HIGHEST_PRIORITY + (steps - 1 - height) * span // steps for unique_id, height in heights.items()
    }


def relation_of(node: Mapping[str, Any]) -> str | None:
    """The relation of a node as dbt's console shows it; None where it has none."""
    materialized = (node.get("config") or {}).get("materialized")
    if node["resource_type"] not in ("model", "seed", "snapshot") or materialized == "ephemeral":
        return None
    return f"{node['schema']}.{node.get('alias') or node['name']}"


def _node_info(manifest: Manifest, unique_id: str, depends_on: list[str], rank: int, priority: int) -> NodeInfo:
    node = manifest.node(unique_id)
    config = node.get("config") or {}
    kind = str(node["resource_type"])
    return NodeInfo(
        unique_id=unique_id,
        name=str(node["name"]),
        resource_type=kind,
        materialization=config.get("materialized"),
        package_name=str(node["package_name"]),
        depends_on=depends_on,
        priority=priority,
        rank=rank,
        relation=relation_of(node),
        overrides=node_overrides(unique_id, config.get("meta") or node.get("meta") or {}),
    )
