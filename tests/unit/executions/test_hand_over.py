"""A run that goes on in further executions of its workflow ends as one that has one alone."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.steps.messages import ExecuteNodeInput, Keeper, ProjectHooksOutput
from dbt_temporal.domain.batches import Batches, EndedBatch, Window
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.hooks import HookConfig, HooksConfig
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.plan import EphemeralTurn, HistoryLimits
from dbt_temporal.testing import FakeRuntime, HandedOver, model_id, node, planned, result, until
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.run.runs import failure

LIMITS = HistoryLimits(events=10, size_bytes=10)
MakeRuntime = Callable[[], FakeRuntime]


def runtime_of(*nodes: Any, **fields: Any) -> FakeRuntime:
    settings: dict[str, Any] = {"continue_after": LIMITS, "first_come": True}
    return FakeRuntime(planned(*nodes, **(settings | fields)))


async def to_the_end(runtime: FakeRuntime, **run_input: Any) -> tuple[DbtRunOutput, DbtRun]:
    """Runs it, in as many executions as it takes."""
    carried = None
    while True:
        run = DbtRun(runtime, INVOCATION_ID)
        try:
            return await run.execute(run_input, carried), run
        except HandedOver:
            carried = runtime.carried[-1]


def attempts_at(runtime: FakeRuntime, name: str) -> list[ExecuteNodeInput]:
    arguments = [step.argument for step in runtime.steps]
    return [each for each in arguments if isinstance(each, ExecuteNodeInput) and each.unique_id == model_id(name)]


def chain() -> FakeRuntime:
    return runtime_of(node("a"), node("b", "a"), node("c", "b"), node("d", "c"), threads=1)


def wide() -> FakeRuntime:
    runtime = runtime_of(*(node(f"n{i}", *([f"n{i - 3}"] if i > 2 else [])) for i in range(12)), threads=3)
    runtime.nodes[model_id("n4")] = failure("Database Error\n  broken", "n4")
    return runtime


def with_retries() -> FakeRuntime:
    nodes = (node("a"), node("b"), node("c", "a"), node("d", "b"), node("e", "c"), node("f", "e"))
    runtime = runtime_of(*nodes, threads=2)
    runtime.retries = {model_id("a"): ["once", "twice"], model_id("b"): ["once", "twice", "three times"]}
    return runtime


def with_ephemerals() -> FakeRuntime:
    ephemerals = {"model.shop.e": EphemeralTurn(depends_on=["model.shop.a"], children=["model.shop.b"])}
    nodes = (node("x"), node("a"), node("b", "a"), node("c", "b"), node("y", "x"), node("z", "y"))
    runtime = runtime_of(*nodes, ephemerals=ephemerals, threads=1)
    runtime.nodes[model_id("a")] = failure("no", "a")
    return runtime


def with_batches() -> FakeRuntime:
    runtime = runtime_of(node("a"), node("m", "a", batched=True), node("z", "m"), threads=2)
    windows: list[Window] = [(f"2026-01-0{day}", f"2026-01-0{day + 1}") for day in range(1, 8)]
    batches = Batches(windows=windows, names=[start for _, start in windows])
    runtime.parts[model_id("m")] = lambda part: result(
        "m",
        batches=batches if part.stage == "begin" else None,
        batch=EndedBatch(index=part.index, status="success", side_by_side=True) if part.stage == "batch" else None,
    )
    return runtime


def with_hooks() -> FakeRuntime:
    hooks = HooksConfig(
        pre_run=[HookConfig(workflow_type="announce", task_queue="hooks")],
        on_success=[HookConfig(workflow_type="refresh", task_queue="hooks")],
    )
    runtime = runtime_of(
        node("a"), node("b", "a"), node("c", "b"), threads=1, config=ProjectConfig(hooks=hooks), has_on_run_end=True
    )
    runtime.before_run = [
        ProjectHooksOutput(
            results=[result("operation.shop.start")], keeps_state="it does", worker=Keeper(task_queue="own", name="w")
        )
    ]
    return runtime


SHAPES: dict[str, MakeRuntime] = {
    each.__name__: each for each in (chain, wide, with_retries, with_ephemerals, with_batches, with_hooks)
}


@pytest.mark.parametrize("every", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_run_in_several_executions_ends_as_in_one(shape: str, every: int) -> None:
    straight = SHAPES[shape]()
    expected, at_once = await to_the_end(straight)
    runtime = SHAPES[shape]()
    runtime.hand_over_after = every

    output, run = await to_the_end(runtime)

    assert runtime.carried or every > 3
    assert _comparable(output) == _comparable(expected)
    assert sorted(run.run_log()) == sorted(at_once.run_log()) or straight.most_running > 1
    assert run.node_status() == at_once.node_status()
    assert run.run_status() == at_once.run_status()
    assert sorted(runtime.nodes_started) == sorted(straight.nodes_started)
    assert [hook.hook_id for hook in runtime.hooks_started] == [hook.hook_id for hook in straight.hooks_started]
    for name in ("plan_project", "before_run", "store_artifacts", "end_run"):
        assert runtime.step_names.count(name) == straight.step_names.count(name)
    assert [type(fact).__name__ for fact in runtime.facts].count("RunEnded") == 1


def _comparable(output: DbtRunOutput) -> Any:
    nodes = sorted(output.node_results, key=lambda each: each.unique_id)
    return output.model_copy(update={"node_results": nodes, "elapsed_time": 0.0})


async def test_nodes_of_one_thread_start_in_the_same_order_in_several_executions() -> None:
    straight, runtime = chain(), chain()
    runtime.hand_over_after = 1
    await to_the_end(straight)
    _, run = await to_the_end(runtime)

    assert runtime.nodes_started == straight.nodes_started
    assert len(runtime.carried) == 3
    starts = [line for line in run.run_log() if "START" in line]
    assert [line.split(" START")[0] for line in starts] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]


async def test_a_node_between_two_attempts_is_handed_on_with_its_attempts() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "b"), node("d", "c"), threads=2)
    runtime.retries = {model_id("a"): [StepFailedError(ErrorType.ADAPTER, "gone", retryable=True, timed_out=True)]}
    runtime.awake.clear()
    runtime.hand_over_after = 4  # plan, before_run, a, b

    run = DbtRun(runtime, INVOCATION_ID)
    with pytest.raises(HandedOver):
        await run.execute({})
    assert run.node_status()[model_id("a")] == "running"
    runtime.awake.set()
    runtime.hand_over_after = None
    again = DbtRun(runtime, INVOCATION_ID)
    output = await again.execute({}, runtime.carried[0])

    assert output.success
    assert [(each.attempt, each.unheard) for each in attempts_at(runtime, "a")] == [(1, []), (2, [1])]
    assert next(each.attempts for each in output.node_results if each.unique_id == model_id("a")) == 1
    assert runtime.slept == [5.0, 4.0]  # another node has taken a second meanwhile


async def test_a_hold_is_handed_on() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "b"), node("d"), threads=1)
    gate = runtime.gates[model_id("b")] = asyncio.Event()
    runtime.hand_over_after = 3
    run = DbtRun(runtime, INVOCATION_ID)
    task = asyncio.create_task(run.execute({}))
    await until(lambda: model_id("a") in runtime.nodes_started)
    run.open_nodes.operations.do("hold", ["d"])
    gate.set()
    with pytest.raises(HandedOver):
        await task
    again = DbtRun(runtime, INVOCATION_ID)
    runtime.hand_over_after = None
    runtime.awake.clear()
    task = asyncio.create_task(again.execute({}, runtime.carried[-1]))
    await until(lambda: again.run_status()["succeeded"] == 3)

    again.open_nodes.operations.do("skip", ["d"])
    runtime.awake.set()
    output = await task

    assert {each.unique_id: each.status for each in output.node_results}[model_id("d")] == "skipped"


async def test_a_cancel_while_the_rest_runs_out_ends_all_nodes_here() -> None:
    nodes = (node("z"), node("a"), node("b"), node("c", "b"), node("d", "c"))
    runtime = runtime_of(*nodes, threads=3, write_artifacts=True)
    runtime.gates[model_id("b")] = asyncio.Event()
    runtime.retries = {model_id("a"): ["once"]}
    runtime.awake.clear()
    runtime.hand_over_after = 3
    run = DbtRun(runtime, INVOCATION_ID)
    task = asyncio.create_task(run.execute({}))
    await until(lambda: runtime.slept != [])
    for _ in range(20):
        await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not runtime.carried
    assert run.node_status() == {
        model_id("z"): "success",
        model_id("a"): "cancelled",
        model_id("b"): "cancelled",
        model_id("c"): "skipped",
        model_id("d"): "skipped",
    }
    assert runtime.stored is not None


async def test_fail_fast_while_the_rest_runs_out_ends_the_run_here() -> None:
    runtime = runtime_of(*map(node, "abcde"), threads=4, fail_fast=True)
    runtime.hand_over_after = 3
    runtime.retries = {model_id("a"): ["once", "again"]}
    runtime.nodes[model_id("b")] = failure("broken", "b")
    gate = runtime.gates[model_id("b")] = asyncio.Event()
    runtime.gates[model_id("c")] = asyncio.Event()
    runtime.awake.clear()
    run = DbtRun(runtime, INVOCATION_ID)
    task = asyncio.create_task(run.execute({}))
    await until(lambda: runtime.slept != [])
    gate.set()

    output = await task

    assert not runtime.carried
    assert not output.success
    statuses = {each.unique_id.removeprefix("model.shop."): each.status for each in output.node_results}
    assert statuses == {"a": "skipped", "b": "error", "c": "skipped", "d": "success", "e": "skipped"}


async def test_what_is_too_large_to_be_carried_stays_in_its_execution() -> None:
    runtime = wide()
    runtime.hand_over_after = 1
    runtime.can_carry_bytes = 100

    output, run = await to_the_end(runtime)

    assert not runtime.carried
    assert len(output.node_results) == 12
    told = [line for line in run.run_log() if "cannot go on in another execution" in line]
    assert len(told) == 1


async def test_plans_from_before_it_was_part_of_them_stay_in_one_execution() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), continue_after=None)
    runtime.hand_over_after = 1

    await to_the_end(runtime)

    assert not runtime.carried


async def test_fail_fast_that_was_turned_on_is_on_in_the_next_execution() -> None:
    runtime = chain()
    runtime.nodes[model_id("b")] = failure("broken", "b")
    runtime.hand_over_after = 3
    gate = runtime.gates[model_id("a")] = asyncio.Event()
    run = DbtRun(runtime, INVOCATION_ID)
    task = asyncio.create_task(run.execute({}))
    await until(lambda: model_id("a") in runtime.nodes_started)
    run.set_fail_fast(True)
    gate.set()
    with pytest.raises(HandedOver):
        await task
    again = DbtRun(runtime, INVOCATION_ID)

    output = await again.execute({}, runtime.carried[-1])

    assert again.run_status()["fail_fast"]
    assert "Skipping due to fail_fast" in {each.message for each in output.node_results}


async def test_ids_and_texts_of_any_form_are_carried_as_they_are() -> None:
    odd = "\x01model.shop.a"
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"), threads=1)
    runtime.nodes[model_id("a")] = result("a", message=odd, adapter_response={odd: [odd, model_id("a"), 1.5, None]})
    runtime.hand_over_after = 1

    output, _ = await to_the_end(runtime, vars={odd: {"é": odd}})

    first = output.node_results[0]
    assert (first.message, first.adapter_response) == (odd, {odd: [odd, model_id("a"), 1.5, None]})
    assert attempts_at(runtime, "c")[0].invocation.input.vars == {odd: {"é": odd}}


async def test_only_an_execution_that_was_reset_has_nodes_that_may_have_run_before() -> None:
    runtime = chain()
    runtime.hand_over_after = 1

    await to_the_end(runtime)

    last = next(each.invocation for each in attempts_at(runtime, "d"))
    assert not last.model_copy(update={"execution": "execution-3"}).goes_on
    assert last.model_copy(update={"execution": "of a reset"}).goes_on
