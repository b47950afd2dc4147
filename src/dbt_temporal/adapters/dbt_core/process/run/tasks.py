"""dbt's own task for one run: it selects, prepares, makes runners, and runs hooks. Only its loop is ours.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: the task classes and their constructors (1.12 gives
FreshnessTask a fourth argument), `_runtime_initialize`, `get_graph_queue`, `job_queue`, `num_nodes`,
`model_to_unit_test_map`, `selected_unit_tests`, `batch_map`, `overload_map`, `original_invocation_started_at`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any

from dbt.cli.flags import Flags
from dbt.events.types import NothingToDo
from dbt.graph import GraphQueue
from dbt.task.base import BaseTask
from dbt.task.build import BuildTask
from dbt.task.clone import CloneTask
from dbt.task.compile import CompileTask
from dbt.task.debug import DebugTask
from dbt.task.docs.generate import GenerateTask
from dbt.task.freshness import FreshnessTask
from dbt.task.list import ListTask
from dbt.task.run import RunTask
from dbt.task.run_operation import RunOperationTask
from dbt.task.runnable import GraphRunnableTask
from dbt.task.seed import SeedTask
from dbt.task.show import ShowTask
from dbt.task.snapshot import SnapshotTask
from dbt.task.test import TestTask
from dbt_common.events.contextvars import task_contextvars
from dbt_common.events.functions import warn_or_error
from dbt_common.exceptions import CompilationError, DbtBaseException

from dbt_temporal.adapters.dbt_core.process.bootstrap import ParsedProject
from dbt_temporal.adapters.dbt_core.process.parsing.graph import ProjectGraph, ProjectGraphs, link
from dbt_temporal.adapters.dbt_core.process.run.operations import NoNodesTask, check_operation, empty_queue
from dbt_temporal.adapters.dbt_core.process.run.state import PreviousRun
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.commands import COMMANDS


@dataclass(frozen=True)
class TaskFacts:
    """What the engine does for a command.

    Attributes:
        task: dbt's task; None where dbt does no more than parse.
        results: the artifact that holds the results, if there is one.
        manifest: whether it writes manifest.json.
        manifest_first: whether it does so before its task begins, so that it is there whatever happens.
        catalog: whether a catalog is made after it, where the worker makes them.
    """

    task: type[BaseTask] | None
    results: str | None = "run_results.json"
    manifest: bool = True
    manifest_first: bool = True
    catalog: bool = True


TASKS: dict[str, TaskFacts] = {
    "run": TaskFacts(RunTask),
    "build": TaskFacts(BuildTask),
    "test": TaskFacts(TestTask),
    "seed": TaskFacts(SeedTask),
    "snapshot": TaskFacts(SnapshotTask),
    "clone": TaskFacts(CloneTask),
    "compile": TaskFacts(CompileTask),
    "show": TaskFacts(ShowTask, catalog=False),
    "list": TaskFacts(ListTask, results=None, catalog=False),
    "source-freshness": TaskFacts(FreshnessTask, results="sources.json", catalog=False),
    "docs-generate": TaskFacts(GenerateTask, manifest_first=False, catalog=False),
    "run-operation": TaskFacts(RunOperationTask),
    "parse": TaskFacts(None, results=None, catalog=False),
    "debug": TaskFacts(DebugTask, results=None, manifest=False, manifest_first=False, catalog=False),
}


def make_task(
    command: str,
    flags: Flags,
    project: ParsedProject,
    graphs: ProjectGraphs,
    retry: PreviousRun | None,
    *,
    narrowed: bool,
) -> GraphRunnableTask:
    """dbt's task with its selection made; `narrowed` where a retry has a selection of its own.

    Raises:
        Exception: dbt's own errors about the selection.
    """
    task = _new_task(TASKS[command].task, flags, project)
    task.graph = graphs.with_test_edges if command == "build" else graphs.plain
    # The graph is there; compile_manifest would build it again.
    task.compile_manifest = partial(_link_inline, task)
    _refuse_wrong_input(task, project)
    if retry is not None:
        _restrict_to_retry(command, task, task.graph, retry, narrowed=narrowed)
    with task_contextvars(project_root=project.config.project_root):
        if command == "list":
            # Once, and now: what cannot be selected is told after the manifest is written, as with other commands.
            selected = list(task._iterate_selected_nodes())
            task._iterate_selected_nodes = lambda: iter(selected)
            return task
        try:
            task._runtime_initialize()
        except DbtBaseException as error:
            if isinstance(error.__context__, CompilationError):  # of an inline query; dbt's own text does not say what
                raise error.__context__ from None
            raise
        if not task._flattened_nodes and not isinstance(task, NoNodesTask):
            warn_or_error(NothingToDo())  # as `GraphRunnableTask.run` does: the flag warn_error makes it an error
    task.num_nodes += len(getattr(task, "selected_unit_tests", ()))  # as BuildTask does before its first node
    return task


def _new_task(task_class: type[BaseTask] | None, flags: Flags, project: ParsedProject) -> GraphRunnableTask:
    known = {"args": flags, "config": project.config, "manifest": project.manifest, "catalogs": project.catalogs}
    if task_class is None:
        return NoNodesTask(flags, project.config, project.manifest)
    parameters = inspect.signature(task_class.__init__).parameters
    task = task_class(**{name: value for name, value in known.items() if name in parameters})
    if isinstance(task, GraphRunnableTask):
        return task
    task.compile_manifest = lambda: None
    return NoNodesTask(flags, project.config, project.manifest, task)


def _refuse_wrong_input(task: GraphRunnableTask, project: ParsedProject) -> None:
    """Says before anything runs what dbt would say later."""
    operation = getattr(task, "operation", None)
    if isinstance(operation, RunOperationTask):
        check_operation(operation, project.name)
    if isinstance(task, CloneTask):
        task._get_deferred_manifest()
    if isinstance(task, GenerateTask) and not task.args.compile:
        task.get_graph_queue = partial(empty_queue, task)


def _link_inline(task: Any) -> None:
    if getattr(task, "_inline_node_id", None):
        task.graph = link(task.manifest)


def _restrict_to_retry(command: str, task: Any, graph: ProjectGraph, retry: PreviousRun, *, narrowed: bool) -> None:
    """Does what `dbt retry` does, as a filter on the run's own selection."""
    if not COMMANDS[command].can_be_retried:
        raise configuration_error(f"retry_from: the command {command} cannot be retried")
    if isinstance(task, NoNodesTask):
        if not retry.unique_ids:
            task.operation = None
        return
    if narrowed:
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
