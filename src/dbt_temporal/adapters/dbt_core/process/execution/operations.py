"""Doing what dbt does outside its queue of nodes, by dbt's own tasks.

Touches of dbt internals, checked on dbt-core 1.11.16 and 1.12.0: what `run` of `RunOperationTask` and `DebugTask`
return.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dbt_common.events.contextvars import log_contextvars, task_contextvars
from dbt_common.exceptions import DbtRuntimeError

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process.artifacts.records import result_of_entry
from dbt_temporal.adapters.dbt_core.process.database.classification import classify_exception
from dbt_temporal.adapters.dbt_core.process.events import NodeCapture
from dbt_temporal.adapters.dbt_core.process.execution.executor import AttemptOutcome
from dbt_temporal.adapters.dbt_core.process.run.catalog_parts import fetch_part, generated
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.adapters.dbt_core.process.run.operations import is_part
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.plan import NodeInfo

Ended = tuple[NodeExecutionResult, dict[str, Any]]
"""A result, and the document of its record."""


def execute_operation(run: HostRun, node: NodeInfo) -> AttemptOutcome:
    """Does it; a failure is an outcome, not an exception."""
    capture = NodeCapture()
    perform: Callable[[HostRun, NodeInfo, NodeCapture], Ended] = _PERFORM[node.resource_type]
    with (
        run.router.capturing(node.unique_id, capture),
        log_contextvars(node_info={"unique_id": node.unique_id, "node_name": node.name}),
        task_contextvars(project_root=run.project.config.project_root),
    ):
        began = time.monotonic()
        try:
            result, record = perform(run, node, capture)
        except Exception as raised:
            capture.exception = raised
            result, record = _failed(node.unique_id, str(raised), time.monotonic() - began), {}
    failed = result.status == "error"
    if failed and not result.message and capture.exception is not None:
        result = result.model_copy(update={"message": str(capture.exception)})
    result = result.model_copy(update={"output": run.own_paths(capture.printed) or None})
    error = classify_exception(capture.exception, result.message) if failed else None
    return AttemptOutcome(result, error, wire.dumps(record) if record else b"", capture.log)


def _run_macro(run: HostRun, _node: NodeInfo, _capture: NodeCapture) -> Ended:
    artifact = run.task.operation.run()
    entry = artifact.results[0].to_dict(omit_none=False)
    return result_of_entry(entry), {"kind": "run", "nodes": {}, "result": entry, "args": artifact.args}


def _debug(run: HostRun, node: NodeInfo, _capture: NodeCapture) -> Ended:
    began = time.monotonic()
    passed = run.task.operation.run()
    seconds = time.monotonic() - began
    record: dict[str, Any] = {"kind": "debug", "nodes": {}}
    if not passed:
        return _failed(node.unique_id, "checks of dbt debug failed; its output says which", seconds), record
    return _succeeded(node.unique_id, seconds), record


def _make_catalog(run: HostRun, node: NodeInfo, capture: NodeCapture) -> Ended:
    """The whole catalog; or a part of it, of which the whole is made with the artifacts."""
    began = time.monotonic()
    if is_part(node.unique_id, run.project.name):
        return _fetch_part(run, node, capture, began)
    record: dict[str, Any] = {"kind": "catalog", "nodes": {}, "errors": None, "catalog": None}
    try:
        artifact, document = generated(run)
    except DbtRuntimeError as error:
        capture.exception = error
        return _failed(node.unique_id, str(error), time.monotonic() - began), record
    # Where records are redacted, errors are looked for at their top.
    record |= {"errors": document.pop("errors"), "catalog": document}
    seconds = time.monotonic() - began
    if not run.task.interpret_results(artifact):
        return _failed(node.unique_id, "\n".join(artifact.errors or ()), seconds), record
    return _succeeded(node.unique_id, seconds), record


def _fetch_part(run: HostRun, node: NodeInfo, capture: NodeCapture, began: float) -> Ended:
    record: dict[str, Any] = {"kind": "catalog_part", "nodes": {}, "name": node.name, "errors": None, "tables": []}
    try:
        record["tables"] = fetch_part(run, node.name)
    except Exception as error:
        capture.exception, record["errors"] = error, [str(error)]
        return _failed(node.unique_id, str(error), time.monotonic() - began), record
    return _succeeded(node.unique_id, time.monotonic() - began), record


def _succeeded(unique_id: str, seconds: float) -> NodeExecutionResult:
    return NodeExecutionResult(unique_id=unique_id, status="success", dbt_status="success", execution_time=seconds)


def _failed(unique_id: str, message: str, seconds: float) -> NodeExecutionResult:
    return NodeExecutionResult(
        unique_id=unique_id, status="error", dbt_status="error", message=message, execution_time=seconds
    )


_PERFORM = {"operation": _run_macro, "debug": _debug, "catalog": _make_catalog}
