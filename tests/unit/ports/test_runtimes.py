"""The runtime of this process and the fake keep what is promised to runs. Temporal's is in tests/integration/ports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dbt_temporal.adapters.in_process.runtime import InProcessRuntime
from dbt_temporal.application.ports.runtime import HookFailedError, StepFailedError
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import (
    FakeEngine,
    FakeRuntime,
    InMemoryArtifactStore,
    RunRuntimeContract,
    node,
    plan,
    planned,
    ready_project,
    result,
)
from dbt_temporal.testing.contracts.runtime import ANSWER, ANSWERS, BAD, FAILS, HELD, MESSAGE, Body, Carry

NODES = (node("good"), node("bad"), node("held"))


def use_cases() -> UseCases:
    """The steps of a world in which one node fails, and one is held."""
    engine = FakeEngine(plan(*NODES))
    engine.script[BAD] = [engine.fails(BAD, MESSAGE)]
    engine.gates[HELD] = asyncio.Event()
    return UseCases.build(engine, ProjectRegistry([ready_project()]), InMemoryArtifactStore())


class TestInProcessRuntime(RunRuntimeContract):
    @pytest.fixture
    def hook_queue(self) -> str:
        return "none"

    @pytest.fixture
    def carry(self) -> Carry:
        async def answers(payload: Any) -> Any:
            return ANSWER

        async def fails(payload: Any) -> Any:
            raise RuntimeError("it is meant to fail")

        async def carry(body: Body) -> None:
            await body(InProcessRuntime(use_cases(), {ANSWERS: answers, FAILS: fails}))

        return carry


class TestFakeRuntime(RunRuntimeContract):
    @pytest.fixture
    def hook_queue(self) -> str:
        return "none"

    @pytest.fixture
    def carry(self) -> Carry:
        async def carry(body: Body) -> None:
            runtime = FakeRuntime(planned(*NODES))
            failed = result(BAD, "error", message=MESSAGE)
            runtime.nodes[BAD] = StepFailedError(ErrorType.ADAPTER, MESSAGE, retryable=True, result=failed)
            runtime.gates[HELD] = asyncio.Event()
            runtime.hooks = {ANSWERS: ANSWER, FAILS: HookFailedError("it is meant to fail")}
            await body(runtime)

        return carry
