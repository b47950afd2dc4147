"""dbt's results in our terms, and the record from which artifacts are made later, perhaps on another worker.

A record is `{"result": <an entry of run_results.json or sources.json>, "nodes": {unique_id: <fields of manifest.json
that running changed>}, "kind": "run" | "freshness"}`, with the node that dbt made of a unit test as "unit_test",
what dbt has of a freshness beside its node as "freshness", and what it wrote into its target folder, which the manifest
does not have, as "sql": {path: text}. Of a batch there is the last one alone.
Checked on dbt-core 1.11.16 and 1.12.0: `process_run_result`, `process_freshness_result`, `to_resource`, `write_node`,
and the keys that `CompiledResource.__post_serialize__` leaves out of nodes that were not compiled.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from dbt.artifacts.schemas.freshness import PartialSourceFreshnessResult, SourceFreshnessResult
from dbt.artifacts.schemas.freshness.v3.freshness import process_freshness_result
from dbt.artifacts.schemas.run import RunResult
from dbt.artifacts.schemas.run.v5.run import process_run_result
from dbt.contracts.graph.nodes import ParsedNode, UnitTestDefinition, UnitTestNode

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.process.events import without_colors
from dbt_temporal.adapters.dbt_core.process.run.host_run import HostRun
from dbt_temporal.domain.batches import BatchResults, Window
from dbt_temporal.domain.results import Freshness, NodeExecutionResult, NodeStatus, TimingEntry

NODE_STATUSES: dict[str, NodeStatus] = {
    "success": "success",
    "pass": "success",
    "warn": "success",
    "no-op": "success",
    "reused": "success",
    "error": "error",
    "fail": "error",
    "runtime error": "error",
    "partial success": "error",
    "skipped": "skipped",
}

AnyResult: TypeAlias = RunResult | SourceFreshnessResult | PartialSourceFreshnessResult


def resource_fields(node: Any) -> dict[str, Any]:
    """A node as manifest.json shows it; nothing for unit tests, which run as a node of their own making."""
    if isinstance(node, (UnitTestDefinition, UnitTestNode)):
        return {}
    fields: dict[str, Any] = node.to_resource().to_dict(omit_none=False, context={"artifact": True})
    return fields


def changed_fields(before: dict[str, Any], node: Any) -> dict[str, Any]:
    return {key: value for key, value in resource_fields(node).items() if before.get(key) != value}


def restore_fields(node: Any, changed: dict[str, Any]) -> None:
    """Gives a node of the manifest what running changed of it, on a copy or in another host.

    dbt itself can then write it down: the keys of an artifact depend on whether a node is compiled.
    """
    if changed:
        resource = node.resource_class().from_dict({**node.to_dict(), **changed})
        for name in changed:
            setattr(node, name, getattr(resource, name))


def use_own_paths(run: HostRun, node: Any) -> None:
    """Has a node name its files below the project's own target path."""
    for name in ("compiled_path", "build_path"):
        path = getattr(node, name, None)
        if path:
            setattr(node, name, run.own_paths(path))


def name_files_at_own_paths(run: HostRun) -> None:
    """The same as soon as a file is written: Jinja sees the paths, too, and dbt's messages have them."""
    write = ParsedNode.write_node

    def write_node(node: Any, project_root: str, path: str, text: str) -> None:
        write(node, project_root, path, text)
        use_own_paths(run, node)
        if hasattr(run.written, "files"):
            run.written.files.append((path, text))

    ParsedNode.write_node = write_node


def with_own_paths(run: HostRun, result: AnyResult) -> AnyResult:
    if result.message:
        result.message = run.own_paths(result.message)
    use_own_paths(run, result.node)
    return result


def execution_result(
    result: AnyResult,
    messages: Sequence[str] = (),
    *,
    with_compiled_code: bool = False,
    output: str | None = None,
) -> NodeExecutionResult:
    """The small result that travels through the run; with the rows of its table, where it was shown (`output`)."""
    table = getattr(result, "agate_table", None)
    dbt_status = str(result.status)
    node = result.node
    return NodeExecutionResult(
        unique_id=node.unique_id,
        status=NODE_STATUSES.get(dbt_status, "error"),
        dbt_status=dbt_status,
        execution_time=result.execution_time,
        message=without_colors(result.message) if result.message else result.message,
        adapter_response=_plain(result.adapter_response) or {},
        compiled_code=getattr(node, "compiled_code", None) if with_compiled_code else None,
        timing=[_timing(entry) for entry in result.timing],
        failures=result.failures,
        freshness=_freshness(result),
        batch_results=_batch_results(result),
        output=output,
        rows=_rows(table) if output and table is not None else None,
        messages="\n".join(messages) or None,
    )


def _batch_results(result: AnyResult) -> BatchResults | None:
    found = getattr(result, "batch_results", None)
    if found is None:
        return None
    return BatchResults(successful=_windows(found.successful), failed=_windows(found.failed))


def _windows(batches: list[Any]) -> list[Window]:
    return [(start.isoformat() if start else None, end.isoformat()) for start, end in batches]


def result_of_entry(entry: dict[str, Any]) -> NodeExecutionResult:
    """The small result of an entry of run_results.json."""
    status = str(entry["status"])
    names = ("unique_id", "execution_time", "message", "adapter_response", "failures")
    return NodeExecutionResult(
        status=NODE_STATUSES.get(status, "error"),
        dbt_status=status,
        timing=[TimingEntry(**{name: each[name] for name in TimingEntry.model_fields}) for each in entry["timing"]],
        **{name: entry[name] for name in names},
    )


def _rows(table: Any) -> list[dict[str, Any]]:
    """As dbt's `--output json` has them."""
    text = io.StringIO()
    table.to_json(path=text)
    rows: list[dict[str, Any]] = json.loads(text.getvalue())
    return rows


def make_record(
    result: AnyResult,
    nodes: dict[str, dict[str, Any]],
    behind: str | None = None,
    sql: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The record of a result.

    Args:
        result: dbt's own.
        nodes: the changed fields of all nodes that it touched.
        behind: the ephemeral model for which dbt has skipped the node, if it has.
        sql: what it has written, by paths within the target folder.
    """
    document: dict[str, Any] = {"nodes": nodes}
    if sql:
        document["sql"] = dict(sql)
    if behind is not None:
        document["behind"] = behind
    if isinstance(result, RunResult):
        document |= {"kind": "run", "result": process_run_result(result).to_dict(omit_none=False)}
        if isinstance(result.node, UnitTestNode):
            document["unit_test"] = result.node.to_dict(omit_none=False)
    else:
        fields = result.to_dict(omit_none=False)
        del fields["node"]
        output = process_freshness_result(result).to_dict(omit_none=False)
        document |= {"kind": "freshness", "result": output, "freshness": fields}
    return wire.dumps(document)


def make_batch_record(sql: Mapping[str, str]) -> bytes:
    """The record of a batch, which has no entry of its own in an artifact; empty where it has written nothing."""
    return wire.dumps({"sql": dict(sql)}) if sql else b""


def freshness_result(record: dict[str, Any], node: Any) -> AnyResult:
    """The result of a source's freshness, from its record."""
    fields = record["freshness"]
    kind = SourceFreshnessResult if "max_loaded_at" in fields else PartialSourceFreshnessResult
    result: AnyResult = kind.from_dict({**fields, "node": node.to_dict(omit_none=False)})
    result.node = node
    return result


def read_record(record: bytes) -> dict[str, Any]:
    # Whoever redacts a record writes plain JSON.
    document: dict[str, Any] = json.loads(record)
    return document


def _plain(value: Any) -> Any:
    return wire.loads(wire.dumps(value)) if value else value


def _timing(entry: Any) -> TimingEntry:
    fields = entry.to_dict(omit_none=False)
    return TimingEntry(name=fields["name"], started_at=fields["started_at"], completed_at=fields["completed_at"])


def _freshness(result: AnyResult) -> Freshness | None:
    if isinstance(result, RunResult):
        return None
    fields = process_freshness_result(result).to_dict(omit_none=False)
    return Freshness.model_validate({key: fields[key] for key in Freshness.model_fields if key in fields})
