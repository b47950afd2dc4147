"""Retries are the run's own: how many attempts, how far apart, and which failures end them."""

from __future__ import annotations

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.steps.messages import ProjectHooksOutput
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.run.plan import NodeOverrides
from dbt_temporal.testing.builders import node, result
from tests.unit.run.runs import execute, runtime_of, statuses

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


async def test_every_attempt_after_the_first_says_its_number_in_its_summary() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries["model.shop.a"] = [LOST]
    await execute(runtime)
    assert [step.summary for step in runtime.steps if step.name == "model:a"] == ["model:a", "model:a (attempt 2)"]


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
