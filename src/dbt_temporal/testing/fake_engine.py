"""A dbt engine whose nodes end as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbt_temporal.application.ports.engine import (
    CompletedNode,
    EnginePlan,
    LoadedProject,
    NodeErrorClass,
    NodeOutcome,
    Progress,
    ProjectLocation,
)
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.domain.errors import RETRYABLE_TYPES, DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.invocation import DbtInvocation
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
        script: for a unique_id, what its attempts end with, in turn; the last goes on for all further attempts.
            Nodes without a script succeed.
        gates: a node with a gate, or `before_run` or `after_run`, ends only when the gate is set.
        on_run_start, on_run_end: outcomes of project hooks.
        executed: every attempt that was begun, in order.
        cancelled: what was cancelled of these.
        ended_runs: invocation ids that were ended.
        ended_sessions: the facts of lost attempts whose sessions were to be ended.
        stuck: whether `ping` never answers.
        seen_by_on_run_end, seen_by_artifacts: what the engine was given.
    """

    def __init__(self, run_plan: ExecutionPlan | None = None) -> None:
        self.run_plan = run_plan or plan()
        self.script: dict[str, Sequence[NodeOutcome | DbtTemporalError]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.on_run_start: list[NodeOutcome] = []
        self.on_run_end: list[NodeOutcome] = []
        self.skip_nodes_if_on_run_start_fails = False
        self.executed: list[str] = []
        self.cancelled: list[str] = []
        self.ended_runs: list[str] = []
        self.ended_sessions: list[dict[str, Any]] = []
        self.stuck = False
        self.planned: list[DbtInvocation] = []
        self.seen_by_on_run_end: list[CompletedNode] = []
        self.seen_by_artifacts: list[CompletedNode] = []

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        """A project named like its folder."""
        return LoadedProject(
            location.project_dir.name, location, adapter_type="duckdb", target="dev", threads=4, dbt_version="1.11.0"
        )

    async def plan(self, location: ProjectLocation, invocation: DbtInvocation) -> EnginePlan:
        """The scripted plan."""
        del location
        self.planned.append(invocation)
        return EnginePlan(
            plan=self.run_plan.model_copy(update={"invocation_id": invocation.invocation_id}),
            target=invocation.input.target or "dev",
            threads=4,
            dbt_version="1.11.0",
            adapter_type="duckdb",
            counts={"model": len(self.run_plan.nodes)},
            skip_nodes_if_on_run_start_fails=self.skip_nodes_if_on_run_start_fails,
        )

    async def before_run(
        self, location: ProjectLocation, invocation: DbtInvocation, progress: Progress
    ) -> list[NodeOutcome]:
        """The scripted hooks."""
        del location, invocation
        await self._through_gate("before_run", progress)
        return self.on_run_start

    async def execute_node(
        self, location: ProjectLocation, invocation: DbtInvocation, unique_id: str, progress: Progress
    ) -> NodeOutcome:
        """The next outcome of the node's script."""
        del location, invocation
        self.executed.append(unique_id)
        await self._through_gate(unique_id, progress)
        script = self.script.get(unique_id) or [self.succeeds(unique_id)]
        step = script[min(self.executed.count(unique_id), len(script)) - 1]
        if isinstance(step, DbtTemporalError):
            raise step
        return step

    async def end_session(self, location: ProjectLocation, invocation: DbtInvocation, facts: Mapping[str, Any]) -> None:
        """Takes note."""
        del location, invocation
        self.ended_sessions.append(dict(facts))

    async def after_run(
        self, location: ProjectLocation, invocation: DbtInvocation, results: list[CompletedNode], progress: Progress
    ) -> list[NodeOutcome]:
        """The scripted hooks."""
        del location, invocation
        self.seen_by_on_run_end = results
        await self._through_gate("after_run", progress)
        return self.on_run_end

    async def artifacts(
        self,
        location: ProjectLocation,
        invocation: DbtInvocation,
        results: list[CompletedNode],
        elapsed_time: float,
        *,
        with_catalog: bool = False,
    ) -> Mapping[str, bytes]:
        """A run_results.json of statuses, a manifest.json of ids, and an empty catalog.json where it is asked for."""
        del location, invocation
        self.seen_by_artifacts = results
        statuses = {each.result.unique_id: each.result.dbt_status for each in results}
        catalog = {"catalog.json": b"{}"} if with_catalog else {}
        return {
            "run_results.json": json.dumps({"elapsed_time": elapsed_time, "statuses": statuses}).encode(),
            "manifest.json": json.dumps(list(self.run_plan.nodes)).encode(),
            **catalog,
        }

    async def ping(self) -> None:
        """Answers, unless `stuck` is set."""
        if self.stuck:
            await asyncio.Event().wait()

    async def end_run(self, invocation: DbtInvocation) -> None:
        """Takes note."""
        self.ended_runs.append(invocation.invocation_id)

    async def close(self) -> None:
        """Nothing to end."""

    async def _through_gate(self, what: str, progress: Progress) -> None:
        progress({"attempt": self.executed.count(what)})
        try:
            if what in self.gates:
                await self.gates[what].wait()
        except asyncio.CancelledError:
            self.cancelled.append(what)
            raise

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


def _outcome(small: NodeExecutionResult, error: NodeErrorClass | None = None) -> NodeOutcome:
    record = json.dumps({"record_of": small.unique_id, "status": small.dbt_status}).encode()
    return NodeOutcome(small, error, record=record, log=f"log of {small.unique_id}\n")
