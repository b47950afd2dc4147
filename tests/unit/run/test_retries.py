"""Retries are the run's own: how many attempts, how far apart, and which failures end them."""

from __future__ import annotations

import asyncio

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.steps.messages import ExecuteNodeInput, ProjectHooksOutput
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.run.plan import NodeOverrides
from dbt_temporal.testing import until
from dbt_temporal.testing.builders import node, result
from tests.unit.run.runs import execute, runtime_of, start, statuses

LOST = "connection lost"


def lost() -> StepFailedError:
    return StepFailedError(ErrorType.ADAPTER, LOST, retryable=True)


async def test_a_transient_failure_is_followed_by_another_attempt() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries["model.shop.a"] = [LOST, LOST]
    output = await execute(runtime)
    assert output.success
    assert runtime.step_names.count("model:a") == 3
    assert runtime.slept == [5, 10]


async def test_the_pause_before_an_attempt_says_which_one_it_is() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries["model.shop.a"] = [LOST, LOST]
    await execute(runtime)
    assert runtime.slept_for == ["pause before attempt 2 of 3 of model:a", "pause before attempt 3 of 3 of model:a"]


async def test_the_details_say_which_nodes_are_tried_again_since_when_and_why() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries["model.shop.a"] = [LOST]
    await execute(runtime)
    told = [change.details or "" for change in runtime.changes]
    retried = [details for details in told if "Tried again" in details]
    assert retried
    when = "attempt 2 of 3 from 00:00:08 UTC on"
    assert f"Tried again:\n\n- `model.shop.a`: {when}, after Adapter: {LOST}" in retried[0]
    assert "Tried again" not in told[-1]


async def test_every_attempt_after_the_first_says_its_number_in_its_summary() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries["model.shop.a"] = [LOST]
    await execute(runtime)
    assert [step.summary for step in runtime.steps if step.name == "model:a"] == ["model:a", "model:a (attempt 2 of 3)"]


async def test_further_attempts_know_which_lost_ones_their_workers_have_told_of() -> None:
    runtime = runtime_of(node("a"))
    crashed = StepFailedError(ErrorType.ENGINE_CRASHED, "signal 9", retryable=True)
    silent = StepFailedError(ErrorType.ENGINE_CRASHED, "not heard of", retryable=True, timed_out=True)
    runtime.retries["model.shop.a"] = [crashed, silent]
    await execute(runtime)
    asked = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert [(each.unheard, each.told) for each in asked] == [([], []), ([1], [1]), ([1, 2], [1])]


async def test_what_failed_attempts_have_had_dbt_say_is_in_the_log_once_each() -> None:
    def said(message: str) -> StepFailedError:
        return StepFailedError(ErrorType.ADAPTER, LOST, retryable=True, result=result("a", "error", messages=message))

    runtime = runtime_of(node("a"))
    runtime.retries["model.shop.a"] = [said("first"), said("second"), said("third")]
    run, task = start(runtime)
    output = await task
    assert [line.strip() for line in run.run_log() if line.strip() in ("first", "second", "third")] == [
        "first", "second", "third"
    ]  # fmt: skip
    assert output.node_results[0].messages is None


async def test_further_attempts_say_what_they_make() -> None:
    runtime = runtime_of(node("a", relation="shop.first"), node("b", "a", relation="x" * 200))
    runtime.retries |= {"model.shop.a": [LOST], "model.shop.b": [LOST]}
    await execute(runtime)
    summaries = {name: [step.summary for step in runtime.steps if step.name == name] for name in ("model:a", "model:b")}
    assert summaries["model:a"] == ["model:a", "model:a (attempt 2 of 3, table shop.first)"]
    assert summaries["model:b"] == ["model:b", "model:b (attempt 2 of 3)"]


async def test_the_last_attempts_failure_is_the_nodes() -> None:
    runtime = runtime_of(node("a"), config=parse_project_config({"retry": {"max_attempts": 2}}, "f"))
    runtime.retries["model.shop.a"] = ["first", "second"]
    output = await execute(runtime)
    assert statuses(output) == {"a": "error"}
    assert output.node_results[0].message == "second"


async def test_a_failure_that_is_not_retryable_ends_the_attempts() -> None:
    runtime = runtime_of(node("a"))
    runtime.nodes["model.shop.a"] = StepFailedError(ErrorType.ADAPTER, "syntax error")
    await execute(runtime)
    assert runtime.step_names.count("model:a") == 1


async def test_the_pause_between_attempts_grows_up_to_its_limit() -> None:
    retry = {"max_attempts": 5, "initial_interval_secs": 1, "backoff_coefficient": 3, "max_interval_secs": 5}
    runtime = runtime_of(node("a"), config=parse_project_config({"retry": retry}, "f"))
    runtime.retries["model.shop.a"] = [LOST] * 4
    await execute(runtime)
    assert runtime.slept == [1, 3, 5, 5]


async def test_a_nodes_own_retries_come_before_the_projects() -> None:
    runtime = runtime_of(node("a", overrides=NodeOverrides(max_attempts=7, initial_interval_secs=1)))
    runtime.retries["model.shop.a"] = [LOST] * 9
    await execute(runtime)
    assert runtime.step_names.count("model:a") == 7
    assert runtime.slept[:2] == [1, 2]


async def test_without_on_run_start_hooks_the_set_up_is_retried_like_a_node() -> None:
    runtime = runtime_of(node("a"))
    runtime.before_run = [StepFailedError(ErrorType.ENGINE_CRASHED, "gone", retryable=True), ProjectHooksOutput()]
    assert (await execute(runtime)).success


async def test_a_database_out_of_reach_before_the_first_hook_is_waited_for() -> None:
    runtime = runtime_of(node("a"), has_on_run_start=True)
    runtime.before_run = [lost(), ProjectHooksOutput(results=[result("operation.shop.shop-on-run-start-0")])]
    assert (await execute(runtime)).success


async def test_a_crash_while_hooks_may_have_run_is_not_repeated() -> None:
    runtime = runtime_of(node("a"), has_on_run_end=True)
    runtime.after_run = [StepFailedError(ErrorType.ENGINE_CRASHED, "gone", retryable=True)]
    output = await execute(runtime)
    assert not output.success
    assert runtime.step_names.count("after_run") == 1


def unreachable() -> StepFailedError:
    return StepFailedError(ErrorType.ADAPTER, "Database Error\n  connection refused", retryable=True, unreachable=True)


async def test_a_run_waits_for_a_database_that_takes_no_connections_and_starts_nothing_else_meanwhile() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "b"), threads=2)
    runtime.retries["model.shop.a"] = [unreachable()] * 5
    runtime.gates["model.shop.b"] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: "takes no connections" in "\n".join(run.run_log()))
    runtime.gates["model.shop.b"].set()
    output = await task
    assert statuses(output) == {"a": "success", "b": "success", "c": "success"}
    assert runtime.slept == [15.0] * 5  # more than there are attempts
    assert runtime.nodes_started == ["model.shop.b", *["model.shop.a"] * 6, "model.shop.c"]
    log = "\n".join(run.run_log())
    assert "The database takes no connections (connection refused)" in log
    assert "takes connections again" in log
    assert any("Waits for the database since" in (change.details or "") for change in runtime.changes)
    assert "Waits for" not in (runtime.changes[-1].details or "")


async def test_when_the_limit_has_passed_nodes_fail_as_ever_and_those_that_follow_have_their_own_attempts() -> None:
    breaker = {"limit_secs": 40, "probe_secs": 15}
    config = parse_project_config({"breaker": breaker, "retry": {"max_attempts": 2}}, "f")
    runtime = runtime_of(node("a"), node("b"), threads=1, config=config)
    runtime.retries["model.shop.a"] = [unreachable()] * 100
    runtime.retries["model.shop.b"] = [unreachable()] * 100
    run, task = start(runtime)
    assert statuses(await task) == {"a": "error", "b": "error"}
    assert runtime.slept[:3] == [15.0, 15.0, 8.0]
    assert runtime.nodes_started.count("model.shop.b") == 2
    assert "waits no longer" in "\n".join(run.run_log())


async def test_a_run_need_not_wait() -> None:
    config = parse_project_config({"breaker": {"limit_secs": 0}, "retry": {"max_attempts": 2}}, "f")
    runtime = runtime_of(node("a"), config=config)
    runtime.retries["model.shop.a"] = [unreachable()] * 2
    assert statuses(await execute(runtime)) == {"a": "error"}
    assert runtime.slept == [5.0]


async def test_an_attempt_that_ends_otherwise_has_the_run_go_on() -> None:
    runtime = runtime_of(node("a"), node("b"), threads=1)
    runtime.retries["model.shop.a"] = [unreachable(), LOST, LOST]
    runtime.nodes["model.shop.a"] = StepFailedError(ErrorType.ADAPTER, "syntax error")
    run, task = start(runtime)
    assert statuses(await task) == {"a": "error", "b": "success"}
    retries = [line for line in run.run_log() if "RETRY" in line]
    assert [line.partition("[")[2] for line in retries] == [
        "RETRY after attempt 1 of 3]",
        "RETRY after attempt 2 of 3]",
    ]


async def test_a_run_that_waits_can_be_cancelled() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    runtime.retries["model.shop.a"] = [unreachable()] * 1000
    run, task = start(runtime)
    await until(lambda: "takes no connections" in "\n".join(run.run_log()))
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert run.node_status() == {"model.shop.a": "cancelled", "model.shop.b": "skipped"}
