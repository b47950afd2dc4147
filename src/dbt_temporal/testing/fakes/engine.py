"""A dbt engine whose nodes end as the test says."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from dbt_temporal.application.ports.engine import (
    CompletedNode,
    EnginePlan,
    LoadedProject,
    NodeErrorClass,
    NodeOutcome,
    Prepared,
    Progress,
    ProjectLocation,
    ReadState,
)
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import RETRYABLE_TYPES, DbtTemporalError, ErrorType
from dbt_temporal.domain.leases.messages import Lease, LeasePer
from dbt_temporal.domain.lineage.model import LineageGraph, LineageNode
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.report.model import NodeFacts, RunGraph
from dbt_temporal.domain.results import NodeExecutionResult, NodeStatus
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation, LostWork
from dbt_temporal.domain.run.plan import ExecutionPlan
from dbt_temporal.testing.builders import PROJECT, plan, result


def ready_project(
    name: str = PROJECT, *, config: ProjectConfig | None = None, revision: str | None = None
) -> ReadyProject:
    """A loaded project for a registry."""
    location = ProjectLocation(
        Path("/projects") / name, Path("/projects") / name, revision=revision, source=f"/projects/{name}"
    )
    loaded = LoadedProject(name, location, adapter_type="duckdb", target="dev", threads=4, dbt_version="1.11.0")
    return ReadyProject(loaded, config or ProjectConfig())


class FakeEngine:
    """Implements `DbtEngine`.

    Attributes:
        run_plan: what `plan` answers.
        unparsable: by source, what is wrong with projects that do not parse.
        script: for a unique_id, what its attempts end with, in turn; the last goes on for all further attempts.
            Nodes without a script succeed.
        gates: a node with a gate, or `before_run` or `after_run`, ends only when the gate is set.
        on_run_start, on_run_end: outcomes of project hooks.
        nodes_may_run: what `before_run` says of the nodes.
        prepared: what `before_run` says beside hooks and nodes.
        messages, runs_ahead: what `plan` says of these.
        resumed_with: what each `resume` was told of nodes that have ended.
        lost_work: what it and `before_run` were told of what was lost.
        behind_failure: nodes that it was asked for behind one that had not ended well.
        states: for each step of a run that keeps state, what reads it, and whose is left out.
        left: what `outcome_of` knows, by node and attempt.
        left_by_hooks: what is known of attempts at `before_run` and `after_run`, by these names and attempt.
        executed: the node of every attempt that was begun, in order.
        attempts: the same with the number that the run has given to each.
        hook_attempts: the same of `before_run` and `after_run`.
        ephemerals: every ephemeral model that had its turn, in order.
        parts: every part of a microbatch model that was begun, in order.
        cancelled: what was cancelled of these.
        ended_runs: invocation ids that were ended.
        run_class: what `open` makes; a test may give one of its own.
        stuck: whether `ping` never answers.
        planned: the invocations that were planned.
        lease_of: for an input, the lease of its run, where the project's `concurrency` asks for any.
        sql: what there is of `compiled/` and `run/`, or why it cannot be made.
        seen_by_on_run_end, seen_by_artifacts: what the engine was given.
    """

    def __init__(self, run_plan: ExecutionPlan | None = None) -> None:
        self.run_plan = run_plan or plan()
        self.unparsable: dict[str, DbtTemporalError] = {}
        self.lease_of: Callable[[DbtRunInput], Lease | None] = lambda _input: None
        self.script: dict[str, Sequence[NodeOutcome | DbtTemporalError]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.on_run_start: list[NodeOutcome] = []
        self.on_run_end: list[NodeOutcome] = []
        self.nodes_may_run = True
        self.prepared = Prepared()
        self.messages: Sequence[str] = ()
        self.runs_ahead = False
        self.resumed_with: list[dict[str, NodeStatus]] = []
        self.lost_work: list[LostWork | None] = []
        self.behind_failure: list[str] = []
        self.states: list[tuple[ReadState, list[str]]] = []
        self.left: dict[tuple[str, int], NodeOutcome] = {}
        self.left_by_hooks: dict[tuple[str, int], list[NodeOutcome]] = {}
        self.executed: list[str] = []
        self.attempts: list[tuple[str, int]] = []
        self.hook_attempts: list[tuple[str, int]] = []
        self.ephemerals: list[str] = []
        self.parts: list[BatchPart] = []
        self.cancelled: list[str] = []
        self.ended_runs: list[str] = []
        self.stuck = False
        self.folder = TemporaryDirectory()
        self.run_class: type[FakeEngineRun] = FakeEngineRun
        self.planned: list[DbtInvocation] = []
        self.seen_by_on_run_end: list[CompletedNode] = []
        self.seen_by_artifacts: list[CompletedNode] = []
        self.failed_ephemerals: frozenset[str] = frozenset()
        self.sql: Mapping[str, str] | DbtTemporalError = {}

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        """A project named like its folder, of the nodes of the plan."""
        if location.source in self.unparsable:
            raise self.unparsable[location.source]
        return LoadedProject(
            location.project_dir.name,
            location,
            adapter_type="duckdb",
            target="dev",
            threads=4,
            dbt_version="1.11.0",
            counts=Counter(node.resource_type for node in self.run_plan.nodes.values()),
        )

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> FakeEngineRun:
        """A run by this script."""
        del location
        return self.run_class(self, invocation)

    async def prepare(self) -> None:
        """Does nothing."""

    async def ping(self) -> None:
        """Answers, unless `stuck` is set."""
        if self.stuck:
            await asyncio.Event().wait()

    async def end_run(self, invocation_id: str) -> None:
        """Takes note."""
        self.ended_runs.append(invocation_id)

    async def close(self) -> None:
        """Nothing to end."""

    @staticmethod
    def succeeds(unique_id: str) -> NodeOutcome:
        """A success with a record and a log."""
        return _outcome(result(unique_id))

    @staticmethod
    def fails(
        unique_id: str,
        message: str = "Database Error\n  connection lost",
        *,
        error_type: ErrorType = ErrorType.ADAPTER,
        retryable: bool | None = None,
        status: str = "error",
    ) -> NodeOutcome:
        """A failure, classified as the type says unless told otherwise."""
        retryable = error_type in RETRYABLE_TYPES if retryable is None else retryable
        return _outcome(result(unique_id, status, message=message), NodeErrorClass(error_type.value, retryable))

    @staticmethod
    def crash() -> DbtTemporalError:
        """The process that ran the node died."""
        return DbtTemporalError(ErrorType.ENGINE_CRASHED, "the run host died (signal 9)")


class FakeEngineRun:
    """Implements `EngineRun` by the script of its engine."""

    def __init__(self, engine: FakeEngine, invocation: DbtInvocation) -> None:
        self._engine = engine
        self.invocation = invocation

    async def plan(self) -> EnginePlan:
        """The scripted plan."""
        run_plan = self._engine.run_plan
        self._engine.planned.append(self.invocation)
        return EnginePlan(
            plan=run_plan.model_copy(update={"invocation_id": self.invocation.invocation_id}),
            target=self.invocation.input.target or "dev",
            threads=4,
            dbt_version="1.11.0",
            adapter_type="duckdb",
            counts={"model": len(run_plan.nodes)},
            fail_fast=bool(self.invocation.input.fail_fast),
            nothing_to_do=not run_plan.nodes,
            runs_ahead=self._engine.runs_ahead,
            messages=self._engine.messages,
        )

    async def lease(self, per: LeasePer, unique_ids: Collection[str]) -> Lease | None:  # noqa: ARG002 -- the port's
        """That of the input."""
        return self._engine.lease_of(self.invocation.input)

    async def before_run(self, progress: Progress, attempt: int = 1, lost: LostWork | None = None) -> Prepared:
        """The scripted hooks."""
        self._engine.hook_attempts.append(("before_run", attempt))
        self._engine.lost_work.append(lost)
        await self._through_gate("before_run", progress)
        return replace(self._engine.prepared, hooks=self._engine.on_run_start, nodes_may_run=self._engine.nodes_may_run)

    async def outcome_of_before_run(self, attempt: int) -> Prepared | None:
        """What `left_by_hooks` has."""
        hooks = self._engine.left_by_hooks.get(("before_run", attempt))
        return None if hooks is None else replace(self._engine.prepared, hooks=hooks)

    async def use_state(self, read: ReadState, without: Collection[str] = ()) -> None:
        """Takes note."""
        self._engine.states.append((read, list(without)))

    async def resume(
        self, progress: Progress, ended: Mapping[str, NodeStatus] = MappingProxyType({}), lost: LostWork | None = None
    ) -> Prepared:
        """Goes on, and takes note of what has ended, and of what was lost."""
        self._engine.resumed_with.append(dict(ended))
        self._engine.lost_work.append(lost)
        await self._through_gate("resume", progress)
        return Prepared(worker="another")

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
        """The next outcome of the node's script."""
        del again
        engine = self._engine
        engine.behind_failure += [unique_id] if behind_failure else []
        engine.attempts.append((unique_id, attempt))
        engine.parts += [part] if part is not None else []
        engine.ephemerals += ephemerals
        engine.executed.append(unique_id)
        await self._through_gate(unique_id, progress)
        script = engine.script.get(unique_id) or [engine.succeeds(unique_id)]
        step = script[min(engine.executed.count(unique_id), len(script)) - 1]
        if isinstance(step, DbtTemporalError):
            raise step
        return step

    async def outcome_of(self, unique_id: str, attempt: int, part: BatchPart | None = None) -> NodeOutcome | None:
        """What `left` has."""
        del part
        return self._engine.left.get((unique_id, attempt))

    async def after_run(self, results: list[CompletedNode], progress: Progress, attempt: int = 1) -> list[NodeOutcome]:
        """The scripted hooks."""
        self._engine.hook_attempts.append(("after_run", attempt))
        self._engine.seen_by_on_run_end = results
        await self._through_gate("after_run", progress)
        return self._engine.on_run_end

    async def outcome_of_after_run(self, attempt: int) -> list[NodeOutcome] | None:
        """What `left_by_hooks` has."""
        return self._engine.left_by_hooks.get(("after_run", attempt))

    async def artifacts(
        self, results: list[CompletedNode], elapsed_time: float, *, with_catalog: bool = False, with_sql: bool = False
    ) -> Mapping[str, Path]:
        """A run_results.json of statuses, a manifest.json of ids; where asked for an empty catalog.json, and `sql`."""
        self._engine.seen_by_artifacts = results
        sql = self._engine.sql if with_sql else {}
        if isinstance(sql, DbtTemporalError):
            raise sql
        statuses = {each.result.unique_id: each.result.dbt_status for each in results}
        documents: dict[str, Any] = {
            "run_results.json": {"elapsed_time": elapsed_time, "statuses": statuses},
            "manifest.json": list(self._engine.run_plan.nodes),
        }
        if with_catalog:
            documents["catalog.json"] = {}
        folder = Path(self._engine.folder.name) / self.invocation.invocation_id
        folder.mkdir(exist_ok=True)
        for name, document in documents.items():
            (folder / name).write_text(json.dumps(document), encoding="utf-8")
        for name, text in sql.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return {name: folder / name for name in (*documents, *sql)}

    async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
        """The nodes of the plan, each with its file and a line of code."""
        nodes = {
            uid: NodeFacts(
                node.name,
                node.resource_type,
                node.materialization,
                path=f"models/{node.name}.sql",
                depends_on=tuple(node.depends_on),
            )
            for uid, node in self._engine.run_plan.nodes.items()
        }
        return RunGraph(nodes, {uid: f"select 1 as {nodes[uid].name}" for uid in with_code if uid in nodes})

    async def lineage(self) -> LineageGraph:
        """The nodes of the plan, as tables of the schema `main` of a database `shop`; tests are none."""
        nodes = {
            uid: LineageNode(
                node.resource_type,
                "shop",
                "main",
                None if node.resource_type == "test" else node.name,
                tuple(node.depends_on),
                *((node.depends_on[0], node.name) if node.resource_type == "test" else ()),
            )
            for uid, node in self._engine.run_plan.nodes.items()
        }
        return LineageGraph("duckdb:///shop.duckdb", nodes)

    async def failed_ephemerals(self) -> frozenset[str]:
        """What the engine has."""
        return self._engine.failed_ephemerals

    async def _through_gate(self, what: str, progress: Progress) -> None:
        progress({"attempt": self._engine.executed.count(what)})
        try:
            if what in self._engine.gates:
                await self._engine.gates[what].wait()
        except asyncio.CancelledError:
            self._engine.cancelled.append(what)
            raise


def _outcome(small: NodeExecutionResult, error: NodeErrorClass | None = None) -> NodeOutcome:
    record = json.dumps({"record_of": small.unique_id, "status": small.dbt_status}).encode()
    return NodeOutcome(small, error, record=record, log=f"log of {small.unique_id}\n")
