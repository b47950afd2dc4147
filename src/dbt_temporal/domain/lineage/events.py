"""The events of a run and of the attempts at its nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dbt_temporal.domain.lineage.model import (
    Assertion,
    Dataset,
    EventType,
    LineageEvent,
    LineageGraph,
    LineageNode,
    ParentRun,
)
from dbt_temporal.domain.lineage.names import attempt_run_id, dataset_name, node_job, run_job
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.invocation import DbtInvocation

COMMANDS_WITH_LINEAGE = frozenset({"run", "build", "test", "seed", "snapshot"})
"""Those that OpenLineage's own integration tells of."""
ENDS: dict[str, EventType] = {
    "success": EventType.COMPLETE,
    "error": EventType.FAIL,
    "cancelled": EventType.ABORT,
}
"""By the status of a node."""
RUN_ENDS: dict[str, EventType] = {
    "passed": EventType.COMPLETE,
    "failed": EventType.FAIL,
    "cancelled": EventType.ABORT,
}
"""By the outcome of a run."""


def run_event(invocation: DbtInvocation, event_type: EventType, time: str, message: str | None = None) -> LineageEvent:
    """An event of the run as a whole, whose id is the invocation's."""
    return LineageEvent(event_type, time, invocation.invocation_id, run_job(invocation.project), "JOB", message=message)


def node_event(
    invocation: DbtInvocation,
    graph: LineageGraph,
    unique_id: str,
    attempt: int | None,
    event_type: EventType,
    time: str,
    *,
    result: NodeExecutionResult | None = None,
    message: str | None = None,
) -> LineageEvent:
    """An event of an attempt at a node of the graph.

    Args:
        invocation: the run.
        graph: what is known of it.
        unique_id: the node.
        attempt: its number; None for what is done in several steps.
        event_type: what has happened.
        time: when.
        result: what it came to, at its end.
        message: what went wrong.
    """
    node = graph.nodes[unique_id]
    output = _dataset(graph, node)
    return LineageEvent(
        type=event_type,
        time=time,
        run_id=attempt_run_id(invocation.invocation_id, unique_id, attempt),
        job=node_job(unique_id, node, invocation.input.command),
        job_type="TEST" if node.resource_type == "unit_test" else node.resource_type.upper(),
        parent=ParentRun(invocation.invocation_id, run_job(invocation.project)),
        inputs=inputs_of(graph, unique_id),
        # What a failed attempt has left there, if anything, is not what the job makes.
        output=None if event_type in (EventType.FAIL, EventType.ABORT) else output,
        rows=None if result is None else _rows(result),
        assertion=None if result is None else _assertion(graph, node, result),
        message=message,
    )


def ended_at(result: NodeExecutionResult, otherwise: str) -> str:
    """When a node ended, by dbt's own timing where it has one."""
    return next((entry.completed_at for entry in reversed(result.timing) if entry.completed_at), otherwise)


def inputs_of(graph: LineageGraph, unique_id: str) -> tuple[Dataset, ...]:
    """What a node reads. An ephemeral model is no dataset: in its place stands what that reads."""
    found: dict[Dataset, None] = {}
    for parent in _tables_above(graph, unique_id):
        dataset = _dataset(graph, parent)
        if dataset is not None:
            found[dataset] = None
    return tuple(found)


def _tables_above(graph: LineageGraph, unique_id: str) -> Iterator[LineageNode]:
    """The nearest ones above that are something in the database. Without recursion: chains are as long as they are."""
    stack, seen = [unique_id], {unique_id}
    while stack:
        node = graph.nodes.get(stack.pop())
        for parent in () if node is None else node.parents:
            above = graph.nodes.get(parent)
            if above is None or parent in seen:
                continue
            seen.add(parent)
            if above.table is None:
                stack.append(parent)
            else:
                yield above


def _dataset(graph: LineageGraph, node: LineageNode) -> Dataset | None:
    name = dataset_name(node)
    return None if name is None or graph.namespace is None else Dataset(graph.namespace, name)


def _rows(result: NodeExecutionResult) -> int | None:
    rows: Any = result.adapter_response.get("rows_affected")
    return rows if isinstance(rows, int) and rows > 0 else None


def _assertion(graph: LineageGraph, node: LineageNode, result: NodeExecutionResult) -> Assertion | None:
    tested = None if node.tests is None else graph.nodes.get(node.tests)
    dataset = None if tested is None else _dataset(graph, tested)
    if dataset is None or node.assertion is None:
        return None
    return Assertion(dataset, node.assertion, result.dbt_status == "pass", node.column)
