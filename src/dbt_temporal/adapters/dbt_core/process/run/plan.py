"""The execution plan, from dbt's own queue.

Checked on dbt-core 1.11.16 and 1.12.0: `RunTask.get_hooks_by_type`, `ListTask.output_results`,
`GraphQueue._scores`, `CompileTask._handle_result`.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import networkx as nx
from dbt.artifacts.schemas.results import RunStatus
from dbt.artifacts.schemas.run import RunResult
from dbt.node_types import NodeType, RunHookType
from dbt.task.compile import CompileRunner
from dbt.task.list import ListTask
from dbt.task.run import MicrobatchModelRunner, RunTask
from dbt.task.test import TestRunner
from dbt_common.events.contextvars import task_contextvars

from dbt_temporal.adapters.dbt_core.process.parsing.graph import subset
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun, is_ephemeral
from dbt_temporal.adapters.dbt_core.process.run.operations import operation_nodes
from dbt_temporal.adapters.node_overrides import node_overrides
from dbt_temporal.domain.run.plan import EphemeralTurn, ExecutionPlan, NodeInfo

_TESTS = (NodeType.Test, NodeType.Unit)


def make_plan(run: HostRun) -> tuple[ExecutionPlan, dict[str, EphemeralTurn]]:
    """The nodes of the run with what each waits for; ephemeral models are bridged where dbt has no results of them, and
    come beside the plan, unless the error of one ends the command."""
    listing = _listing(run) if isinstance(run.task, ListTask) else {}
    queue = _queue_graph(run, list(listing))
    reported = isinstance(run.task, ListTask) or _reports_ephemerals(run)
    ends_on_error = run.task.raise_on_first_error()
    without_results = set() if reported else {uid for uid in queue if is_ephemeral(run.manifest.expect(uid))}
    ephemerals = set() if ends_on_error else without_results
    graph = subset(queue, set(queue) - ephemerals) if ephemerals else queue
    operations = operation_nodes(run, [node for node in graph if not graph.out_degree(node)])
    ranks = _ranks(run)
    levels = [sorted(level) for level in nx.topological_generations(graph)]
    priorities = _priorities(graph, levels)
    order = list(listing) or [unique_id for level in levels for unique_id in level]
    after = {operation.unique_id: operation for operation in operations}
    plan = ExecutionPlan(
        project=run.project.name,
        invocation_id=run.invocation.invocation_id,
        levels=[*levels, *([list(after)] if after else [])],
        nodes={
            unique_id: _node_info(
                run, unique_id, sorted(graph.predecessors(unique_id)), priorities[unique_id], listing
            ).model_copy(update={"rank": ranks.get(unique_id), "unreported": unique_id in without_results})
            for unique_id in order
        }
        | after,
        has_on_run_start=_has_hooks(run.task, RunHookType.Start),
        has_on_run_end=_has_hooks(run.task, RunHookType.End),
    )
    turns = {
        unique_id: EphemeralTurn(
            depends_on=sorted(queue.predecessors(unique_id)),
            children=sorted(set(queue.successors(unique_id)) - ephemerals),
            rank=ranks.get(unique_id, 0),
            on_error=_on_error(run.manifest.expect(unique_id)),
        )
        for unique_id in sorted(ephemerals)
    }
    return plan, turns


def _has_hooks(task: Any, kind: RunHookType) -> bool:
    return isinstance(task, RunTask) and bool(task.get_hooks_by_type(kind))


def _on_error(node: Any) -> Any:
    on_error = getattr(getattr(node, "config", None), "on_error", None)  # models have it from dbt-core 1.12 on
    return getattr(on_error, "value", on_error)


def _listing(run: HostRun) -> dict[str, str]:
    """Node by node what `dbt list` prints, in its order."""
    with task_contextvars(project_root=run.project.config.project_root):
        ids = [node.unique_id for node in run.task._iterate_selected_nodes()]
        run.task.output_results = list  # which prints them
        return dict(zip(ids, run.task.run(), strict=True)) if ids else {}


def _queue_graph(run: HostRun, listed: list[str]) -> nx.DiGraph:
    if isinstance(run.task, ListTask):
        return subset(run.task.graph.graph, set(listed))
    assert run.task.job_queue is not None
    graph = run.task.job_queue.graph.copy()
    for model, unit_tests in getattr(run.task, "model_to_unit_test_map", {}).items():
        if model in graph:  # dbt runs unit tests with their model alone
            _gate(graph, model, unit_tests)
    return graph


def _reports_ephemerals(run: HostRun) -> bool:
    """Whether the task has results of ephemeral models, as `compile` has with a selection: it is tried on one."""
    node = next((node for node in run.task._flattened_nodes or [] if is_ephemeral(node)), None)
    if node is None:
        return False
    run.task._handle_result(RunResult.from_node(node, RunStatus.Success, None))
    reports = bool(run.task.node_results)
    run.task.node_results = []
    return reports


def _gate(graph: nx.DiGraph, model: str, unit_tests: list[str]) -> None:
    """Puts unit tests between a model and what it waits for: BuildTask runs them right before the model, one after the
    other, and after one that fails skips the rest of them (`call_model_and_unit_tests_runner`)."""
    waits_for = list(graph.predecessors(model))
    for unit_test in unit_tests:
        graph.add_node(unit_test)
        graph.add_edges_from((above, unit_test) for above in waits_for)
        graph.add_edge(unit_test, model)
    graph.add_edges_from(pairwise(unit_tests))


def _ranks(run: HostRun) -> dict[str, int]:
    """dbt's own scores: of the nodes that are ready, its queue hands out those of the lowest one first."""
    if run.task.job_queue is None:
        return {}
    ranks: dict[str, int] = dict(run.task.job_queue._scores)
    for model, unit_tests in getattr(run.task, "model_to_unit_test_map", {}).items():
        ranks |= dict.fromkeys(unit_tests, ranks.get(model, 0))
    return ranks


def _priorities(graph: nx.DiGraph, levels: list[list[str]]) -> dict[str, int]:
    """1 for nodes in the highest fifth of the critical path, 5 for those in the lowest."""
    heights: dict[str, int] = {}
    for level in reversed(levels):
        for node in level:
            heights[node] = 1 + max((heights[below] for below in graph.successors(node)), default=-1)
    highest = max(heights.values(), default=0)
    return {node: 1 + (highest - height) * 5 // (highest + 1) for node, height in heights.items()}


def _node_info(run: HostRun, unique_id: str, depends_on: list[str], priority: int, listing: dict[str, str]) -> NodeInfo:
    node = run.manifest.expect(unique_id)
    config = getattr(node, "config", None)
    return NodeInfo(
        unique_id=unique_id,
        name=node.name,
        resource_type=str(node.resource_type),
        materialization=getattr(config, "materialized", None),
        package_name=node.package_name,
        depends_on=depends_on,
        priority=priority,
        on_error=_on_error(node),
        relation=_shown_name(run, node),
        overrides=node_overrides(unique_id, getattr(config, "meta", None) or getattr(node, "meta", None) or {}),
        batched=_is_batched(run, node),
        listing=listing.get(unique_id),
    )


def _is_batched(run: HostRun, node: Any) -> bool:
    """Whether dbt's task runs it batch by batch."""
    if not isinstance(run.task, RunTask) or node.resource_type != NodeType.Model:
        return False
    return bool(run.task.get_runner_type(node) is MicrobatchModelRunner)


def _shown_name(run: HostRun, node: Any) -> str | None:
    """What dbt's console calls the node, by dbt's own code: `schema.identifier`, or a unit test's `model::name`."""
    runner = SimpleNamespace(adapter=run.adapter, config=run.project.config, node=node)
    if node.resource_type in _TESTS:
        return str(TestRunner.describe_node_name(runner)) if node.resource_type == NodeType.Unit else None
    if is_ephemeral(node) or not (getattr(node, "is_relational", False) or node.resource_type == "function"):
        return None
    return str(CompileRunner.get_node_representation(runner))
