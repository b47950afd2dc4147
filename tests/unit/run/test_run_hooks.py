import asyncio
import json
from typing import Any

import pytest

from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.application.ports.runtime import HookFailedError, StepFailedError
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.steps.messages import PlanProjectInput, StoreArtifactsInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.testing import FakeRuntime, model_id, node, planned, result, until
from dbt_temporal.testing.builders import INVOCATION_ID


def hook(workflow_type: str, **fields: Any) -> dict[str, Any]:
    return {"workflow_type": workflow_type, "task_queue": "hooks", **fields}


def runtime_with(**hooks: list[dict[str, Any]]) -> FakeRuntime:
    config = parse_project_config({"hooks": hooks}, "dbt_temporal.yml")
    attributes = {"DbtStatus": "running"}
    return FakeRuntime(planned(node("a"), config=config, search_attributes=attributes, write_artifacts=True))


async def execute(runtime: FakeRuntime, **run_input: Any) -> Any:
    return await DbtRun(runtime, INVOCATION_ID).execute(run_input)


def started(runtime: FakeRuntime) -> list[str]:
    return [each.hook.workflow_type for each in runtime.hooks_started]


async def test_hooks_run_in_order_before_and_after_the_nodes() -> None:
    runtime = runtime_with(
        pre_run=[hook("check"), hook("warm_up")], on_success=[hook("notify")], on_failure=[hook("alert")]
    )
    await execute(runtime)
    assert started(runtime) == ["check", "warm_up", "notify"]
    assert len({each.hook_id for each in runtime.hooks_started}) == 3


async def test_a_failed_run_starts_the_failure_hooks_once_artifacts_are_stored() -> None:
    runtime = runtime_with(on_success=[hook("notify")], on_failure=[hook("alert")])
    runtime.nodes[model_id("a")] = StepFailedError(ErrorType.ADAPTER, "lost")
    await execute(runtime)
    (alert,) = runtime.hooks_started
    assert alert.hook.workflow_type == "alert"
    assert alert.argument["output"]["success"] is False
    assert alert.argument["output"]["log_path"] == "/store/log.txt"


async def test_the_payload_is_that_of_the_contract_and_hides_values_of_env() -> None:
    runtime = runtime_with(pre_run=[hook("check")], on_success=[hook("notify")])
    await execute(runtime, select="a", env={"PASSWORD": "hunter2"})
    before, after = (each.argument for each in runtime.hooks_started)
    assert set(before) == {"event", "invocation_id", "input", "plan", "output"}
    assert before["event"] == "pre_run"
    assert before["output"] is None
    assert before["input"]["select"] == "a"
    assert before["input"]["env"] == {"PASSWORD": "***"}
    assert list(before["plan"]["nodes"]) == [model_id("a")]
    assert after["output"]["node_results"][0]["status"] == "success"
    assert "hunter2" not in str(before) + str(after)


async def test_the_payload_of_a_very_large_run_fits_into_what_temporal_takes() -> None:
    hooks = {"pre_run": [hook("check")], "on_success": [hook("notify")]}
    names = [f"int_orders__aggregated_by_customer_and_day_{number:05}" for number in range(4000)]
    large = planned(*(node(name) for name in names), config=parse_project_config({"hooks": hooks}, "f"), threads=4000)
    runtime = FakeRuntime(large)
    runtime.budget = TEMPORAL_BUDGET
    runtime.nodes = {model_id(name): result(name, message="é" * 500) for name in names}
    output = await execute(runtime)
    before, after = (each.argument for each in runtime.hooks_started)
    sizes = [len(json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode()) for each in (before, after)]
    assert all(size < 2 * 1024 * 1024 for size in sizes)
    assert len(before["plan"]["nodes"]) == len(after["output"]["node_results"]) == 4000
    assert before["plan"]["levels"]
    assert after["plan"]["levels"] == []
    assert output.success


async def test_a_hooks_own_input_replaces_the_payload() -> None:
    own = {"command": "run", "select": "customers", "hooks": {}}
    runtime = runtime_with(pre_run=[hook("dbt_run", input=own)])
    await execute(runtime)
    assert runtime.hooks_started[0].argument == own


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (False, None),
        ({"skip": True}, None),
        ({"skip": True, "reason": "bank holiday"}, "bank holiday"),
    ],
)
async def test_a_pre_run_hook_can_skip_the_run(answer: Any, reason: str | None) -> None:
    runtime = runtime_with(pre_run=[hook("check"), hook("never")], on_success=[hook("never")])
    runtime.hooks["check"] = answer
    output = await execute(runtime)
    assert (output.skipped, output.skip_reason, output.success) == (True, reason, True)
    assert started(runtime) == ["check"]
    assert runtime.step_names == ["plan_project", "end_run"]
    assert runtime.outcome == "skipped"


@pytest.mark.parametrize("answer", [None, True, 0, "", {}, {"skip": "yes"}, {"skip": False, "reason": "x"}, []])
async def test_any_other_answer_of_a_pre_run_hook_continues(answer: Any) -> None:
    runtime = runtime_with(pre_run=[hook("check")])
    runtime.hooks["check"] = answer
    assert not (await execute(runtime)).skipped


async def test_extra_env_is_added_hook_over_input_and_the_run_is_planned_with_it() -> None:
    runtime = runtime_with(pre_run=[hook("check"), hook("look")])
    runtime.hooks["check"] = {"extra_env": {"SCHEMA": "of_hook", "SIZE": 3}}
    run = DbtRun(runtime, INVOCATION_ID)
    await run.execute({"env": {"SCHEMA": "of_input", "HOST": "h"}})
    expected = {"SCHEMA": "of_hook", "HOST": "h"}
    plans = [step.argument.input.env for step in runtime.steps if isinstance(step.argument, PlanProjectInput)]
    assert plans == [{"SCHEMA": "of_input", "HOST": "h"}, expected]
    executed = next(step for step in runtime.steps if step.name == "model:a")
    assert executed.argument.invocation.input.env == expected  # type: ignore[attr-defined]
    assert runtime.hooks_started[1].argument["input"]["env"] == {"SCHEMA": "***", "HOST": "***"}
    assert any("no variables are ignored: SIZE" in line for line in run.run_log())
    assert "of_hook" not in "".join(run.run_log())


async def test_a_run_that_cannot_be_planned_again_starts_the_failure_hooks() -> None:
    runtime = runtime_with(pre_run=[hook("check")], on_failure=[hook("alert")])
    runtime.hooks["check"] = {"extra_env": {"SCHEMA": "x"}}
    run = DbtRun(runtime, INVOCATION_ID)
    task = asyncio.create_task(run.execute({}))
    await until(lambda: bool(runtime.hooks_started))
    runtime.planned = StepFailedError(ErrorType.COMPILATION, "env var missing")
    with pytest.raises(DbtTemporalError, match="env var missing"):
        await task
    assert started(runtime) == ["check", "alert"]
    assert runtime.outcome == "failed"
    assert runtime.nodes_started == []


async def test_a_failing_hook_under_warn_is_recorded_and_the_run_goes_on() -> None:
    runtime = runtime_with(pre_run=[hook("check"), hook("next")])
    runtime.hooks["check"] = HookFailedError("timed out")
    output = await execute(runtime)
    assert output.success
    assert [error.model_dump() for error in output.hook_errors] == [
        {"hook_workflow_type": "check", "event": "pre_run", "error": "timed out"}
    ]
    assert started(runtime) == ["check", "next"]


async def test_a_failing_hook_under_ignore_leaves_no_error() -> None:
    runtime = runtime_with(pre_run=[hook("check", on_error="ignore")], on_success=[hook("notify", on_error="ignore")])
    runtime.hooks = {"check": HookFailedError("no"), "notify": HookFailedError("no")}
    output = await execute(runtime)
    assert output.success
    assert output.hook_errors == []


async def test_a_failing_pre_run_hook_under_fail_aborts_the_run() -> None:
    runtime = runtime_with(pre_run=[hook("check", on_error="fail"), hook("never")], on_failure=[hook("alert")])
    runtime.hooks["check"] = HookFailedError("no permission")
    run = DbtRun(runtime, INVOCATION_ID)
    output = await run.execute({})
    assert not output.success
    assert output.node_results == []
    assert [error.error for error in output.hook_errors] == ["no permission"]
    assert started(runtime) == ["check", "alert"]
    assert runtime.nodes_started == []
    assert run.failure_message() == "pre_run hook check failed (Hook: no permission)"


async def test_a_failing_on_success_hook_under_fail_turns_success_into_failure() -> None:
    runtime = runtime_with(on_success=[hook("notify", on_error="fail"), hook("next")])
    runtime.hooks["notify"] = HookFailedError("gone")
    run = DbtRun(runtime, INVOCATION_ID)
    output = await run.execute({})
    assert not output.success
    assert started(runtime) == ["notify", "next"]
    assert runtime.hooks_started[1].argument["output"]["success"] is False
    assert runtime.outcome == "failed"
    assert "on_success hook notify failed" in run.failure_message()


async def test_a_fire_and_forget_hook_cannot_skip_the_run() -> None:
    runtime = runtime_with(pre_run=[hook("check", fire_and_forget=True)])
    runtime.hooks["check"] = False
    assert not (await execute(runtime)).skipped


async def test_hooks_of_the_input_replace_those_of_the_project_whole() -> None:
    runtime = runtime_with(pre_run=[hook("of_project")], on_success=[hook("of_project")])
    await execute(runtime, hooks={"on_success": [hook("of_input")]})
    assert started(runtime) == ["of_input"]


async def test_an_empty_map_of_hooks_suppresses_all() -> None:
    runtime = runtime_with(pre_run=[hook("of_project")], on_success=[hook("of_project")])
    await execute(runtime, hooks={})
    assert started(runtime) == []


async def test_a_run_cancelled_during_a_pre_run_hook_runs_nothing() -> None:
    runtime = runtime_with(pre_run=[hook("check")], on_failure=[hook("alert")])
    task = asyncio.create_task(execute(runtime))
    await until(lambda: bool(runtime.hooks_started))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The log is stored: it says that the run was cancelled, and when.
    assert runtime.step_names == ["plan_project", "store_artifacts", "end_run"]
    assert started(runtime) == ["check"]
    assert runtime.outcome == "cancelled"


async def test_nodes_are_not_sent_the_runs_hooks_nor_what_nobody_asked_for() -> None:
    hooks = {"pre_run": [hook("check")]}
    runtime = runtime_with()
    await execute(runtime, hooks=hooks, env={"KEY": "v"}, retry_from="s3://runs/1/run_results.json")
    (argument,) = (step.argument for step in runtime.steps if step.name == "model:a")
    assert started(runtime) == ["check"]
    assert argument.model_dump(mode="json")["invocation"]["input"] == {
        "env": {"KEY": "v"},
        "retry_from": "s3://runs/1/run_results.json",
    }
    read_again = type(argument).model_validate_json(argument.model_dump_json())
    assert read_again == argument


async def test_a_run_cancelled_during_a_hook_after_its_nodes_says_so_in_its_log_once() -> None:
    runtime = runtime_with(on_success=[hook("notify")])
    task = asyncio.create_task(execute(runtime))
    await until(lambda: bool(runtime.hooks_started))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runtime.outcome == "cancelled"
    (*_, last) = (step.argument for step in runtime.steps if step.name == "store_artifacts")
    assert isinstance(last, StoreArtifactsInput)
    assert (last.run_log or "").count("The run was cancelled.") == 1


async def test_while_a_hook_is_awaited_the_details_say_which_since_when_and_its_workflow_id() -> None:
    runtime = runtime_with(pre_run=[hook("check")])
    await execute(runtime)
    told = [details for change in runtime.changes if "Waits for the pre_run hook" in (details := change.details or "")]
    assert told
    assert "Waits for the pre_run hook check since 2026-01-01 00:00:01 UTC" in told[0]
    assert told[0].count("workflow id `the-run/pre_run-1-check`") == 1
    assert "Waits for" not in (runtime.changes[-1].details or "")


async def test_a_hook_that_nobody_waits_for_is_not_awaited_in_the_details() -> None:
    runtime = runtime_with(on_success=[hook("notify", fire_and_forget=True)])
    await execute(runtime)
    assert not [change for change in runtime.changes if "Waits for" in (change.details or "")]
