"""Hand-overs that are called off, refused, or met by somebody's word: nothing of what was said is lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter

from dbt_temporal.adapters.temporal.closed_runs.history import RunHistory, Turn
from dbt_temporal.adapters.temporal.closed_runs.recorded_runtime import RecordedRuntime
from dbt_temporal.adapters.temporal.closed_runs.tidying import go_through
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.run.executions.carried import Unpacked
from dbt_temporal.application.run.executions.parts import split_parts
from dbt_temporal.application.run.updates import carry_out_update
from dbt_temporal.application.steps.messages import StoreArtifactsInput
from dbt_temporal.testing import FakeRuntime, HandedOver, model_id, node, until
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.executions.test_hand_over import attempts_at, chain, runtime_of, to_the_end
from tests.unit.run.runs import failure


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def begin(runtime: FakeRuntime, **run_input: Any) -> tuple[DbtRun, asyncio.Task[Any]]:
    run = DbtRun(runtime, INVOCATION_ID)
    return run, asyncio.create_task(run.execute(run_input))


async def test_a_run_that_fail_fast_ended_amid_a_hand_over_is_held_and_repaired() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "a"), node("d", "b"), threads=2)
    runtime.hand_over_after = 1
    gate = runtime.gates[model_id("b")] = asyncio.Event()
    runtime.nodes[model_id("b")] = failure("no", "b")
    runtime.awake.clear()
    run, task = begin(runtime, fail_fast=True, on_failure="hold")
    await until(lambda: run.node_status().get(model_id("a")) == "success")
    runtime.hand_over_after = None
    await turns()
    gate.set()
    await until(lambda: any("The run is kept open" in line for line in run.run_log()))
    del runtime.nodes[model_id("b")]

    carry_out_update(run, "retry_nodes", [model_id("b")])
    await until(task.done)

    assert not runtime.carried
    assert set(run.node_status().values()) == {"success"}


@pytest.mark.parametrize("value", [True, False])
async def test_what_is_said_of_fail_fast_before_all_is_known_is_in_force(value: bool) -> None:
    runtime = chain()
    runtime.nodes[model_id("b")] = failure("no", "b")
    runtime.hand_over_after = 3
    _, task = begin(runtime, fail_fast=not value)
    with pytest.raises(HandedOver):
        await task
    runtime.hand_over_after = None
    again = DbtRun(runtime, INVOCATION_ID, goes_on=True)
    again.set_fail_fast(value)

    output = await again.execute({}, runtime.carried[-1])

    assert again.run_status()["fail_fast"] is value
    assert ("Skipping due to fail_fast" in {each.message for each in output.node_results}) is value


async def test_a_node_that_was_handed_on_and_then_skipped_is_skipped_where_the_run_stays() -> None:
    runtime = runtime_of(node("a"), node("b"), node("r"), node("c", "a"), threads=3)
    runtime.can_carry_bytes = 10
    runtime.hand_over_after = 1
    runtime.retries = {model_id("r"): ["once", "twice"]}
    for name in "ab":
        runtime.gates[model_id(name)] = asyncio.Event()
    runtime.awake.clear()
    run, task = begin(runtime)
    await until(lambda: any("RETRY" in line for line in run.run_log()))
    runtime.gates[model_id("a")].set()
    await until(lambda: run.node_status()[model_id("a")] == "success")
    await turns()

    carry_out_update(run, "skip_nodes", [model_id("r")])
    runtime.awake.set()
    runtime.gates[model_id("b")].set()
    await task

    assert run.node_status()[model_id("r")] == "skipped"
    assert len(attempts_at(runtime, "r")) == 1
    assert run.node_status()[model_id("c")] == "success"


async def test_fail_fast_while_something_is_still_to_be_answered_ends_the_run_here() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "a"), node("d", "c"), threads=2)
    runtime.nodes[model_id("b")] = failure("no", "b")
    runtime.hand_over_after = 3
    runtime.answered.clear()
    run, task = begin(runtime)
    await until(lambda: run.node_status().get(model_id("b")) == "error")
    await turns()

    run.set_fail_fast(True)
    runtime.answered.set()
    output = await task

    assert not runtime.carried
    assert "Skipping due to fail_fast" in {each.message for each in output.node_results}


async def test_a_cancel_while_something_is_still_to_be_answered_ends_the_run_here() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"), threads=1, write_artifacts=True)
    runtime.hand_over_after = 3
    runtime.answered.clear()
    run, task = begin(runtime)
    await until(lambda: run.node_status().get(model_id("a")) == "success")
    await turns()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not runtime.carried
    assert list(run.node_status().values()) == ["success", "skipped", "skipped"]
    assert runtime.stored is not None


async def test_numbers_of_any_size_are_carried() -> None:
    runtime = chain()
    runtime.hand_over_after = 1

    await to_the_end(runtime, vars={"x": 2**70})

    assert attempts_at(runtime, "d")[0].invocation.input.vars == {"x": 2**70}


async def test_after_a_reset_nodes_may_have_run_before_in_all_further_executions() -> None:
    runtime = chain()
    runtime.hand_over_after = 1
    runtime.was_reset = True
    _, task = begin(runtime)
    with pytest.raises(HandedOver):
        await task
    runtime.was_reset = False
    again = DbtRun(runtime, INVOCATION_ID)
    runtime.hand_over_after = None

    await again.execute({}, runtime.carried[-1])

    invocation = attempts_at(runtime, "d")[0].invocation
    assert invocation.model_copy(update={"execution": "execution-1"}).goes_on
    # It goes on with what was under way all the same, where it was not reset itself.
    assert not invocation.model_copy(update={"execution": runtime.execution}).is_reset
    assert invocation.model_copy(update={"execution": "of a reset"}).is_reset


async def test_a_run_that_ended_before_its_first_turn_here_has_the_artifacts_of_those_before() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"), threads=1, write_artifacts=True)
    runtime.hand_over_after = 2
    _, task = begin(runtime)
    with pytest.raises(HandedOver):
        await task
    stored: list[StoreArtifactsInput] = []

    async def store(argument: StoreArtifactsInput) -> Any:
        stored.append(argument)
        return runtime.store_artifacts

    history = RunHistory(
        "w",
        "second",
        INVOCATION_ID,
        [{}, runtime.carried[-1]],
        goes_on=True,
        rest=Turn(datetime.now(UTC), 2, 100),
        ending="terminated",
    )
    recorded = RecordedRuntime(history, pydantic_data_converter.payload_converter, store)  # type: ignore[arg-type]

    run = await go_through(history, recorded)

    assert run.plan is not None
    assert [each.status for each in stored[0].results] == ["success", "cancelled", "skipped"]
    assert recorded.end is not None


def test_what_is_no_luggage_is_refused() -> None:
    with pytest.raises(ValueError, match="cut"):
        Unpacked(split_parts(b"\0\0\0\1x"))
    with pytest.raises(ValueError, match="cut"):
        Unpacked([b"\0plan2", b"x", b"x", b"x"])
    with pytest.raises(ValueError, match="decompressing"):
        list(Unpacked(split_parts(b"\0\0\0\1x" * 3)).plan())


async def test_what_cannot_be_packed_leaves_the_run_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise TypeError("of no kind that can be carried")

    monkeypatch.setattr("dbt_temporal.application.run.executions.luggage.pack_plan", refuse)
    runtime = chain()
    runtime.hand_over_after = 1

    output, run = await to_the_end(runtime)

    assert output.success
    assert not runtime.carried
    assert any("TypeError: of no kind that can be carried" in line for line in run.run_log())
