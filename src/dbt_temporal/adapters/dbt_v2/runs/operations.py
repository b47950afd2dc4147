"""Runs of commands that run no nodes of dbt's: `parse`, `debug`, and `run-operation`, which is one node of the plan.

A process of dbt v2 does each whole. It is tried once: a macro may have had its effect before it failed, and a check
says what is so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from dbt_temporal.adapters.dbt_v2 import command_line
from dbt_temporal.adapters.dbt_v2.artifacts import ARTIFACTS, MANIFEST, RUN_RESULTS, Shown, write_artifacts
from dbt_temporal.adapters.dbt_v2.commands import TargetFacts, V2Commands, V2Project
from dbt_temporal.adapters.dbt_v2.helper import SESSION_VARIABLE, session_name
from dbt_temporal.adapters.dbt_v2.leases import lease_of_operation
from dbt_temporal.adapters.dbt_v2.plan import Manifest
from dbt_temporal.adapters.dbt_v2.processes.course import LOCK_SECS, LOOK_FOR_LOCK_SECS, RunCourse
from dbt_temporal.adapters.dbt_v2.processes.events import read_event
from dbt_temporal.adapters.dbt_v2.processes.process import EVENTS, V2Process, interrupt_living, left_processes
from dbt_temporal.adapters.dbt_v2.processes.told import CANCELLED
from dbt_temporal.adapters.dbt_v2.results import EndingsJudge, classify, command_error
from dbt_temporal.adapters.dbt_v2.runs.catalog import CATALOG, WITHOUT, made_catalog
from dbt_temporal.adapters.dbt_v2.runs.selection import to_retry
from dbt_temporal.adapters.dbt_v2.runs.sessions import Sessions
from dbt_temporal.adapters.earlier_runs import RetriedRuns, remembered
from dbt_temporal.application.attempt_facts import EXECUTING, PHASE, SESSION
from dbt_temporal.application.ports.engine import (
    CompletedNode,
    EnginePlan,
    NodeErrorClass,
    NodeOutcome,
    Prepared,
    Progress,
    ReadState,
)
from dbt_temporal.application.shielding import shielded
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.leases.messages import Lease, LeasePer
from dbt_temporal.domain.lineage.model import LineageGraph
from dbt_temporal.domain.log.said import plain
from dbt_temporal.domain.report.model import RunGraph
from dbt_temporal.domain.results import NodeExecutionResult, NodeStatus
from dbt_temporal.domain.run.invocation import DbtInvocation, LostWork
from dbt_temporal.domain.run.plan import ExecutionPlan, NodeInfo, NodeOverrides

OPERATIONS = frozenset({"parse", "debug", "run-operation"})
_ONCE = NodeOverrides(max_attempts=1)
_MAX_NAMED = 20
_INLINE = "inline_query"


class OperationRun:
    """Implements `EngineRun`.

    Args:
        commands: start dbt.
        folder: of the run's files.
        invocation: with what the retried run gave.
        project: the run's.
        retried: reads what is retried.
        cancel_secs: a process that does not end within that time after it was told to is ended by force.
    """

    def __init__(
        self,
        commands: V2Commands,
        folder: Path,
        invocation: DbtInvocation,
        project: V2Project,
        retried: RetriedRuns,
        cancel_secs: float,
    ) -> None:
        self._commands = commands
        self._folder = folder
        self._invocation = invocation
        self._project = project
        self._retried = retried
        self._cancel_secs = cancel_secs
        self._judge = EndingsJudge()
        self._sessions = Sessions(commands, invocation.invocation_id, project, folder / "sessions", self._facts)

    async def plan(self) -> EnginePlan:
        run_input = self._invocation.input
        manifest = await self._parsed()
        facts = await self._facts()
        node = None if await self._nothing_to_retry() else self._node(manifest)
        nodes = {} if node is None else {node.unique_id: node}
        return EnginePlan(
            plan=ExecutionPlan(
                project=manifest.project_name,
                invocation_id=self._invocation.invocation_id,
                levels=[list(nodes)] if nodes else [],
                nodes=nodes,
            ),
            engine=command_line.NAME,
            target=facts.name,
            threads=run_input.threads or facts.threads,
            dbt_version=manifest.dbt_version,
            adapter_type=facts.adapter_type,
            counts=manifest.counts,
            unrepeatable=frozenset(nodes) if run_input.command == "run-operation" else frozenset(),
            nothing_to_do=not nodes,
            taken_over=self._invocation.what_was_taken_over,
        )

    async def lease(self, per: LeasePer, unique_ids: Collection[str]) -> Lease | None:
        if not unique_ids or self._invocation.input.command != "run-operation":
            return None
        facts = await self._facts()
        project = (await self._parsed()).project_name
        return lease_of_operation(per, project=project, facts=facts, folder=self._project.folder)

    async def before_run(self, progress: Progress, attempt: int = 1, lost: LostWork | None = None) -> Prepared:
        del progress, attempt, lost  # `run-operation` and `debug` run no hooks
        return Prepared()

    async def outcome_of_before_run(self, attempt: int) -> Prepared | None:
        del attempt
        return Prepared()

    async def use_state(self, read: ReadState, without: Collection[str] = ()) -> None:
        del read, without  # nothing is kept in processes that outlasts them

    async def resume(
        self, progress: Progress, ended: Mapping[str, NodeStatus] = MappingProxyType({}), lost: LostWork | None = None
    ) -> Prepared:
        del progress, ended, lost
        return Prepared()

    async def execute_node(
        self,
        unique_id: str,
        progress: Progress,
        ephemerals: Sequence[str] = (),
        part: BatchPart | None = None,
        attempt: int = 1,
        *,
        behind_failure: bool = False,
        again: bool = True,
    ) -> NodeOutcome:
        del ephemerals, part, behind_failure, again
        began = time.monotonic()
        while True:
            process = await self._ended_process(attempt, progress)
            waited = time.monotonic() - began
            if not self._judge.is_locked_out(process) or waited > LOCK_SECS:
                break
            await asyncio.sleep(LOOK_FOR_LOCK_SECS)
        process.refuse_unknown_events()
        if process.died:
            await self._sessions.end_of(process.number)
            raise process.lost(unique_id)
        return self._outcome(process, unique_id, time.monotonic() - began)

    async def outcome_of(self, unique_id: str, attempt: int, part: BatchPart | None = None) -> NodeOutcome | None:
        del part
        left = next((each for each in left_processes(self._processes) if each.number == attempt), None)
        if left is not None:
            interrupt_living(left.folder)
            await left.read_what_is_left(self._cancel_secs)
        if left is None or left.died:
            await self._sessions.end_of(attempt)
            return None
        if any(name == CANCELLED for name, _ in left.told.errors):
            return None
        return self._outcome(left, unique_id, 0.0)

    async def after_run(self, results: list[CompletedNode], progress: Progress, attempt: int = 1) -> list[NodeOutcome]:
        del results, progress, attempt
        return []

    async def outcome_of_after_run(self, attempt: int) -> list[NodeOutcome] | None:
        del attempt
        return []

    async def artifacts(
        self, results: list[CompletedNode], elapsed_time: float, *, with_catalog: bool = False, with_sql: bool = False
    ) -> Mapping[str, Path]:
        del with_sql  # of operations dbt stores none
        run_input = self._invocation.input
        if run_input.command == "debug":  # which writes none
            return {}
        await self._parsed()
        files = await asyncio.to_thread(
            write_artifacts,
            self._folder / ARTIFACTS,
            RunCourse(self._processes, self._judge, self._cancel_secs, 0.0),  # of nodes, of which there are none
            results,
            project=self._project,
            planned=self._planned,
            invocation={
                "invocation_id": self._invocation.invocation_id,
                "dbt_version": (await self._commands.binary()).version,
                "command": run_input.command,
                "remembered": remembered(run_input),
            },
            elapsed_time=elapsed_time,
            with_results=run_input.command == "run-operation",
        )
        if not with_catalog or run_input.command in WITHOUT:
            return files
        place, invocation_id = self._folder / "catalog", self._invocation.invocation_id
        catalog = await made_catalog(self._commands, place, invocation_id, self._project)
        return files if catalog is None else {**files, CATALOG: catalog}

    async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
        del with_code
        return RunGraph()  # an operation is no node of the project

    async def lineage(self) -> LineageGraph:
        return LineageGraph()  # these commands build nothing that dbt knows of

    async def failed_ephemerals(self) -> frozenset[str]:
        return frozenset()

    @property
    def _processes(self) -> Path:
        return self._folder / "processes"

    @property
    def _planned(self) -> Path:
        return self._folder / "plan" / "target"

    async def _parsed(self) -> Manifest:
        file = self._planned / MANIFEST
        if not await asyncio.to_thread(file.is_file):
            words = ["parse", "--write-json", "--invocation-id", self._invocation.invocation_id]
            await self._commands.run(self._folder / "plan", words, self._project, "parsing")
        return Manifest(orjson.loads(await asyncio.to_thread(file.read_bytes)))

    async def _facts(self) -> TargetFacts:
        return await self._commands.facts(self._folder / "facts", self._project)

    async def _nothing_to_retry(self) -> bool:
        run_input = self._invocation.input
        if not run_input.retry_from:
            return False
        document = await self._retried.document(self._invocation, self._project.folder)
        return not to_retry(document["results"], run_input.retry_from)

    async def _ended_process(self, attempt: int, progress: Progress) -> V2Process:
        process = V2Process(attempt, self._processes / str(attempt), None)
        name = session_name(self._invocation.invocation_id, attempt)
        session = {SESSION: name} if await self._sessions.name(attempt) else {}
        await self._commands.start(process, self._words(), self._project.with_variable(SESSION_VARIABLE, name))
        progress({"host_pid": process.pid, PHASE: EXECUTING, **session})
        try:
            await process.ended.wait()
        except asyncio.CancelledError:
            await shielded(self._cancelled(process))
            raise
        return process

    async def _cancelled(self, process: V2Process) -> None:
        await process.end(self._cancel_secs)
        await self._sessions.end_of_killed(process)

    def _node(self, manifest: Manifest) -> NodeInfo | None:
        run_input, project = self._invocation.input, manifest.project_name
        if run_input.command == "debug":
            return _node_info(f"debug.{project}", project, "debug", project)
        if run_input.command != "run-operation":
            return None
        if run_input.macro is None:
            return _node_info(f"sql_operation.{project}.{_INLINE}", _INLINE, "operation", project)
        macro = manifest.macro(run_input.macro)
        if macro is None:
            raise _no_macro(run_input.macro, manifest)
        return _node_info(macro["unique_id"], macro["name"], "operation", macro["package_name"])

    def _words(self) -> list[str]:
        run_input = self._invocation.input
        common = [*command_line.flags(run_input), "--invocation-id", self._invocation.invocation_id, "--write-json"]
        if run_input.command == "debug":
            return ["debug", *(["--connection"] if run_input.connection else []), *common]
        if run_input.macro is None:
            return ["run-operation", "--sql", str(run_input.sql), *common]
        arguments = ["--args", orjson.dumps(run_input.args).decode()] if run_input.args else []
        return ["run-operation", run_input.macro, *arguments, *common]

    def _outcome(self, process: V2Process, unique_id: str, seconds: float) -> NodeOutcome:
        told, shown = process.told, Shown(self._project, process.target)
        status: NodeStatus = "success" if told.success else "error"
        message = error = None
        if not told.success:
            message = shown.text(command_error(told, "dbt v2 has failed, and does not say why").message)
            name, text = told.errors[0] if told.errors else ("", "")
            error_type, retryable = classify(name, text)
            error = NodeErrorClass(error_type.value, retryable)
        result = NodeExecutionResult(
            unique_id=unique_id,
            status=status,
            dbt_status=status,
            execution_time=seconds,
            message=message,
            output=shown.text(plain("\n".join(told.notes))) or None,
        )
        return NodeOutcome(result, error, orjson.dumps(self._entry(process, result)), shown.text(_log(process)))

    def _entry(self, process: V2Process, result: NodeExecutionResult) -> dict[str, Any]:
        """What run_results.json has of it: dbt's own of a success; after an error it names nodes that never ran."""
        called = self._invocation.input.macro or result.unique_id
        if result.status == "success":
            with contextlib.suppress(OSError, orjson.JSONDecodeError, IndexError, KeyError):
                entry: dict[str, Any] = orjson.loads((process.target / RUN_RESULTS).read_bytes())["results"][0]
                return entry
        return {
            "status": result.status,
            "timing": [],
            "thread_id": "",
            "execution_time": result.execution_time,
            "adapter_response": {},
            "message": result.message,
            "unique_id": called,
        }


def _node_info(unique_id: str, name: str, kind: str, package: str) -> NodeInfo:
    return NodeInfo(unique_id=unique_id, name=name, resource_type=kind, package_name=package, overrides=_ONCE)


def _no_macro(name: str, manifest: Manifest) -> Exception:
    project = manifest.project_name
    own = sorted(each["name"] for each in manifest.document["macros"].values() if each["package_name"] == project)
    known = ", ".join(own[:_MAX_NAMED]) + (", ..." if len(own) > _MAX_NAMED else "") or "none"
    return configuration_error(
        f"macro: dbt could not find a macro with the name {name!r} in any package; those of {project} are: {known}; "
        "those of other packages are called <package>.<macro>"
    )


def _log(process: V2Process) -> str:
    """All that a process has said, as lines of a node's log."""
    lines = []
    for line in (process.folder / EVENTS).read_bytes().splitlines():
        event = read_event(line)
        if event is not None and event.name != "MainReportArgs":  # which repeats all arguments
            lines.append(f"{event.at} [{event.level}] {event.data.get('sql') or event.message}\n")
    return "".join(lines)
