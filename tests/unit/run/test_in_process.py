import asyncio
import contextlib
from typing import Any

import pytest

from dbt_temporal.adapters.in_process import run_in_process
from dbt_temporal.application.ports.engine import EnginePlan
from dbt_temporal.application.ports.runtime import StateChange
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.testing import (
    FakeEngine,
    FakeEngineRun,
    InMemoryArtifactStore,
    model_id,
    node,
    plan,
    ready_project,
    until,
)

A, B = model_id("a"), model_id("b")
FAST = {"retry": {"initial_interval_secs": 0.001, "max_interval_secs": 0.001}}


class World:
    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.engine = FakeEngine(plan(node("a"), node("b", "a"), has_on_run_end=True))
        self.store = InMemoryArtifactStore()
        registry = ProjectRegistry([ready_project(config=parse_project_config(FAST | (config or {}), "f"))])
        self.use_cases = UseCases.build(self.engine, registry, self.store, write_artifacts=True)


async def test_a_whole_run_without_temporal_stores_its_artifacts() -> None:
    world = World()
    output = await run_in_process({"command": "run"}, world.use_cases, invocation_id="i1")
    assert output.success
    assert world.engine.executed == [A, B]
    assert {"i1/run_results.json", "i1/manifest.json", "i1/log.txt"} <= set(world.store.files)
    assert not any("/records/" in path for path in world.store.files)
    assert world.engine.ended_runs == ["i1"]


async def test_a_transient_error_is_retried_and_the_log_says_why() -> None:
    world = World()
    world.engine.script[A] = [world.engine.fails(A, "connection lost"), world.engine.crash(), world.engine.succeeds(A)]
    output = await run_in_process(None, world.use_cases, invocation_id="i1")
    assert output.success
    assert world.engine.executed == [A, A, A, B]
    log = world.store.files["i1/log.txt"].decode()
    assert "[RETRY after attempt 1 of 3]" in log
    assert "Adapter: connection lost" in log
    assert "EngineCrashed: the run host died" in log


async def test_an_error_that_is_not_retryable_is_tried_once() -> None:
    world = World()
    world.engine.script[A] = [world.engine.fails(A, error_type=ErrorType.COMPILATION)]
    output = await run_in_process(None, world.use_cases)
    assert not output.success
    assert world.engine.executed == [A]
    assert [each.status for each in output.node_results] == ["error", "skipped"]


async def test_attempts_end_with_the_projects_limit() -> None:
    world = World()
    world.engine.script[A] = [world.engine.fails(A)]
    await run_in_process(None, world.use_cases)
    assert world.engine.executed == [A, A, A]


async def test_a_node_that_takes_too_long_is_cancelled_and_fails() -> None:
    world = World({"retry": {"max_attempts": 1}, "timeouts": {"node_secs": 0.01}})
    world.engine.gates[A] = asyncio.Event()
    output = await run_in_process(None, world.use_cases)
    assert world.engine.cancelled == [A]
    assert "longer than its limit of 0.01 seconds" in (output.node_results[0].message or "")


async def test_hooks_are_functions_by_workflow_type() -> None:
    payloads: list[Any] = []

    async def check(payload: Any) -> Any:
        payloads.append(payload)
        return {"skip": True, "reason": "not today"}

    world = World({"hooks": {"pre_run": [{"workflow_type": "check", "task_queue": "q"}]}})
    output = await run_in_process(None, world.use_cases, hooks={"check": check})
    assert output.skip_reason == "not today"
    assert payloads[0]["event"] == "pre_run"
    assert world.engine.executed == []


async def test_a_hook_without_a_function_fails_under_its_policy() -> None:
    world = World({"hooks": {"on_success": [{"workflow_type": "notify", "task_queue": "q"}]}})
    output = await run_in_process(None, world.use_cases)
    assert output.success
    assert output.hook_errors[0].error == "no function is given for hook 'notify'; given: none"


async def test_a_hook_function_that_raises_or_takes_too_long_fails() -> None:
    async def broken(payload: Any) -> Any:
        raise RuntimeError("no")

    async def slow(payload: Any) -> Any:
        await asyncio.Event().wait()

    hooks = [
        {"workflow_type": "broken", "task_queue": "q"},
        {"workflow_type": "slow", "task_queue": "q", "timeout_secs": 0.01},
    ]
    world = World({"hooks": {"pre_run": hooks}})
    output = await run_in_process(None, world.use_cases, hooks={"broken": broken, "slow": slow})
    assert [each.error for each in output.hook_errors] == [
        "RuntimeError: no",
        "timed out after 0.01 seconds (timeout_secs)",
    ]


async def test_a_hook_that_is_not_awaited_does_not_hold_the_run() -> None:
    gate = asyncio.Event()
    ended = asyncio.Event()

    async def slow(payload: Any) -> Any:
        await gate.wait()
        ended.set()

    world = World({"hooks": {"pre_run": [{"workflow_type": "slow", "task_queue": "q", "fire_and_forget": True}]}})
    assert (await run_in_process(None, world.use_cases, hooks={"slow": slow})).success
    assert not ended.is_set()
    gate.set()
    await ended.wait()


async def test_cancelling_the_task_cancels_what_runs_and_still_stores_artifacts() -> None:
    world = World()
    world.engine.gates[A] = asyncio.Event()
    task = asyncio.create_task(run_in_process(None, world.use_cases, invocation_id="i1"))
    await until(lambda: world.engine.executed == [A])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.engine.cancelled == [A]
    assert "i1/run_results.json" in world.store.files
    assert world.engine.ended_runs == ["i1"]


async def test_a_cancel_that_comes_as_a_step_ends_is_not_lost() -> None:
    world = World()

    class SlowToNotice(FakeEngineRun):
        async def plan(self) -> EnginePlan:
            await asyncio.sleep(0)
            task.cancel()
            return await super().plan()

    world.engine.run_class = SlowToNotice
    task = asyncio.create_task(run_in_process(None, world.use_cases, invocation_id="i1"))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert B not in world.engine.executed


async def test_an_observer_follows_the_log() -> None:
    world = World()
    seen: list[StateChange] = []
    await run_in_process(None, world.use_cases, invocation_id="i1", observe=seen.append)
    lines = [line for change in seen for line in change.log_lines]
    assert lines == world.store.files["i1/log.txt"].decode().splitlines()


async def test_wrong_input_is_refused() -> None:
    with pytest.raises(DbtTemporalError, match="selekt"):
        await run_in_process({"selekt": "a"}, World().use_cases)


@pytest.mark.parametrize("raises", [False, True])
async def test_a_hook_that_takes_its_cancel_for_an_end_does_not_keep_the_run_from_being_cancelled(raises: bool) -> None:
    world = World({"hooks": {"pre_run": [{"workflow_type": "calm", "task_queue": "q"}]}})
    begun = asyncio.Event()

    async def calm(_payload: Any) -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if raises:
            raise RuntimeError("could not clean up")

    task = asyncio.create_task(run_in_process(None, world.use_cases, hooks={"calm": calm}))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert B not in world.engine.executed
