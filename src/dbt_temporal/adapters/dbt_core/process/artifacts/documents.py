"""run_results.json, manifest.json, semantic_manifest.json and sources.json, by dbt's own artifact classes from records.

Checked on dbt-core 1.11.16 and 1.12.0: the artifact classes, `args_to_dict`, `Manifest.writable_manifest`,
`SemanticManifest`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dbt.artifacts.schemas.freshness import FreshnessExecutionResultArtifact, FreshnessMetadata
from dbt.artifacts.schemas.freshness.v3.freshness import SourceFreshnessOutput
from dbt.artifacts.schemas.results import NodeStatus, RunStatus
from dbt.artifacts.schemas.run import RunResult, RunResultsArtifact
from dbt.artifacts.schemas.run.v5.run import RunResultOutput, process_run_result
from dbt.constants import SEMANTIC_MANIFEST_FILE_NAME
from dbt.contracts.graph.nodes import UnitTestNode
from dbt.contracts.graph.semantic_manifest import SemanticManifest
from dbt.node_types import NodeType, RunHookType
from dbt.utils import args_to_dict

from dbt_temporal.adapters.dbt_core.process.artifacts.catalog import is_catalog, write_docs
from dbt_temporal.adapters.dbt_core.process.artifacts.records import (
    AnyResult,
    freshness_result,
    read_record,
    restore_fields,
)
from dbt_temporal.adapters.dbt_core.process.artifacts.skipped import (
    behind_message,
    last_above,
    last_failed_above,
    marking,
)
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.adapters.dbt_core.process.run.operations import NoNodesTask
from dbt_temporal.adapters.dbt_core.process.run.tasks import TASKS
from dbt_temporal.domain.results import NodeExecutionResult, is_project_hook
from dbt_temporal.domain.run.turns import FAIL_FAST_REASON

_FAILURES = frozenset(map(str, (NodeStatus.Error, NodeStatus.Fail, NodeStatus.PartialSuccess)))
_SHARED_FIELDS = (
    "status",
    "timing",
    "thread_id",
    "execution_time",
    "adapter_response",
    "message",
    "failures",
    "batch_results",
    "overload_results",
)


@dataclass(frozen=True)
class Completed:
    """A node's result, and the document of its record where it has one. The last three are those of `CompletedNode`."""

    result: NodeExecutionResult
    record: dict[str, Any] | None
    behind: str | None = None
    behind_if_failed: str = ""
    batches: tuple[dict[str, Any], ...] = ()


def read_completed(items: list[dict[str, Any]]) -> list[Completed]:
    return [
        Completed(
            NodeExecutionResult.model_validate(item["result"]),
            read_record(item["record"].encode()) if item["record"] else None,
            item["behind"],
            item["behind_if_failed"],
            tuple(read_record(batch.encode()) for batch in item["batches"]),
        )
        for item in items
    ]


def as_run_results(run: HostRun, completed: list[Completed]) -> list[AnyResult]:
    """The results as dbt's objects, for on-run-end hooks."""
    results: list[AnyResult] = []
    for item in completed:
        if item.record is None or item.record["kind"] == "run":
            output = _run_result_output(run, item)
            fields = {name: getattr(output, name) for name in _SHARED_FIELDS if hasattr(output, name)}
            results.append(RunResult(node=_result_node(run, item), **fields))
        elif "freshness" in item.record:  # records of earlier versions have none
            results.append(freshness_result(item.record, run.manifest.expect(item.result.unique_id)))
    return results


def _result_node(run: HostRun, item: Completed) -> Any:
    record = item.record or {}
    if "unit_test" in record:
        return UnitTestNode.from_dict(record["unit_test"])
    node = run.manifest.expect(item.result.unique_id)
    restore_fields(node, record.get("nodes", {}).get(item.result.unique_id, {}))
    return node


def statuses_of(completed: list[Completed]) -> dict[str, str | None]:
    """dbt's words, by node and hook."""
    return {item.result.unique_id: item.result.dbt_status for item in completed}


def with_skip_messages(
    run: HostRun, completed: list[Completed], skipped: frozenset[str], uncompiled: Set[str]
) -> list[Completed]:
    """The results as dbt has them: those of nodes that the run skipped with its message, and with nothing of ephemeral
    models that it skipped, which a unit test may have inlined. `uncompiled` are those that do not compile."""
    complete = []
    marks = marking(run, statuses_of(completed))
    failed = {
        item.result.unique_id: item.record["behind"] for item in completed if item.record and "behind" in item.record
    }
    for item in completed:
        result = item.result
        if item.record is None and result.status == "skipped" and result.message is None:
            behind = item.behind or last_failed_above(run, result.unique_id, failed)
            if item.behind_if_failed in uncompiled:
                behind = item.behind_if_failed
            elif item.behind is None:
                behind = behind or last_above(run, result.unique_id, skipped, marks)
            message = behind_message(result.unique_id, behind) if behind else None
            item = Completed(result.model_copy(update={"message": message}), None, item.behind)
        elif item.record is not None and not skipped.isdisjoint(item.record["nodes"]):
            nodes = {name: fields for name, fields in item.record["nodes"].items() if name not in skipped}
            item = Completed(result, {**item.record, "nodes": nodes}, item.behind, batches=item.batches)
        complete.append(item)
    return complete


def as_dbt_skips_rest(run: HostRun, completed: list[Completed], message: str | None) -> list[Completed]:
    """The results of a run whose further nodes were skipped with `message`: dbt then has results of what its queue
    holds, ephemeral models with it, but of no unit tests. They come before those of on-run-end."""
    results = [item for item in completed if not _is_unit_test_skipped_with(run, item, message)]
    at_end = next((i for i, item in enumerate(results) if _is_on_run_end(run, item)), len(results))
    missing = run.selected() - {item.result.unique_id for item in results}
    skipped = [
        NodeExecutionResult(unique_id=unique_id, status="skipped", dbt_status="skipped", message=message, attempts=0)
        for unique_id in sorted(missing)
    ]
    return [*results[:at_end], *(Completed(result, None) for result in skipped), *results[at_end:]]


def _is_on_run_end(run: HostRun, item: Completed) -> bool:
    node = run.manifest.nodes.get(item.result.unique_id)
    return node is not None and node.resource_type == NodeType.Operation and RunHookType.End in node.tags


def _is_unit_test_skipped_with(run: HostRun, item: Completed, message: str | None) -> bool:
    result = item.result
    return result.unique_id in run.manifest.unit_tests and (result.status, result.message) == ("skipped", message)


def make_artifacts(run: HostRun, completed: list[Completed], elapsed_time: float, folder: Path) -> dict[str, str]:
    """Writes the artifacts of the command into `folder`, which must exist. Returns their paths by their names.

    `completed` has nodes and hooks in the order of the files; `elapsed_time` is the run's, in seconds.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    facts = TASKS[run.command]
    if ends_with_error(run, completed):
        # dbt may have written the manifest by then, but not what it compiled, nor results.
        if facts.manifest_first:
            _write_manifest(run, folder / "manifest.json", now)
        return _files(folder)
    _restore_nodes(run, completed)
    if facts.manifest:
        _write_manifest(run, folder / "manifest.json", now)
    if facts.results == "sources.json":
        _write_sources(completed, elapsed_time, folder / facts.results, now)
    elif facts.results is not None and getattr(run.flags, "COMPILE", True) and not _was_done_before(run, completed):
        _write_run_results(run, completed, elapsed_time, folder / facts.results, now)
    if run.command == "docs-generate":
        write_docs(run, [item.record for item in completed if item.record], folder)
        if not run.flags.COMPILE:  # dbt's page then shows the manifest that an earlier command has left
            for name in ("manifest.json", SEMANTIC_MANIFEST_FILE_NAME):
                (folder / name).unlink(missing_ok=True)
    return _files(folder)


def _was_done_before(run: HostRun, completed: list[Completed]) -> bool:
    """Whether this retries an operation that had succeeded, whose results dbt leaves as they are."""
    return run.command == "run-operation" and not completed


def _files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): str(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def ends_with_fail_fast(run: HostRun, completed: list[Completed]) -> bool:
    """Whether dbt would have raised its FailFastError, or the run was ended so by an update."""
    failed = any(item.result.dbt_status in _FAILURES and _in_queue(item.result.unique_id) for item in completed)
    return (run.flags.FAIL_FAST and failed) or any(item.result.message == FAIL_FAST_REASON for item in completed)


def _in_queue(unique_id: str) -> bool:
    return not is_project_hook(unique_id) and not is_catalog(unique_id)


def ends_with_error(run: HostRun, completed: list[Completed]) -> bool:
    """Whether dbt would have raised a node's error (`GraphRunnableTask.call_runner`), and written no results."""
    erred = any(item.result.dbt_status == "error" and not is_catalog(item.result.unique_id) for item in completed)
    return erred and run.task.raise_on_first_error() and not ends_with_fail_fast(run, completed)


def _restore_nodes(run: HostRun, completed: list[Completed]) -> None:
    changed: dict[str, dict[str, Any]] = {}
    for item in completed:
        for unique_id, fields in (item.record["nodes"] if item.record else {}).items():
            changed.setdefault(unique_id, {}).update(fields)  # an ephemeral model is in the record of each user
    for unique_id, fields in changed.items():
        restore_fields(run.manifest.expect(unique_id), fields)


def _write_run_results(
    run: HostRun, completed: list[Completed], elapsed_time: float, path: Path, now: datetime
) -> None:
    # An operation of dbt has its own idea of which arguments belong there.
    args = next((item.record["args"] for item in completed if item.record and "args" in item.record), None)
    artifact = RunResultsArtifact.from_execution_results(
        results=[], elapsed_time=elapsed_time, generated_at=now, args=args or args_to_dict(run.flags)
    )
    artifact.results = [_run_result_output(run, item) for item in completed if not is_catalog(item.result.unique_id)]
    artifact.write(str(path))


def _write_sources(completed: list[Completed], elapsed_time: float, path: Path, now: datetime) -> None:
    # As dbt does, sources whose freshness could not be computed are left out.
    outputs = [
        SourceFreshnessOutput.from_dict(item.record["result"])
        for item in completed
        if item.record is not None and item.record["kind"] == "freshness" and "criteria" in item.record["result"]
    ]
    FreshnessExecutionResultArtifact(
        metadata=FreshnessMetadata(generated_at=now), results=outputs, elapsed_time=elapsed_time
    ).write(str(path))


def _write_manifest(run: HostRun, path: Path, now: datetime) -> None:
    run.manifest.metadata.generated_at = now
    inline = run.manifest.nodes.pop(getattr(run.task, "_inline_node_id", None), None)  # dbt takes it out as it ends
    run.manifest.writable_manifest().write(str(path))
    _write_semantic_manifest(run, path.with_name(SEMANTIC_MANIFEST_FILE_NAME))
    if inline is not None:
        run.manifest.nodes[inline.unique_id] = inline


def _write_semantic_manifest(run: HostRun, path: Path) -> None:
    """What is wrong with it is told while the project is parsed; it costs a run nothing else."""
    try:
        SemanticManifest(run.manifest).write_json_to_file(str(path))
    except Exception as error:
        print(f"{path.name} of run {run.invocation.invocation_id} is left out: {error}", flush=True)


def _run_result_output(run: HostRun, item: Completed) -> RunResultOutput:
    if item.record is not None:
        return RunResultOutput.from_dict(item.record["result"])
    result = item.result
    is_node = not isinstance(run.task, NoNodesTask)
    node = run.manifest.expect(result.unique_id) if is_node else SimpleNamespace(unique_id=result.unique_id)
    built = RunResult.from_node(node, _status(result), result.message)
    built.thread_id = ""
    built.execution_time = result.execution_time
    built.adapter_response = result.adapter_response
    built.failures = result.failures
    return process_run_result(built)


def _status(result: NodeExecutionResult) -> RunStatus:
    word = result.dbt_status or {"cancelled": "skipped"}.get(result.status, result.status)
    return RunStatus(word) if word in {status.value for status in RunStatus} else RunStatus.Error
