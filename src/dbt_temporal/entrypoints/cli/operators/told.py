"""`dbt-temporal logs` and `results`: what a run and its nodes have said, and what they came to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.planned_runs import PlannedRun, find_planned_run
from dbt_temporal.application.ports.runs import Outcome
from dbt_temporal.application.stored.run_files import safe_name
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.node_names import find_nodes
from dbt_temporal.domain.results import NodeExecutionResult, is_project_hook
from dbt_temporal.domain.run.state import first_line
from dbt_temporal.entrypoints.cli.operators.newest import named_run
from dbt_temporal.entrypoints.cli.operators.runs import connected
from dbt_temporal.entrypoints.cli.operators.stored import find_run, store_of
from dbt_temporal.entrypoints.cli.progress import node_label
from dbt_temporal.entrypoints.cli.submit import Target
from dbt_temporal.entrypoints.exit_codes import SUCCESS

RUN_LOG_FILE = "log.txt"
RUN_RESULTS_FILE = "run_results.json"
_STYLES = {"success": "green", "pass": "green", "warn": "yellow", "skipped": "dim", "no-op": "dim", "reused": "dim"}


@dataclass(frozen=True)
class ShownResult:
    """What a node came to, as `--output json` has it; the fields are dbt's.

    Of a source, `max_loaded_at_time_ago_in_s` is how old its newest data was.
    """

    unique_id: str
    status: str
    execution_time: float
    rows_affected: int | None
    failures: int | None
    message: str | None
    max_loaded_at_time_ago_in_s: float | None = None


async def print_logs(
    target: Target, workflow_id: str | None, node: str | None, project: str | None, out: Console
) -> int:
    """Prints the log of a run, or what dbt logged while a node ran. Returns the exit code.

    Args:
        target: the server.
        workflow_id: the run; the newest one where it is None. Where it is alone and no workflow has this id, it is a
            node of the newest run.
        node: by name, label or unique_id.
        project: which project's newest run.
        out: the terminal.

    Raises:
        DbtTemporalError: of type Configuration, where there is no such run, node or log; of type ArtifactStore.
    """
    run, node = await _run_and_node(target, workflow_id, node, project)
    text = await _run_log(target, run) if node is None else await _node_log(store_of(run, target), run, node)
    print(text, end="" if text.endswith("\n") else "\n", file=out.file)
    return SUCCESS


async def print_results(
    target: Target, workflow_id: str | None, project: str | None, as_json: bool, out: Console
) -> int:
    """Prints what the nodes of a run came to, in the order in which they ended. Returns the exit code, not the run's.

    Raises:
        DbtTemporalError: of type Configuration, where there is no such run, or it has no results; of type
            ArtifactStore.
    """
    run = await find_run(target, workflow_id, project)
    results = await _stored_results(target, run)
    told = None
    if results is None:
        told = await _told_results(target, run)
        results = [_of_result(result) for result in told]
    if as_json:
        for result in results:
            print(json.dumps(asdict(result)), file=out.file)
        return SUCCESS
    if told is None and any(result.status == "skipped" and not result.message for result in results):
        # dbt's own file does not say why a node was skipped; the run does.
        told = await _output_of(target, run)
    results = _with_reasons(results, told or [])
    if not results:
        out.print("The run has no results.")
        return SUCCESS
    out.print(_table(results), soft_wrap=not out.is_terminal)
    return SUCCESS


async def _run_and_node(
    target: Target, workflow_id: str | None, node: str | None, project: str | None
) -> tuple[PlannedRun, str | None]:
    if workflow_id is None or node is not None:
        return await find_run(target, workflow_id, project), node
    client = await connected(target)
    run = await find_planned_run(client, workflow_id)
    if run is not None:
        return run, None
    try:
        newest = await find_run(target, await named_run(client, target, None, project), None)
        find_nodes(newest.nodes, [workflow_id])
    except DbtTemporalError as error:
        raise configuration_error(
            f"there is no run {workflow_id!r}; and as a node of the newest one: {error.message}"
        ) from error
    return newest, workflow_id


async def _run_log(target: Target, run: PlannedRun) -> str:
    """As it is stored once the run has ended; before that, as its worker tells it."""
    if run.place is not None and not run.is_open:
        stored = await store_of(run, target).read(RUN_LOG_FILE)
        if stored is not None:
            return stored.decode(errors="replace")
    gateway = TemporalRunGateway(await connected(target), target.connection.task_queue)
    snapshot = await gateway.find(run.workflow_id).snapshot(with_nodes=False)
    if snapshot is None:
        raise configuration_error(
            f"no worker is there to tell the log of {run.workflow_id!r}, and none is stored"
            + ("" if run.place is None else f" at {run.place}")
        )
    return "\n".join(snapshot.new_log_lines)


async def _node_log(store: FsspecArtifactStore, run: PlannedRun, name: str) -> str:
    """That of its last attempt; of a microbatch model, with those of its batches, in their order."""
    unique_id = name if is_project_hook(name) else find_nodes(run.nodes, [name])[0]
    own = f"logs/{safe_name(unique_id)}.log"
    paths = [own]
    if unique_id in run.nodes and run.nodes[unique_id].batched:
        others = {f"logs/{safe_name(other)}.log" for other in run.nodes}
        files = (file.path for file in await store.list_files("logs"))
        begin = f"logs/{safe_name(unique_id)}."
        paths += sorted(path for path in files if path.startswith(begin) and path not in others)
    found = await store.read_many(paths)
    if not found:
        why = "it has not ended yet" if run.is_open else "nothing of it ran, or its log is not there any more"
        raise configuration_error(f"there is no log of {unique_id} at {store.location(own)}: {why}")
    texts = []
    for path in paths:
        if path in found:
            text = found[path].decode(errors="replace")
            texts.append(text if len(found) == 1 else f"-- {path.removeprefix('logs/')}\n{text}")
    return "\n".join(texts)


async def _stored_results(target: Target, run: PlannedRun) -> list[ShownResult] | None:
    """Those of run_results.json, which has all; None where there is none."""
    if run.place is None or run.is_open:
        return None
    store = store_of(run, target)
    stored = await store.read(RUN_RESULTS_FILE)
    if stored is None:
        return None
    try:
        return [_of_entry(entry) for entry in orjson.loads(stored)["results"]]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise configuration_error(f"{store.location(RUN_RESULTS_FILE)} is no run_results.json of dbt") from error


async def _told_results(target: Target, run: PlannedRun) -> list[NodeExecutionResult]:
    """Those of the run's output."""
    if run.is_open:
        raise configuration_error(
            f"the run {run.workflow_id!r} goes on: `dbt-temporal status {run.workflow_id}` says where its nodes stand"
        )
    outcome = await _outcome(target, run)
    if outcome.output is None:
        raise configuration_error(f"the run {run.workflow_id!r} has no results: {outcome.message or outcome.ending}")
    return outcome.output.node_results


async def _output_of(target: Target, run: PlannedRun) -> list[NodeExecutionResult]:
    """Those of the run's output as well; none where it has none, as one that was terminated."""
    output = (await _outcome(target, run)).output
    return [] if output is None else output.node_results


async def _outcome(target: Target, run: PlannedRun) -> Outcome:
    gateway = TemporalRunGateway(await connected(target), target.connection.task_queue)
    return await gateway.find(run.workflow_id).outcome()


def _with_reasons(results: Sequence[ShownResult], told: Sequence[NodeExecutionResult]) -> list[ShownResult]:
    """With what people want to know where dbt has no message: why a node was skipped, how old a source's data is."""
    reasons = {each.unique_id: each.freshness.age_in_words() if each.freshness else each.message for each in told}
    return [each if each.message else replace(each, message=reasons.get(each.unique_id)) for each in results]


def _of_entry(entry: Mapping[str, Any]) -> ShownResult:
    return ShownResult(
        unique_id=entry["unique_id"],
        status=str(entry["status"]),
        execution_time=float(entry["execution_time"] or 0.0),
        rows_affected=_rows(entry.get("adapter_response") or {}),
        failures=entry.get("failures"),
        message=entry.get("message"),
    )


def _of_result(result: NodeExecutionResult) -> ShownResult:
    return ShownResult(
        unique_id=result.unique_id,
        status=result.dbt_status or result.status,
        execution_time=result.execution_time,
        rows_affected=_rows(result.adapter_response),
        failures=result.failures,
        message=result.message,
        max_loaded_at_time_ago_in_s=result.freshness.max_loaded_at_time_ago_in_s if result.freshness else None,
    )


def _rows(response: Mapping[str, Any]) -> int | None:
    rows = response.get("rows_affected")
    return rows if isinstance(rows, int) and rows >= 0 else None


def _table(results: Sequence[ShownResult]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("NODE", overflow="fold")
    table.add_column("STATUS", no_wrap=True)
    table.add_column("TIME", no_wrap=True, justify="right")
    table.add_column("ROWS", no_wrap=True, justify="right")
    table.add_column("MESSAGE", overflow="fold")
    for result in results:
        kind, name = node_label(result.unique_id)
        rows = result.rows_affected if result.failures is None else result.failures
        table.add_row(
            Text(f"{kind} {name}"),
            Text(result.status, style=_STYLES.get(result.status, "red")),
            f"{result.execution_time:.2f}s",
            "" if rows is None else f"{rows}",
            Text(first_line(result.message) if result.message else ""),
        )
    return table
