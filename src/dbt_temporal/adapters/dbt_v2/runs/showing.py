"""What dbt v2 makes of nodes without writing them: rows, compiled code, how fresh sources are.

Of freshness its events have the word alone; sources.json, which it writes at its end, has the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from dbt_temporal.adapters.dbt_v2.plan import Manifest
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.results import classify
from dbt_temporal.application.ports.engine import CompletedNode, NodeErrorClass, NodeOutcome
from dbt_temporal.domain.errors import ErrorType, configuration_error
from dbt_temporal.domain.results import Freshness
from dbt_temporal.domain.run.input import DbtRunInput

SOURCES = "sources.json"
_SCHEMA = "https://schemas.getdbt.com/dbt/sources/v3.json"


def chosen(command: str, manifest: Manifest, selected: Sequence[str]) -> list[str]:
    """Those of the selected nodes that a command does something with, as dbt v2 has it.

    Raises:
        DbtTemporalError: of type Configuration, where it takes one alone.
    """
    if command == "show" and len(selected) > 1:
        raise configuration_error(f"select: only one node can be selected for show: {', '.join(selected[:3])}")
    if command == "source-freshness":
        return [unique_id for unique_id in selected if _is_checked(manifest.node(unique_id))]
    return list(selected)


def _is_checked(source: Mapping[str, Any]) -> bool:
    freshness = source.get("freshness") or {}
    return any((freshness.get(kind) or {}).get("count") is not None for kind in ("warn_after", "error_after"))


def with_rows(outcome: NodeOutcome, shown: str) -> NodeOutcome:
    """The outcome of a node that was shown, with its rows."""
    try:
        rows = orjson.loads(shown)
    except orjson.JSONDecodeError:
        return outcome
    return _with(outcome, rows=rows)


def with_printed_code(outcome: NodeOutcome, run_input: DbtRunInput) -> NodeOutcome:
    """The outcome of a node that was compiled, with its code as dbt prints it where it is an inline query, or named."""
    code, name = outcome.result.compiled_code, outcome.result.unique_id.rpartition(".")[2]
    if code is None:
        return outcome
    if run_input.inline is not None:
        return _with(outcome, output=f"Compiled inline node is:\n{code}")
    if name in (run_input.select or "").split():
        return _with(outcome, output=f"Compiled node '{name}' is:\n{code}")
    return outcome


async def with_freshness(outcome: NodeOutcome, process: V2Process) -> NodeOutcome | None:
    """The outcome of a source with what dbt has found, once its process has ended; None where it has died before it
    wrote that down."""
    await process.ended.wait()
    found = await asyncio.to_thread(_entries, process)
    entry = found.get(outcome.result.unique_id)
    failed = outcome.error is not None
    if entry is None and (process.died or process.interrupted):
        return None
    if entry is None:  # one statement that fails takes the words of all sources
        if not failed or not process.told.errors:
            return outcome
        name, text = process.told.errors[0]
        error_type, retryable = classify(name, text)
        message = "\n".join(dict.fromkeys(each for _, each in process.told.errors))
        return _with(outcome, NodeErrorClass(error_type.value, retryable), message=message)
    freshness = Freshness.model_validate({**entry, "status": str(entry["status"]).lower()})
    stale = NodeErrorClass(ErrorType.STALE_SOURCE.value, False) if failed else None
    return replace(_with(outcome, stale, freshness=freshness), record=orjson.dumps(entry))


def write_sources(
    folder: Path,
    processes: Sequence[V2Process],
    results: Sequence[CompletedNode],
    invocation: Mapping[str, Any],
    elapsed_time: float,
) -> Path | None:
    """Writes sources.json as dbt has written it: of each source what the last process says of it, or the record of its
    result, where that was another machine's. None where nothing is known of any."""
    left = [document for process in processes if (document := _read(process)) is not None]
    entries = {entry["unique_id"]: entry for each in left for entry in each["results"]}
    records = (orjson.loads(each.record) for each in results if each.record and each.result.freshness is not None)
    entries = {record["unique_id"]: record for record in records if "max_loaded_at" in record} | entries
    if not entries:
        return None
    document = left[-1] if left else {"metadata": {"dbt_schema_version": _SCHEMA, "env": {}}}
    document["results"] = list(entries.values())
    document["metadata"] |= {
        "dbt_version": invocation["dbt_version"],
        "invocation_id": invocation["invocation_id"],
        "generated_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    document["elapsed_time"] = elapsed_time
    file = folder / SOURCES
    file.write_bytes(orjson.dumps(document))
    return file


def _entries(process: V2Process) -> dict[str, Any]:
    document = _read(process)
    return {} if document is None else {entry["unique_id"]: entry for entry in document["results"]}


def _read(process: V2Process) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = orjson.loads((process.target / SOURCES).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return document


def _with(outcome: NodeOutcome, error: NodeErrorClass | None = None, **fields: Any) -> NodeOutcome:
    result = outcome.result.model_copy(update=fields)
    return replace(outcome, result=result, error=error or outcome.error)
