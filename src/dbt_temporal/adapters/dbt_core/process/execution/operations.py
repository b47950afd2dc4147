"""Doing what dbt does outside its queue of nodes, by dbt's own tasks.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: what `run` of `RunOperationTask`, `DebugTask` and
`GenerateTask` return and write, the flags by which the latter compiles and makes a static page, and that it
selects anew.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbt import selected_resources
from dbt.constants import CATALOG_FILENAME
from dbt.task.docs.generate import GenerateTask
from dbt_common.events.contextvars import log_contextvars, task_contextvars

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.artifacts.records import result_of_entry
from dbt_temporal.adapters.dbt_core.process.database.classification import classify_exception
from dbt_temporal.adapters.dbt_core.process.events import NodeCapture
from dbt_temporal.adapters.dbt_core.process.execution.executor import AttemptOutcome
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.plan import NodeInfo

Ended = tuple[NodeExecutionResult, dict[str, Any]]
"""A result, and the document of its record."""


def execute_operation(run: HostRun, node: NodeInfo) -> AttemptOutcome:
    """Does it; a failure is an outcome, not an exception."""
    capture = NodeCapture()
    perform: Callable[[HostRun, str], Ended] = _PERFORM[node.resource_type]
    with (
        run.router.capturing(node.unique_id, capture),
        log_contextvars(node_info={"unique_id": node.unique_id, "node_name": node.name}),
        task_contextvars(project_root=run.project.config.project_root),
    ):
        began = time.monotonic()
        try:
            result, record = perform(run, node.unique_id)
        except Exception as raised:
            capture.exception = raised
            result, record = _failed(node.unique_id, str(raised), time.monotonic() - began), {}
    failed = result.status == "error"
    if failed and not result.message and capture.exception is not None:
        result = result.model_copy(update={"message": str(capture.exception)})
    result = result.model_copy(update={"output": run.own_paths(capture.printed) or None})
    error = classify_exception(capture.exception, result.message) if failed else None
    return AttemptOutcome(result, error, wire.dumps(record) if record else b"", capture.log)


def _run_macro(run: HostRun, _unique_id: str) -> Ended:
    artifact = run.task.operation.run()
    entry = artifact.results[0].to_dict(omit_none=False)
    return result_of_entry(entry), {"kind": "run", "nodes": {}, "result": entry, "args": artifact.args}


def _debug(run: HostRun, unique_id: str) -> Ended:
    began = time.monotonic()
    passed = run.task.operation.run()
    seconds = time.monotonic() - began
    record: dict[str, Any] = {"kind": "debug", "nodes": {}}
    if not passed:
        return _failed(unique_id, "checks of dbt debug failed; its output says which", seconds), record
    return _succeeded(unique_id, seconds), record


def _make_catalog(run: HostRun, unique_id: str) -> Ended:
    """dbt's whole GenerateTask, but that nodes are compiled by now, and its static page is made of the artifacts."""
    task: GenerateTask = run.task
    folder = Path(run.project.config.project_target_path)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    own_args, task.args = task.args, copy.copy(run.flags)
    queue, selected = task.job_queue, selected_resources.SELECTED_RESOURCES
    try:
        if not own_args.compile:
            task.job_queue = None  # then dbt knows of no selection
        for name in ("compile", "static"):
            bootstrap.set_flag(task.args, name, False)
        artifact = task.run()
    finally:
        task.args, task.job_queue = own_args, queue
        # dbt selects sources for the catalog, when all is compiled; here ephemeral models may follow.
        selected_resources.set_selected_resources(selected)
    document = wire.loads((folder / CATALOG_FILENAME).read_bytes())
    # Where records are redacted, errors are looked for at their top.
    record = {"kind": "catalog", "nodes": {}, "errors": document.pop("errors"), "catalog": document}
    seconds = time.monotonic() - began
    if not task.interpret_results(artifact):
        return _failed(unique_id, "\n".join(artifact.errors or ()), seconds), record
    return _succeeded(unique_id, seconds), record


def _succeeded(unique_id: str, seconds: float) -> NodeExecutionResult:
    return NodeExecutionResult(unique_id=unique_id, status="success", dbt_status="success", execution_time=seconds)


def _failed(unique_id: str, message: str, seconds: float) -> NodeExecutionResult:
    return NodeExecutionResult(
        unique_id=unique_id, status="error", dbt_status="error", message=message, execution_time=seconds
    )


_PERFORM = {"operation": _run_macro, "debug": _debug, "catalog": _make_catalog}
