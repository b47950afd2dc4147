"""Runs in one process have leases among themselves."""

from __future__ import annotations

import asyncio

from dbt_temporal.adapters.in_process import run_in_process
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.leases.messages import Lease, pack_keys
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, node, plan, ready_project
from dbt_temporal.testing.waiting import until

A = "model.shop.a"


async def test_a_run_waits_for_another_one_of_the_process() -> None:
    engine = FakeEngine(plan(node("a")))
    engine.lease_of = lambda _input: Lease(scope="relations", keys=pack_keys(["a"]), what="one relation")
    engine.gates[A] = asyncio.Event()
    project = ready_project(config=ProjectConfig.model_validate({"concurrency": "relation"}))
    use_cases = UseCases.build(engine, ProjectRegistry([project]), InMemoryArtifactStore())
    first = asyncio.create_task(run_in_process(None, use_cases))
    await until(lambda: engine.executed == [A])
    lines: list[str] = []
    second = asyncio.create_task(run_in_process(None, use_cases, observe=lambda change: lines.extend(change.log_lines)))
    await until(lambda: any("The run waits" in line for line in lines))
    assert engine.executed == [A]
    engine.gates[A].set()
    assert [(await first).success, (await second).success] == [True, True]
    assert engine.executed == [A, A]
