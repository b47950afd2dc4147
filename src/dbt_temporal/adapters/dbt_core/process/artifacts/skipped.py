"""What dbt's queue does with ephemeral models below a failure: they are skipped too, and their users say so.

The rule of `GraphRunnableTask._handle_result`, `_mark_dependent_errors`, `BaseRunner.on_skip` and
`BuildTask.call_model_and_unit_tests_runner`, dbt-core 1.11.16 and 1.12.0. The run skips such nodes without asking an
engine, so their results are completed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set

import networkx as nx

from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun, is_ephemeral

_ON_RUN_START = re.compile(r"operation\..+-on-run-start-\d+")


def skipped_ephemerals(
    run: HostRun, statuses: Mapping[str, str | None], also: Set[str] = frozenset()
) -> frozenset[str]:
    """The selected ephemeral models that dbt would have skipped, given how the other nodes ended.

    Args:
        run: the run.
        statuses: dbt's words by node.
        also: words that keep what is below from running, beside those by which dbt skips it.
    """
    if run.task.job_queue is None:
        return frozenset()
    queue = run.task.job_queue.graph
    below: set[str] = set()
    for unique_id in marking(run, statuses, also):
        if unique_id in queue:
            below |= nx.descendants(queue, unique_id)
    for model, unit_tests in _unit_tests(run).items():
        if model in queue and marking(run, {test: statuses.get(test) for test in unit_tests}, also):
            below |= {model} | (set() if _continues(run, model) else nx.descendants(queue, model))
    return frozenset(unique_id for unique_id in below if is_ephemeral(run.manifest.expect(unique_id)))


def behind_message(unique_id: str, ephemeral: str) -> str:
    """What dbt says of a node that is skipped behind a skipped ephemeral model."""
    return f"Compilation Error in {unique_id}, caused by compilation error in referenced ephemeral model {ephemeral}"


def last_above(run: HostRun, unique_id: str, skipped: frozenset[str], marks: Set[str]) -> str | None:
    """The skipped ephemeral model that dbt names as the cause of a skipped node, where the run itself does not know.

    The last one of those above it that dbt handled is named, if it is ephemeral; unit tests of the node come after all.

    Args:
        run: the run.
        unique_id: the node.
        skipped: `skipped_ephemerals`.
        marks: `marking`.
    """
    if run.command != "build" or not skipped:  # elsewhere a skipped node marks nothing
        return None
    queue = run.task.job_queue.graph
    if unique_id not in queue or unique_id in _unit_tests(run):
        return None
    causes = [above for above in queue.predecessors(unique_id) if above in skipped or above in marks]
    scores = run.task.job_queue._scores
    last = max(causes, key=lambda above: (scores.get(above, 0), above), default=None)
    return last if last in skipped else None


def last_failed_above(run: HostRun, unique_id: str, failed: Mapping[str, str]) -> str | None:
    """The failed ephemeral model that dbt names as the cause of a skipped node where skips mark nothing.

    Args:
        run: the run.
        unique_id: the node.
        failed: nodes that were skipped for such a model, with the model.
    """
    if run.command == "build" or not failed:
        return None
    queue = run.task.job_queue.graph
    above = nx.ancestors(queue, unique_id) if unique_id in queue else set()
    scores = run.task.job_queue._scores
    causes = {failed[each] for each in above & failed.keys()}
    return max(causes, key=lambda each: (scores.get(each, 0), each), default=None)


def marking(run: HostRun, statuses: Mapping[str, str | None], also: Set[str] = frozenset()) -> set[str]:
    """The nodes for which dbt marks all below them as skipped."""
    words = {str(status) for status in run.task.MARK_DEPENDENT_ERRORS_STATUSES} | also
    return {unique_id for unique_id, status in statuses.items() if status in words and not _continues(run, unique_id)}


def _unit_tests(run: HostRun) -> Mapping[str, list[str]]:
    """Those that dbt runs before a model, by the model."""
    found: Mapping[str, list[str]] = getattr(run.task, "model_to_unit_test_map", {})
    return found


def _continues(run: HostRun, unique_id: str) -> bool:
    on_error = getattr(getattr(run.manifest.nodes.get(unique_id), "config", None), "on_error", None)
    return str(getattr(on_error, "value", on_error)) == "continue"


def on_run_start_failed(statuses: Mapping[str, str | None]) -> bool:
    """Whether an on-run-start hook is among these with an error; dbt names hooks by their kind and place."""
    return any(_ON_RUN_START.match(unique_id) and status == "error" for unique_id, status in statuses.items())
