"""What operators may do about the nodes of a run that is under way, and what becomes of them by that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.steps.messages import ExecuteNodeInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.testing import FakeRuntime, node, result, until
from tests.unit.run.runs import failure, runtime_of, start, statuses


def attempts(runtime: FakeRuntime, name: str) -> list[int]:
    arguments = [step.argument for step in runtime.steps]
    return [
        each.attempt for each in arguments if isinstance(each, ExecuteNodeInput) and each.unique_id.endswith("." + name)
    ]


async def between_attempts(
    runtime: FakeRuntime, *rest: Any, **run_input: Any
) -> tuple[DbtRun, asyncio.Task[DbtRunOutput]]:
    """A run of which node a has failed once, and waits for its next attempt."""
    runtime.retries["model.shop.a"] = ["connection lost", *rest]
    runtime.awake.clear()
    run, task = start(runtime, **run_input)
    await until(lambda: bool(runtime.slept))
    return run, task


async def test_retry_makes_the_next_attempt_come_at_once() -> None:
    runtime = runtime_of(node("a"))
    run, task = await between_attempts(runtime)
    assert run.open_nodes.operations.do("retry", ["a"]) == ["model.shop.a"]
    assert (await task).success
    assert attempts(runtime, "a") == [1, 2]


@pytest.mark.parametrize("operation", ["hold", "skip", "accept"])
async def test_nobody_keeps_an_engine_that_runs_ahead_from_a_node(operation: Any) -> None:
    runtime = runtime_of(node("a"), node("b", "a"), runs_ahead=True, engine="ahead")
    run, task = await between_attempts(runtime)
    with pytest.raises(DbtTemporalError, match=r"b cannot be .*: the engine ahead runs the nodes by itself"):
        run.open_nodes.operations.do(operation, ["b"])
    run.open_nodes.operations.do("retry", ["a"])
    assert (await task).success


async def test_retry_now_makes_those_of_all_nodes_come_at_once() -> None:
    runtime = runtime_of(node("a"), node("b"))
    runtime.retries["model.shop.b"] = ["connection lost"]
    run, task = await between_attempts(runtime)
    await until(lambda: len(runtime.slept) == 2)
    assert run.open_nodes.operations.retry_now() == ["model.shop.a", "model.shop.b"]
    assert (await task).success


async def test_a_cancel_that_comes_with_a_retry_cancels_the_run() -> None:
    runtime = runtime_of(node("a"))
    run, task = await between_attempts(runtime)
    run.open_nodes.operations.do("retry", ["a"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.node_status() == {"model.shop.a": "cancelled"}


async def test_a_node_between_two_attempts_that_is_skipped_takes_all_below_it_along() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    run, task = await between_attempts(runtime)
    run.open_nodes.operations.do("skip", ["model:a"])
    output = await task
    assert statuses(output) == {"a": "skipped", "b": "skipped"}
    assert output.node_results[0].message == "Skipped by an operator"
    assert not output.success
    assert attempts(runtime, "a") == [1]


async def test_a_node_that_runs_and_is_accepted_has_its_statement_ended_and_counts_as_done() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), write_artifacts=True)
    runtime.gates["model.shop.a"] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: runtime.most_running == 1)
    run.open_nodes.operations.do("accept", ["a"])
    output = await task
    assert runtime.cancelled == ["model:a"]
    assert output.success
    assert output.node_results[0].message == "Accepted by an operator"
    assert attempts(runtime, "b") == [1]
    stored = runtime.stored
    assert stored is not None
    assert stored.unrecorded == ["model.shop.a"]


@pytest.mark.parametrize("operation", ["skip", "accept", "hold"])
async def test_when_the_node_that_asks_for_the_database_is_taken_away_others_ask(operation: Any) -> None:
    runtime = runtime_of(node("a"), *(node(name) for name in "bcdef"))
    away = StepFailedError(ErrorType.ADAPTER, "connection refused", retryable=True, unreachable=True)
    runtime.retries["model.shop.a"] = [away]
    for name in "bcd":
        runtime.gates[f"model.shop.{name}"] = asyncio.Event()
    runtime.awake.clear()
    run, task = start(runtime)
    await until(lambda: "takes no connections" in "\n".join(run.run_log()))
    for name in "bcd":
        runtime.nodes[f"model.shop.{name}"] = failure("cancelled by hand", name)
    run.open_nodes.operations.do(operation, ["a"])
    for name in "bcd":
        runtime.gates[f"model.shop.{name}"].set()
    runtime.awake.set()
    await until(lambda: {run.node_status()[f"model.shop.{name}"] for name in "ef"} == {"success"})
    if operation == "hold":
        run.open_nodes.operations.do("retry", ["a"])
    await task


async def test_a_held_node_makes_no_further_attempt_until_it_is_retried() -> None:
    runtime = runtime_of(node("a"), node("b"))
    runtime.gates["model.shop.b"] = asyncio.Event()
    run, task = await between_attempts(runtime)
    run.open_nodes.operations.do("hold", ["a"])
    runtime.awake.set()
    runtime.gates["model.shop.b"].set()
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    assert attempts(runtime, "a") == [1]
    run.open_nodes.operations.do("retry", ["a"])
    assert (await task).success


async def test_a_node_is_held_before_its_turn_and_accepted_without_a_run() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"))
    runtime.gates["model.shop.a"] = asyncio.Event()
    runtime.awake.clear()
    run, task = start(runtime)
    await until(lambda: "model:a" in runtime.step_names)
    run.open_nodes.operations.do("hold", ["b"])
    runtime.gates["model.shop.a"].set()
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    assert run.node_status()["model.shop.b"] == "pending"
    run.open_nodes.operations.do("accept", ["b"])
    output = await task
    assert output.success
    assert (attempts(runtime, "b"), attempts(runtime, "c")) == ([], [1])


async def test_a_run_ends_by_the_operators_word_on_its_last_node() -> None:
    runtime = runtime_of(node("a"))
    runtime.nodes["model.shop.a"] = failure("relation is missing", "a")
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold")
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    run.open_nodes.operations.do("accept", ["a"])
    assert (await task).success


async def test_an_attempt_that_was_reset_is_followed_by_another_at_once_and_costs_none() -> None:
    runtime = runtime_of(node("a"))
    reset = StepFailedError(ErrorType.ENGINE_CRASHED, "the attempt was reset", retryable=True, reset=True)
    runtime.retries["model.shop.a"] = [reset, reset, reset, reset]
    _, task = start(runtime)
    assert (await task).success
    assert attempts(runtime, "a") == [1, 2, 3, 4, 5]
    assert runtime.slept == []
    steps = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert [step.unheard for step in steps] == [[]] * 5


@pytest.mark.parametrize(
    ("operation", "names", "why"),
    [
        ("retry", ["b"], "model.shop.b cannot be retried: its turn has not come yet"),
        ("retry", ["a"], "it runs now"),
        ("retry", ["done"], "it has succeeded"),
        ("skip", ["done"], "it has ended (success)"),
        ("hold", ["a", "nothing"], "the run has no node 'nothing'"),
        ("accept", ["twin"], "'twin' is more than one node: model.other.twin, model.shop.twin"),
        ("accept", ["don"], "did you mean model.shop.done?"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_nothing_else_is_done(operation: Any, names: Any, why: str) -> None:
    twin = node("twin", "a")
    other = twin.model_copy(update={"unique_id": "model.other.twin", "package_name": "other"})
    runtime = runtime_of(node("a"), node("b", "a"), node("done"), other, twin)
    runtime.gates["model.shop.a"] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: run.node_status().get("model.shop.done") == "success")
    with pytest.raises(DbtTemporalError) as caught:
        run.open_nodes.operations.do(operation, names)
    assert caught.value.error_type is ErrorType.CONFIGURATION
    assert why in caught.value.message
    runtime.gates["model.shop.a"].set()
    assert (await task).success


async def test_the_activities_of_nodes_are_called_by_their_labels_and_by_ids_where_labels_are_alike() -> None:
    twin = node("twin")
    other = twin.model_copy(update={"unique_id": "model.other.twin"})
    runtime = runtime_of(node("a"), twin, other, named_activities=True)
    _, task = start(runtime)
    await task
    ids = [step.activity_id for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert sorted(map(str, ids)) == ["model.other.twin", "model.shop.twin", "model:a"]


async def test_a_failed_run_that_is_kept_open_is_repaired_in_place() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c"), write_artifacts=True)
    runtime.nodes["model.shop.a"] = failure("relation is missing", "a")
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold")
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    assert run.node_status() == {"model.shop.a": "error", "model.shop.b": "skipped", "model.shop.c": "success"}
    assert "is kept open until 2026-01-02" in runtime.changes[-1].details  # type: ignore[operator]
    del runtime.nodes["model.shop.a"]
    run.open_nodes.operations.do("retry", ["a"])
    output = await task
    assert output.success
    assert statuses(output) == {"c": "success", "a": "success", "b": "success"}
    assert (attempts(runtime, "a"), attempts(runtime, "c")) == ([1, 2], [1])
    assert runtime.step_names.count("store_artifacts") == 1


async def test_a_failed_test_that_is_accepted_counts_as_a_warning_with_its_failures() -> None:
    check = node("check", "a").model_copy(update={"resource_type": "test"})
    runtime = runtime_of(node("a"), check, node("b", "check"))
    failed = result(
        "check", "error", dbt_status="fail", failures=3, message="Got 3 results, configured to fail if != 0"
    )
    runtime.nodes["model.shop.check"] = StepFailedError(ErrorType.TEST_FAILURE, "Got 3 results", result=failed)
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold")
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    run.open_nodes.operations.do("accept", ["check"])
    output = await task
    accepted = next(each for each in output.node_results if each.unique_id.endswith("check"))
    assert (accepted.status, accepted.dbt_status, accepted.failures) == ("success", "warn", 3)
    assert accepted.message == "Accepted by an operator: Got 3 results, configured to fail if != 0"
    assert output.success
    assert attempts(runtime, "b") == [1]


async def test_a_run_that_is_kept_open_ends_with_what_it_has_by_finish_or_when_its_time_is_up() -> None:
    for ends_by_itself in (False, True):
        runtime = runtime_of(node("a"), node("b", "a"))
        runtime.nodes["model.shop.a"] = failure("relation is missing", "a")
        runtime.awake.clear()
        run, task = start(runtime, on_failure="hold")
        await until(lambda run=run: "is kept open" in "\n".join(run.run_log()))  # type: ignore[misc]
        if ends_by_itself:
            runtime.awake.set()
        else:
            run.open_nodes.hold.finish()
        output = await task
        assert not output.success
        assert statuses(output) == {"a": "error", "b": "skipped"}


async def test_a_node_that_is_held_when_the_time_is_up_ends_with_its_last_failure() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "b"))
    runtime.gates["model.shop.c"] = asyncio.Event()
    run, task = await between_attempts(runtime)
    run.open_nodes.operations.do("hold", ["a"])
    await until(lambda: "model:c" in runtime.step_names)
    runtime.awake.set()
    await asyncio.sleep(0)
    runtime.awake.clear()
    runtime.gates["model.shop.c"].set()
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    run.open_nodes.hold.finish()
    output = await task
    assert statuses(output) == {"a": "error", "b": "success", "c": "success"}
    assert next(each for each in output.node_results if each.unique_id.endswith(".a")).message == "connection lost"


async def test_a_run_that_is_kept_open_is_cancelled_as_any_other() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    runtime.nodes["model.shop.a"] = failure("relation is missing", "a")
    runtime.awake.clear()
    run, task = start(runtime, on_failure="hold")
    await until(lambda: "is kept open" in "\n".join(run.run_log()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runtime.step_names.count("store_artifacts") >= 1


async def test_nobody_operates_on_a_run_that_has_no_nodes_yet_or_any_more() -> None:
    runtime = runtime_of(node("a"))
    run, task = start(runtime)
    with pytest.raises(DbtTemporalError, match="the run has no nodes to operate on: its phase is initializing"):
        run.open_nodes.operations.do("retry", ["a"])
    await task
    with pytest.raises(DbtTemporalError, match="its phase is finalizing"):
        run.open_nodes.hold.finish()
