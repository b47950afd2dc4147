"""What a run tells metrics, whatever carries it."""

from __future__ import annotations

import asyncio

import pytest

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.ports.telemetry import NodeEnded, RunEnded
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import Freshness
from dbt_temporal.testing import FakeRuntime, FakeTelemetry, node, result, until
from tests.unit.run.runs import execute, failure, runtime_of, start


def facts(runtime: FakeRuntime) -> FakeTelemetry:
    telemetry = FakeTelemetry()
    telemetry.facts = runtime.facts
    return telemetry


async def test_every_node_is_told_once_with_its_final_status() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("test.shop.t", "a"))
    runtime.nodes = {"model.shop.a": result("a", execution_time=2.5), "model.shop.b": failure(name="b")}
    await execute(runtime)
    assert sorted(facts(runtime).of(NodeEnded), key=repr) == [
        NodeEnded("shop", "model", "error", 0.0, "model.shop.b"),
        NodeEnded("shop", "model", "success", 2.5),
        NodeEnded("shop", "test", "success", 0.0),
    ]


async def test_a_node_that_is_retried_is_told_once() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries = {"model.shop.a": ["connection lost"]}
    await execute(runtime)
    assert facts(runtime).of(NodeEnded) == [NodeEnded("shop", "model", "success", 0.0)]


async def test_a_skipped_node_took_no_time() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    runtime.nodes = {"model.shop.a": failure(name="a")}
    await execute(runtime)
    assert NodeEnded("shop", "model", "skipped", None) in facts(runtime).facts


async def test_a_source_is_told_with_the_time_of_its_newest_row_where_that_is_known() -> None:
    runtime = runtime_of(node("source.shop.raw.a"), node("source.shop.raw.b"), node("source.shop.raw.c"))
    for name, loaded_at in (("a", "1970-01-02T00:00:00Z"), ("b", None), ("c", "0001-01-01T00:00:00+05:00")):
        found = Freshness(max_loaded_at=loaded_at, status="pass")
        runtime.nodes[f"source.shop.raw.{name}"] = result(f"source.shop.raw.{name}", freshness=found)
    await execute(runtime, command="source-freshness")
    told = [(fact.source, fact.loaded_at) for fact in facts(runtime).of(NodeEnded) if fact.source]
    assert told == [("source.shop.raw.a", 86_400.0)]


async def test_a_run_is_told_with_its_outcome_and_seconds() -> None:
    runtime = runtime_of(node("a"))
    output = await execute(runtime, command="run")
    (run,) = facts(runtime).of(RunEnded)
    assert (run.project, run.command, run.status) == ("shop", "run", "passed")
    assert run.seconds >= output.elapsed_time > 0


async def test_a_run_with_a_failed_node_is_told_as_failed() -> None:
    runtime = runtime_of(node("a"))
    runtime.nodes = {"model.shop.a": failure(name="a")}
    await execute(runtime)
    assert [run.status for run in facts(runtime).of(RunEnded)] == ["failed"]


async def test_a_run_that_a_hook_skips_is_told_as_skipped() -> None:
    runtime = runtime_of(node("a"))
    runtime.hooks = {"gate": False}
    await execute(runtime, hooks={"pre_run": [{"workflow_type": "gate", "task_queue": "q"}]})
    assert [run.status for run in facts(runtime).of(RunEnded)] == ["skipped"]


async def test_a_cancelled_run_is_told_once() -> None:
    runtime = runtime_of(node("a"))
    runtime.gates = {"model.shop.a": asyncio.Event()}
    _, task = start(runtime)
    await until(lambda: runtime.nodes_started == ["model.shop.a"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [run.status for run in facts(runtime).of(RunEnded)] == ["cancelled"]


async def test_a_run_that_cannot_be_planned_is_told_without_the_project_that_its_input_names() -> None:
    runtime = runtime_of(node("a"))
    runtime.planned = StepFailedError(ErrorType.PROJECT_NOT_FOUND, "no such project")
    with pytest.raises(DbtTemporalError):
        await execute(runtime, project="whatever")
    (run,) = facts(runtime).of(RunEnded)
    assert (run.project, run.status) == ("", "failed")


async def test_each_attempt_knows_its_number() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries = {"model.shop.a": ["connection lost", "connection lost"]}
    await execute(runtime)
    attempts = [step.argument.attempt for step in runtime.steps if step.name == "model:a"]  # type: ignore[attr-defined]
    assert attempts == [1, 2, 3]
