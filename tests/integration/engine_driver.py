"""Drives an engine through a whole invocation, as the run does, without Temporal."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import CompletedNode, DbtEngine, EnginePlan, NodeOutcome, ProjectLocation
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.run.scheduler import Scheduler

REPOSITORY = Path(__file__).parents[2]


def copy_project(source: str, target: Path) -> ProjectLocation:
    """A copy of one of the repository's projects, so that a test may change it."""
    shutil.copytree(REPOSITORY / source, target, ignore=shutil.ignore_patterns("target", "logs", ".user.yml"))
    return ProjectLocation(project_dir=target, profiles_dir=target)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes text files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def new_invocation(**run_input: Any) -> DbtInvocation:
    """An invocation that starts now."""
    return DbtInvocation(
        invocation_id=str(uuid4()),
        project="any",
        started_at=datetime.now(UTC).isoformat(),
        input=DbtRunInput(**run_input),
    )


@asynccontextmanager
async def open_engine(cache_dir: Path, **options: Any) -> AsyncIterator[DbtCoreEngine]:
    """An engine that is closed afterwards."""
    engine = DbtCoreEngine(cache_dir, **options)
    try:
        yield engine
    finally:
        await engine.close()


@dataclass
class DrivenRun:
    """What a run left behind."""

    invocation: DbtInvocation
    plan: EnginePlan
    outcomes: dict[str, NodeOutcome] = field(default_factory=dict)
    completed: list[CompletedNode] = field(default_factory=list)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)

    def status(self, unique_id: str) -> str | None:
        """dbt's word for how a node ended."""
        return next(item.result.dbt_status for item in self.completed if item.result.unique_id == unique_id)

    def statuses(self) -> dict[str, str | None]:
        """dbt's words by node."""
        return {item.result.unique_id: item.result.dbt_status for item in self.completed}


async def drive(
    engine: DbtEngine, location: ProjectLocation, invocation: DbtInvocation, *, with_catalog: bool = False
) -> DrivenRun:
    """Plans, runs hooks and nodes, makes artifacts, and ends the run."""
    run = DrivenRun(invocation, await engine.plan(location, invocation))
    if run.plan.plan.nodes and invocation.input.command != "list":
        hooks = await engine.before_run(location, invocation, lambda _: None)
        _take(run, hooks)
        seen_by_on_run_end: list[CompletedNode] = []
        if run.plan.skip_nodes_if_on_run_start_fails and any(hook.error for hook in hooks):
            run.completed += [CompletedNode(_skipped(unique_id)) for unique_id in run.plan.plan.nodes]
        else:
            await _run_nodes(engine, location, run)
            seen_by_on_run_end = run.completed
        if run.plan.plan.has_on_run_end:
            _take(run, await engine.after_run(location, invocation, seen_by_on_run_end, lambda _: None))
    run.artifacts = await engine.artifacts(location, invocation, run.completed, 1.0, with_catalog=with_catalog)
    await engine.end_run(invocation)
    return run


async def _run_nodes(engine: DbtEngine, location: ProjectLocation, run: DrivenRun) -> None:
    run_input = run.invocation.input
    scheduler = Scheduler(run.plan.plan.nodes, command=run_input.command, max_running=run.plan.threads)
    turn = scheduler.start()
    running: dict[asyncio.Task[NodeOutcome], str] = {}
    while True:
        for skipped in turn.skipped:
            run.completed.append(CompletedNode(_skipped(skipped.unique_id)))
        for unique_id in turn.start:
            work = engine.execute_node(location, run.invocation, unique_id, lambda _: None)
            running[asyncio.ensure_future(work)] = unique_id
        if not running:
            return
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        task = done.pop()
        unique_id = running.pop(task)
        outcome = task.result()
        _take(run, [outcome])
        turn = scheduler.complete(unique_id, outcome.result.status, outcome.result.dbt_status)


def _skipped(unique_id: str) -> NodeExecutionResult:
    return NodeExecutionResult(unique_id=unique_id, status="skipped", dbt_status="skipped")


def _take(run: DrivenRun, outcomes: list[NodeOutcome]) -> None:
    for outcome in outcomes:
        run.outcomes[outcome.result.unique_id] = outcome
        run.completed.append(CompletedNode(outcome.result, outcome.record))
