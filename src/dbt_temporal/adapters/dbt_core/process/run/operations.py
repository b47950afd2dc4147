"""What dbt does outside its queue of nodes: a macro, a check of the connection, the catalog. Each is a node of a plan.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: `RunOperationTask._get_macro_parts`, `DebugTask`,
`GenerateTask.job_queue`; `GraphRunnableTask.get_graph_queue` and `before_run`.
"""

from __future__ import annotations

from typing import Any

from dbt.artifacts.schemas.results import RunStatus
from dbt.cli.flags import Flags
from dbt.config.runtime import RuntimeConfig
from dbt.contracts.graph.manifest import Manifest
from dbt.graph import GraphQueue
from dbt.task.base import BaseTask
from dbt.task.debug import DebugTask
from dbt.task.docs.generate import GenerateTask
from dbt.task.run_operation import RunOperationTask
from dbt.task.runnable import GraphRunnableTask

from dbt_temporal.adapters.dbt_core.process.run.catalog_parts import part_names
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.plan import NodeInfo, NodeOverrides

_MAX_NAMED = 20
_ONCE = NodeOverrides(max_attempts=1)
"""A macro may have had its effect before it failed, so it is tried once, as hooks are; and a check says what is so."""


class NoNodesTask(GraphRunnableTask):  # type: ignore[misc]
    """Stands where a task with nodes stands: for `parse`, and for a task of dbt that has none, `operation`."""

    get_node_selector = None  # nothing is selected

    def __init__(
        self, flags: Flags, config: RuntimeConfig, manifest: Manifest, operation: BaseTask | None = None
    ) -> None:
        super().__init__(flags, config, manifest)
        self.operation = operation

    def get_graph_queue(self) -> GraphQueue:
        return empty_queue(self)

    def before_run(self, *_: Any) -> RunStatus:
        """dbt fills no cache and creates no schemas here."""
        return RunStatus.Success


def empty_queue(task: GraphRunnableTask) -> GraphQueue:
    return GraphQueue(task.graph.get_subset_graph(()).graph, task.manifest, set())


def operation_node(task: GraphRunnableTask, project: str, unique_id: str) -> NodeInfo | None:
    """What has this id of all that a task does beside its nodes; None where it is a node of dbt's."""
    operation = getattr(task, "operation", None)
    if isinstance(operation, RunOperationTask):
        node = _macro_node(operation, project)
        return node if node.unique_id == unique_id else None
    if isinstance(operation, DebugTask):
        return _debug_node(project)
    if isinstance(task, GenerateTask) and unique_id.startswith("catalog."):
        return _catalog_node(project, unique_id.removeprefix(f"catalog.{project}").removeprefix("."))
    return None


def operation_nodes(run: HostRun, waits_for: list[str]) -> list[NodeInfo]:
    """The nodes of what the run's task does beside its nodes; those of the catalog wait for all these."""
    task, project = run.task, run.project.name
    operation = getattr(task, "operation", None)
    if isinstance(operation, RunOperationTask):
        return [_macro_node(operation, project)]
    if isinstance(operation, DebugTask):
        return [_debug_node(project)]
    if isinstance(task, GenerateTask):
        parts = [_catalog_node(project, name) for name in part_names(run)]
        return [node.model_copy(update={"depends_on": waits_for}) for node in parts or [_catalog_node(project, "")]]
    return []


def is_part(unique_id: str, project: str) -> bool:
    """Whether the catalog's node of this id stands for a part of it."""
    return unique_id != f"catalog.{project}"


def _debug_node(project: str) -> NodeInfo:
    return NodeInfo(
        unique_id=f"debug.{project}", name=project, resource_type="debug", package_name=project, overrides=_ONCE
    )


def _catalog_node(project: str, part: str) -> NodeInfo:
    unique_id = f"catalog.{project}.{part}" if part else f"catalog.{project}"
    return NodeInfo(unique_id=unique_id, name=part or project, resource_type="catalog", package_name=project)


def check_operation(task: RunOperationTask, project: str) -> None:
    """Refuses an operation that cannot be run.

    Raises:
        DbtTemporalError: of type Configuration, naming the field and what is allowed.
    """
    if not getattr(task.args, "sql", None) and _macro(task, project) is None:
        own = sorted(macro.name for macro in task.manifest.macros.values() if macro.package_name == project)
        known = ", ".join(own[:_MAX_NAMED]) + (", ..." if len(own) > _MAX_NAMED else "") or "none"
        raise configuration_error(
            f"macro: dbt could not find a macro with the name {task.args.macro!r} in any package; those of {project} "
            f"are: {known}; those of other packages are called <package>.<macro>"
        )


def _macro(task: RunOperationTask, project: str) -> Any:
    package, name = task._get_macro_parts()
    return task.manifest.find_macro_by_name(name, project, package)


def _macro_node(task: RunOperationTask, project: str) -> NodeInfo:
    if getattr(task.args, "sql", None):
        unique_id, name, package = f"sql_operation.{project}.inline_query", "inline_query", project
    else:
        macro = _macro(task, project)
        unique_id, name, package = macro.unique_id, macro.name, macro.package_name
    return NodeInfo(unique_id=unique_id, name=name, resource_type="operation", package_name=package, overrides=_ONCE)
