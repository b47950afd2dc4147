"""dbt's own task for one run: it selects, prepares, makes runners, and runs hooks. Only its loop is ours.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: the task classes and their constructors (1.12 gives
FreshnessTask a fourth argument), `_runtime_initialize`, `get_graph_queue`, `job_queue`, `num_nodes`,
`model_to_unit_test_map`, `selected_unit_tests`, `batch_map`, `overload_map`, `original_invocation_started_at`.
"""

from __future__ import annotations

import inspect
from typing import Any

from dbt.cli.flags import Flags
from dbt.events.types import NothingToDo
from dbt.graph import GraphQueue
from dbt.task.build import BuildTask
from dbt.task.compile import CompileTask
from dbt.task.freshness import FreshnessTask
from dbt.task.list import ListTask
from dbt.task.run import RunTask
from dbt.task.runnable import GraphRunnableTask
from dbt.task.seed import SeedTask
from dbt.task.snapshot import SnapshotTask
from dbt.task.test import TestTask
from dbt_common.events.contextvars import task_contextvars
from dbt_common.events.functions import warn_or_error

from dbt_temporal.adapters.dbt_core.process.bootstrap import ParsedProject
from dbt_temporal.adapters.dbt_core.process.parsing.graph import ProjectGraph, ProjectGraphs
from dbt_temporal.adapters.dbt_core.process.run.state import PreviousRun
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.commands import COMMANDS

TASKS: dict[str, type[GraphRunnableTask]] = {
    "run": RunTask,
    "build": BuildTask,
    "test": TestTask,
    "seed": SeedTask,
    "snapshot": SnapshotTask,
    "compile": CompileTask,
    "list": ListTask,
    "source-freshness": FreshnessTask,
}


def make_task(
    command: str, flags: Flags, project: ParsedProject, graphs: ProjectGraphs, retry: PreviousRun | None
) -> GraphRunnableTask:
    """dbt's task with its selection made.

    Raises:
        Exception: dbt's own errors about the selection.
    """
    task_class = TASKS[command]
    arguments: list[Any] = [flags, project.config, project.manifest]
    parameters = inspect.signature(task_class.__init__).parameters
    if "catalogs" in parameters:
        arguments.append(project.catalogs)
    task = task_class(*arguments)
    task.graph = graphs.with_test_edges if command == "build" else graphs.plain
    # The graph is there; compile_manifest would build it again.
    task.compile_manifest = lambda: None
    if retry is not None:
        _restrict_to_retry(command, task, task.graph, retry)
    with task_contextvars(project_root=project.config.project_root):
        if command == "list":
            return task
        task._runtime_initialize()
        if not task._flattened_nodes:
            warn_or_error(NothingToDo())  # as `GraphRunnableTask.run` does: the flag warn_error makes it an error
    task.num_nodes += len(getattr(task, "selected_unit_tests", ()))  # as BuildTask does before its first node
    return task


def _restrict_to_retry(command: str, task: Any, graph: ProjectGraph, retry: PreviousRun) -> None:
    """Does what `dbt retry` does, as a filter on the run's own selection."""
    if not COMMANDS[command].can_be_retried:
        raise configuration_error(f"retry_from: the command {command} cannot be retried")
    if task.args.select or task.args.exclude or task.args.selector:
        members = set(task.get_graph_queue().get_selected_nodes()) | getattr(task, "selected_unit_tests", set())
        members &= retry.unique_ids
    else:
        members = set(retry.unique_ids)
    if isinstance(task, BuildTask):
        task.selected_unit_tests, task.model_to_unit_test_map = set(), {}
    task.get_graph_queue = lambda: GraphQueue(graph.get_subset_graph(members).graph, task.manifest, members)
    if not isinstance(task, RunTask):
        return
    succeeded_before = {
        result.unique_id: result.batch_results
        for result in retry.results.results
        if result.batch_results is not None and result.batch_results.successful and result.batch_results.failed
    }
    task.batch_map = succeeded_before
    task.overload_map = {  # dbt-core 1.12: overloads of functions
        result.unique_id: result.overload_results
        for result in retry.results.results
        if getattr(result, "overload_results", None) is not None and result.overload_results.failed
    }
    metadata = retry.results.metadata
    task.original_invocation_started_at = metadata.invocation_started_at or metadata.generated_at
