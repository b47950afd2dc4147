"""A report out of the results of a run: linear in nodes and edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from dbt_temporal.domain.report.model import Critical, NodeFacts, ReportFacts, ReportNode, RunGraph
from dbt_temporal.domain.results import NodeExecutionResult, TimingEntry, is_project_hook
from dbt_temporal.domain.times import NodeTimes

MAX_FAILURES = 50
"""So many failed nodes are told of with all that is known of them."""
MAX_SLOWEST = 10


def worth_code(results: Sequence[NodeExecutionResult], facts: ReportFacts, started_at: str) -> list[str]:
    """The nodes whose code a report shows: those that failed, and the slowest. The arguments are as `report_nodes`'."""
    failed = [result.unique_id for result in results if result.status in ("error", "cancelled")][:MAX_FAILURES]
    nodes = report_nodes(results, RunGraph(), facts, started_at)
    return list(dict.fromkeys([*failed, *(node.unique_id for node in slowest(nodes))]))


def slowest(nodes: Iterable[ReportNode]) -> list[ReportNode]:
    """The nodes that took longest, the first of them first."""
    return sorted((node for node in nodes if node.took > 0), key=lambda node: -node.took)[:MAX_SLOWEST]


def report_nodes(
    results: Sequence[NodeExecutionResult], graph: RunGraph, facts: ReportFacts, started_at: str
) -> list[ReportNode]:
    """The nodes in the order in which they started; then what never ran.

    Args:
        results: of nodes and hooks.
        graph: what they are.
        facts: of the run.
        started_at: when the run began, in ISO 8601.
    """
    zero = datetime.fromisoformat(started_at)
    times = {result.unique_id: _times(result, zero) for result in results}
    first = min((each.times.started for each in results if each.times is not None), default=facts.executing_since)
    ends = {unique_id: each.ended for unique_id, each in times.items() if each is not None and each.ended is not None}
    nodes = [_node(result, times[result.unique_id], graph, first, ends, zero) for result in results]
    never = facts.ended + 1
    return sorted(nodes, key=lambda node: never if node.started is None else node.started)


def critical_path(nodes: Iterable[ReportNode]) -> Critical:
    """The chain of nodes, each waiting for the one before, that had threads for the longest time together."""
    ran = sorted((node for node in nodes if node.ended is not None), key=lambda node: node.ended or 0.0)
    chain: dict[str, tuple[float, str | None]] = {}
    by_id = {node.unique_id: node for node in ran}
    for node in ran:  # parents have ended before
        above = max(((chain[each][0], each) for each in node.facts.depends_on if each in chain), default=(0.0, None))
        chain[node.unique_id] = (above[0] + node.span, above[1])
    at: str | None = max(chain, key=lambda unique_id: chain[unique_id][0], default=None)
    seconds = 0.0 if at is None else chain[at][0]
    path = []
    while at is not None:
        path.append(by_id[at])
        at = chain[at][1]
    return Critical(path[::-1], seconds)


def failed_above(node: ReportNode, by_id: Mapping[str, ReportNode]) -> str | None:
    """Which of the nodes that a skipped one waits for did not do well; the first of them by name."""
    above = (by_id[each] for each in sorted(node.facts.depends_on) if each in by_id)
    return next((each.unique_id for each in above if each.result.status != "success"), None)


def _node(
    result: NodeExecutionResult,
    times: NodeTimes | None,
    graph: RunGraph,
    first: float,
    ends: Mapping[str, float],
    zero: datetime,
) -> ReportNode:
    known = graph.nodes.get(result.unique_id) or _facts_of_id(result.unique_id)
    last = max(((ends[each], each) for each in known.depends_on if each in ends), default=None)
    # Nodes that wait for none are ready when the first of them starts: on-run-start comes before.
    ready = first if last is None else last[0]
    if times is None or times.ended is None:
        return ReportNode(result, known, ready, last and last[1])
    # A hook waits for no thread; and a node that an operator ran again was ready before its parents ended again.
    ready = times.started if result.times is None else min(ready, times.started)
    began = times.started if times.last is None else times.last
    phases = [
        (entry.name, *within)
        for entry in result.timing
        if (within := _within(entry, zero, began, times.ended)) is not None
    ]
    return ReportNode(
        result,
        known,
        ready,
        last and last[1],
        started=times.started,
        attempt_began=began,
        taken=min((begin for _, begin, _ in phases), default=None),
        ended=times.ended,
        failed=times.failed,
        phases=phases,
        code=graph.code.get(result.unique_id),
    )


def _facts_of_id(unique_id: str) -> NodeFacts:
    """What a unique_id tells alone, of hooks and where the graph is not known."""
    kind, _, rest = unique_id.partition(".")
    return NodeFacts(rest.partition(".")[2] or unique_id, "hook" if is_project_hook(unique_id) else kind)


def _times(result: NodeExecutionResult, zero: datetime) -> NodeTimes | None:
    """The run's own, else what dbt has measured: of project hooks, and where the run took no note."""
    if result.times is not None:
        return result.times
    measured = [each for entry in result.timing if (each := _seconds(entry, zero)) is not None]
    if not measured:
        return None
    return NodeTimes(started=min(begin for begin, _ in measured), ended=max(end for _, end in measured))


def _within(entry: TimingEntry, zero: datetime, began: float, ended: float) -> tuple[float, float] | None:
    """A phase by the worker's clock, kept within the attempt by the run's clock: the two may differ."""
    measured = _seconds(entry, zero)
    if measured is None:
        return None
    begin, end = (min(max(each, began), ended) for each in measured)
    return begin, end


def _seconds(entry: TimingEntry, zero: datetime) -> tuple[float, float] | None:
    if entry.started_at is None or entry.completed_at is None:
        return None
    try:
        begin, end = (datetime.fromisoformat(each) for each in (entry.started_at, entry.completed_at))
        return max((begin - zero).total_seconds(), 0.0), max((end - zero).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
