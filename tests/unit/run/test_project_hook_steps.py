import pytest

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.steps.messages import ProjectHooksOutput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.run.invocation import HeldDatabase
from dbt_temporal.testing import model_id, node, result
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.run.runs import execute, failure, runtime_of, statuses

ON_RUN_START = "operation.shop.shop-on-run-start-0"
ON_RUN_END = "operation.shop.shop-on-run-end-0"


async def test_a_run_that_cannot_be_set_up_raises_the_steps_error_and_runs_no_node() -> None:
    config = parse_project_config({"hooks": {"on_failure": [{"workflow_type": "alert", "task_queue": "q"}]}}, "f")
    runtime = runtime_of(node("a"), config=config, search_attributes={"DbtStatus": "running"})
    runtime.before_run = [failure("could not connect")]
    with pytest.raises(DbtTemporalError, match="could not connect") as caught:
        await execute(runtime)
    assert caught.value.error_type == ErrorType.ADAPTER
    assert runtime.nodes_started == []
    assert [started.argument["event"] for started in runtime.hooks_started] == ["on_failure"]
    assert runtime.outcome == "failed"
    assert runtime.step_names[-1] == "end_run"


async def test_a_failed_on_run_start_hook_lets_nodes_run_where_dbts_flag_is_off() -> None:
    runtime = runtime_of(node("a"), has_on_run_start=True, has_on_run_end=True)
    runtime.before_run = [ProjectHooksOutput(results=[result(ON_RUN_START, "error", message="no")])]
    output = await execute(runtime)
    assert statuses(output) == {"a": "success"}
    assert not output.success
    seen = [each.unique_id for each in runtime.seen_by_on_run_end or []]
    assert seen == [ON_RUN_START, model_id("a")]


async def test_a_failed_on_run_start_hook_skips_all_nodes_where_dbts_flag_is_on() -> None:
    runtime = runtime_of(
        node("a"),
        has_on_run_start=True,
        has_on_run_end=True,
        write_artifacts=True,
    )
    refused = result(ON_RUN_START, "error", message="no")
    runtime.before_run = [ProjectHooksOutput(results=[refused], nodes_may_run=False)]
    output = await execute(runtime)
    assert statuses(output) == {"a": "skipped"}
    assert output.node_results[0].message is None
    assert not output.success
    assert runtime.seen_by_on_run_end == []
    assert runtime.stored is not None
    assert [each.unique_id for each in runtime.stored.results] == [ON_RUN_START, model_id("a")]


async def test_all_steps_after_the_first_say_which_process_has_the_runs_database() -> None:
    held = HeldDatabase(name="profile 'shop'", worker="one", process="1f3a")
    runtime = runtime_of(node("a"), node("b", "a"), has_on_run_end=True, write_artifacts=True)
    lost = StepFailedError(ErrorType.ADAPTER, "could not connect", retryable=True)
    runtime.before_run = [lost, ProjectHooksOutput(database=held)]
    await execute(runtime)
    steps = [(step.name, getattr(step.argument, "invocation", None)) for step in runtime.steps]
    carried = [(name, invocation.database) for name, invocation in steps if invocation is not None]
    assert [name for name, database in carried if database is None] == ["before_run", "before_run"]
    assert {database for _, database in carried if database is not None} == {held}


async def test_on_run_end_runs_after_a_failure_and_its_results_are_stored() -> None:
    runtime = runtime_of(node("a"), has_on_run_end=True, write_artifacts=True)
    runtime.nodes[model_id("a")] = failure(name="a")
    runtime.after_run = [ProjectHooksOutput(results=[result(ON_RUN_END)])]
    await execute(runtime)
    assert [each.status for each in runtime.seen_by_on_run_end or []] == ["error"]
    assert runtime.stored is not None
    assert [each.unique_id for each in runtime.stored.results] == [model_id("a"), ON_RUN_END]


async def test_on_run_end_that_could_not_be_run_fails_the_run_but_keeps_its_results() -> None:
    runtime = runtime_of(node("a"), has_on_run_end=True, write_artifacts=True)
    runtime.after_run = [failure("Compilation Error in on-run-end")]
    run = DbtRun(runtime, INVOCATION_ID)
    output = await run.execute({})
    assert not output.success
    assert statuses(output) == {"a": "success"}
    assert runtime.stored is not None
    assert run.failure_message() == "on-run-end failed (Adapter: Compilation Error in on-run-end)"


async def test_project_hooks_are_tried_once_unless_the_project_says_otherwise() -> None:
    runtime = runtime_of(node("a"), has_on_run_start=True)
    runtime.before_run = [ProjectHooksOutput(results=[result(ON_RUN_START, "error")], retryable=True)]
    await execute(runtime)
    assert runtime.step_names.count("before_run") == 1


async def test_what_dbt_says_as_it_sets_a_run_up_is_in_the_log_before_the_first_node() -> None:
    runtime = runtime_of(node("a"))
    runtime.before_run = [ProjectHooksOutput(messages=["the adapter warns", "of two things"])]
    run = DbtRun(runtime, INVOCATION_ID)
    await run.execute({})
    log = run.run_log()
    begin = next(number for number, line in enumerate(log) if " START " in line)
    assert log[begin - 2 : begin] == ["the adapter warns", "of two things"]


async def test_what_hooks_have_had_dbt_say_that_are_run_again_is_in_the_log_once_each() -> None:
    config = parse_project_config({"retry": {"project_hooks": {"on_run_start": True}}}, "dbt_temporal.yml")
    runtime = runtime_of(node("a"), has_on_run_start=True, config=config)
    first = ProjectHooksOutput(results=[result(ON_RUN_START, "error", messages="first")], retryable=True)
    runtime.before_run = [first, ProjectHooksOutput(results=[result(ON_RUN_START, messages="second")])]
    run = DbtRun(runtime, INVOCATION_ID)
    await run.execute({})
    assert [line.strip() for line in run.run_log() if line.strip() in ("first", "second")] == ["first", "second"]


async def test_project_hooks_are_retried_with_backoff_where_the_project_asks_for_it() -> None:
    config = parse_project_config(
        {"retry": {"initial_interval_secs": 2, "project_hooks": {"on_run_start": True}}}, "dbt_temporal.yml"
    )
    runtime = runtime_of(node("a"), has_on_run_start=True, config=config)
    lost = ProjectHooksOutput(results=[result(ON_RUN_START, "error")], retryable=True)
    runtime.before_run = [lost, lost, ProjectHooksOutput(results=[result(ON_RUN_START)])]
    assert (await execute(runtime)).success
    assert runtime.slept == [2, 4]
