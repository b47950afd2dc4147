"""The artifacts of a run: those of its processes, put together by what they have told of each node.

What dbt v2 tells of a node while it runs is its word. The run_results.json of a process that ended by an error outside
of its nodes (a hook, a signal, fail-fast) names every node as failed, whatever it had come to (2.0.0-preview.190), and
no file is there of one that died. There, and of nodes that no process of this worker ran, results are made from events.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from dbt_temporal.adapters.dbt_v2.commands import V2Project
from dbt_temporal.adapters.dbt_v2.processes.course import RunCourse
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.sql_files import gather_sql
from dbt_temporal.adapters.dbt_v2.processes.told import BAD, Told
from dbt_temporal.adapters.dbt_v2.processes.verdicts import Answer
from dbt_temporal.adapters.dbt_v2.results import outcome_of, result_entry
from dbt_temporal.application.ports.engine import CompletedNode
from dbt_temporal.domain.results import is_project_hook

ARTIFACTS = "artifacts"
"""The folder of those of a run, below the run's own."""
RUN_RESULTS, MANIFEST, SEMANTIC_MANIFEST = "run_results.json", "manifest.json", "semantic_manifest.json"
_SCHEMA = "https://schemas.getdbt.com/dbt/run-results/v6.json"
SHOWN_TARGET = "target"
"""What dbt calls the folder of its files, where it is not told another one."""


class Shown:
    """Puts paths of a process's own folders as dbt's command line shows them, which writes into the project."""

    def __init__(self, project: V2Project, target: Path) -> None:
        self._places = {
            str(target): SHOWN_TARGET,
            os.path.relpath(target, project.copy): SHOWN_TARGET,
            str(project.copy): str(project.folder),
        }

    def text(self, text: str) -> str:
        for place, shown in self._places.items():
            text = text.replace(place, shown)
        return text

    def told(self, told: Told) -> Told:
        return replace(told, error=self.text(told.error), log=[self.text(line) for line in told.log])


def write_artifacts(
    folder: Path,
    course: RunCourse,
    results: Sequence[CompletedNode],
    *,
    project: V2Project,
    planned: Path | None,
    invocation: Mapping[str, Any],
    elapsed_time: float,
    with_results: bool,
    with_entries: bool = True,
    with_sql: bool = False,
) -> dict[str, Path]:
    """Writes them, and says where by name.

    Args:
        folder: where to.
        course: the run's.
        results: of the run's nodes, in the order in which they ended.
        project: as processes were given it.
        planned: the target folder of the plan, whose manifest counts where no process has left one.
        invocation: `invocation_id`, `dbt_version` and `command`; `remembered` for retries, which dbt v2 does not write.
        elapsed_time: of the run, in seconds.
        with_results: whether there are results of it.
        with_entries: whether these say anything of nodes.
        with_sql: whether the SQL of the nodes is among them.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    left = [_Left(process, project) for process in course.processes]
    manifest = _manifest(left, planned, project)
    written: dict[str, Path] = {}
    if manifest is not None:
        written[MANIFEST] = folder / MANIFEST
        written[MANIFEST].write_bytes(orjson.dumps(manifest))
    semantic = _semantic_manifest(left, planned, project)
    if semantic is not None:
        written[SEMANTIC_MANIFEST] = folder / SEMANTIC_MANIFEST
        written[SEMANTIC_MANIFEST].write_bytes(orjson.dumps(semantic))
    if with_results:
        document = next((each.results for each in reversed(left) if each.results), None) or _empty(invocation)
        document["metadata"] |= {
            "invocation_id": invocation["invocation_id"],
            "generated_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        by_process = {each.process.number: each for each in left}
        nodes = (manifest or {}).get("nodes", {})
        document["results"] = [
            _entry(each, course.last_told(each.result.unique_id), by_process, nodes)
            for each in ([*results, *_beside(course, results)] if with_entries else [])
            if not is_project_hook(each.result.unique_id)
        ]
        document["elapsed_time"] = elapsed_time
        document["args"] |= invocation["remembered"]
        written[RUN_RESULTS] = folder / RUN_RESULTS
        written[RUN_RESULTS].write_bytes(orjson.dumps(document))
    return written | (gather_sql(course, results, folder / "sql") if with_sql else {})


class _Left:
    """The files that a process has left."""

    def __init__(self, process: V2Process, project: V2Project) -> None:
        self.process = process
        self.shown = Shown(project, process.target)
        self.results: dict[str, Any] | None = self.read(RUN_RESULTS)
        listed = {} if self.results is None else {each["unique_id"]: each for each in self.results["results"]}
        told = process.told.nodes
        honest = all(uid in told and _same(told[uid], entry["status"]) for uid, entry in listed.items())
        self.entries: dict[str, Any] = listed if honest else {}

    def read(self, name: str) -> dict[str, Any] | None:
        return _read(self.process.target / name, self.shown)


def _beside(course: RunCourse, results: Sequence[CompletedNode]) -> list[CompletedNode]:
    """What dbt has run beside the nodes that it lists: ephemeral models that tests are about."""
    known = {each.result.unique_id for each in results}
    told = (answer.told for unique_id in course.states() if (answer := course.last_told(unique_id)) is not None)
    return [
        CompletedNode(outcome_of(each, "").result) for each in told if each is not None and each.unique_id not in known
    ]


def _read(file: Path, shown: Shown) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = orjson.loads(shown.text(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    return document


def _same(told: Told, status: str) -> bool:
    """Whether an entry of run_results.json says what was told; it has other words for some things."""
    return status == {"no-op": "skipped"}.get(told.status, told.status) or _is_failed_unit_test(told, status)


def _is_failed_unit_test(told: Told, status: str) -> bool:
    return told.status == "fail" and status == "error" and told.unique_id.startswith("unit_test.")


def _entry(
    completed: CompletedNode, answer: Answer | None, left: Mapping[int, _Left], nodes: Mapping[str, Any]
) -> dict[str, Any]:
    result = completed.result
    told = answer.told if answer is not None else None
    overruled = result.status == "success" and told is not None and told.status in BAD  # by an operator
    if answer is None or told is None or overruled or _has_run_elsewhere_since(completed, told):
        if completed.record:
            entry: dict[str, Any] = orjson.loads(completed.record)
        else:
            entry = _entry_of_result(completed)
    else:
        of_process = left[answer.process.number]
        entry = of_process.entries.get(result.unique_id) or result_entry(of_process.shown.told(told))
    relation = (nodes.get(result.unique_id) or {}).get("relation_name")
    if relation and not entry.get("relation_name"):
        entry["relation_name"] = relation
    return {key: value for key, value in entry.items() if key != "failures" or value is not None}


def _has_run_elsewhere_since(completed: CompletedNode, told: Told) -> bool:
    """Whether another machine's worker has gone on with the run after the process here, before it came back."""
    word = completed.result.dbt_status
    return bool(completed.record and word and told.finished and word != told.status)


def _entry_of_result(completed: CompletedNode) -> dict[str, Any]:
    result = completed.result
    word = result.dbt_status or result.status
    return {
        "status": {"no-op": "skipped", "cancelled": "error"}.get(word, word),
        "timing": [entry.model_dump(mode="json") for entry in result.timing],
        "thread_id": "",
        "execution_time": result.execution_time,
        "adapter_response": result.adapter_response,
        "message": result.message,
        "failures": result.failures,
        "unique_id": result.unique_id,
    }


def _manifest(left: Sequence[_Left], planned: Path | None, project: V2Project) -> dict[str, Any] | None:
    """That of the first process that has left one, with the nodes that later ones have run as these have them."""
    found = [(each, document) for each in left if (document := each.read(MANIFEST)) is not None]
    if not found:
        return None if planned is None else _read(planned / MANIFEST, Shown(project, planned))
    whole = found[0][1]
    for each, document in found[1:]:
        for kind in ("nodes", "unit_tests", "functions"):
            for unique_id, node in document.get(kind, {}).items():
                if unique_id in each.process.told.nodes:
                    whole[kind][unique_id] = node
    return whole


def _semantic_manifest(left: Sequence[_Left], planned: Path | None, project: V2Project) -> dict[str, Any] | None:
    """That of the first process that has left one; what runs does not change it."""
    found = (each.read(SEMANTIC_MANIFEST) for each in left)
    document = next((each for each in found if each is not None), None)
    if document is None and planned is not None:
        return _read(planned / SEMANTIC_MANIFEST, Shown(project, planned))
    return document


def _empty(invocation: Mapping[str, Any]) -> dict[str, Any]:
    called = {"command": invocation["command"], "which": invocation["command"]}
    return {
        "metadata": {
            "dbt_schema_version": _SCHEMA,
            "dbt_version": invocation["dbt_version"],
            "invocation_id": invocation["invocation_id"],
            "env": {},
        },
        "results": [],
        "elapsed_time": 0.0,
        "args": {**called, "__other__": {**called, "static_analysis": None}},
    }
