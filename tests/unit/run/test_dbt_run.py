import asyncio

import pytest

from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.adapters.temporal.workflow.memo import RunMemos
from dbt_temporal.application.ports.runtime import Budget, StepFailedError
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.steps.messages import (
    EndRunInput,
    ExecuteNodeInput,
    StoreArtifactsInput,
    StoreArtifactsOutput,
)
from dbt_temporal.application.steps.table import CANCEL_SECS
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import parse_project_config
from dbt_temporal.domain.results import ArtifactPaths
from dbt_temporal.domain.run.plan import NodeOverrides
from dbt_temporal.testing import FakeRuntime, model_id, node, planned, result, until
from dbt_temporal.testing.builders import INVOCATION_ID
from tests.unit.run.runs import execute, failure, runtime_of, start, statuses


async def test_a_run_plans_sets_up_executes_its_nodes_in_order_and_stores_artifacts() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), write_artifacts=True, has_on_run_end=True)
    output = await execute(runtime)
    assert runtime.step_names == [
        "plan_project",
        "before_run",
        "model:a",
        "model:b",
        "after_run",
        "store_artifacts",
        "end_run",
    ]
    assert output.success
    assert output.invocation_id == INVOCATION_ID
    assert statuses(output) == {"a": "success", "b": "success"}
    assert output.log_path == "/store/log.txt"
    assert output.elapsed_time > 0


async def test_wrong_input_fails_before_anything_runs() -> None:
    runtime = runtime_of(node("a"))
    with pytest.raises(DbtTemporalError, match="selekt") as caught:
        await execute(runtime, selekt="a")
    assert caught.value.error_type == ErrorType.CONFIGURATION
    assert runtime.steps == []


async def test_a_run_that_cannot_be_planned_raises_the_steps_error() -> None:
    runtime = FakeRuntime(StepFailedError(ErrorType.PROJECT_NOT_FOUND, "project 'x' is not loaded"))
    with pytest.raises(DbtTemporalError, match="not loaded") as caught:
        await execute(runtime, project="x")
    assert caught.value.error_type == ErrorType.PROJECT_NOT_FOUND
    assert not caught.value.retryable
    assert runtime.step_names == ["plan_project"]


@pytest.mark.parametrize("messages", [[], ["Nothing to do. Try checking your model configs"]])
async def test_a_run_with_nothing_to_do_says_so_once(messages: list[str]) -> None:
    plan = planned()
    plan.messages = messages
    plan.nothing_to_do = True
    run, task = start(FakeRuntime(plan))
    assert (await task).success
    assert "\n".join(run.run_log()).count("Nothing to do") == 1


async def test_independent_nodes_run_at_the_same_time_up_to_dbts_threads() -> None:
    runtime = runtime_of(*(node(name) for name in "abcdef"), threads=3)
    await execute(runtime)
    assert runtime.most_running == 3


async def test_a_node_does_not_wait_for_nodes_that_it_does_not_depend_on() -> None:
    runtime = runtime_of(node("slow"), node("a"), node("b", "a"))
    runtime.gates[model_id("slow")] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: run.node_status().get(model_id("b")) == "success")
    assert run.node_status()[model_id("slow")] == "running"
    runtime.gates[model_id("slow")].set()
    assert (await task).success


async def test_a_failed_node_skips_its_dependents_and_fails_the_run() -> None:
    runtime = runtime_of(
        node("a"), node("b", "a"), node("c"), write_artifacts=True, search_attributes={"DbtStatus": "running"}
    )
    runtime.nodes[model_id("a")] = failure("Database Error\n  no such table", "a")
    run = DbtRun(runtime, INVOCATION_ID)
    output = await run.execute({})
    assert not output.success
    assert statuses(output) == {"a": "error", "b": "skipped", "c": "success"}
    assert run.failure_message() == "1 of 3 nodes failed: model.shop.a (Adapter: Database Error no such table)"
    assert runtime.outcome == "failed"
    skipped = next(each for each in output.node_results if each.status == "skipped")
    assert skipped.message == "model.shop.a failed"
    assert runtime.stored is not None
    # dbt gives such a node no message, and neither does run_results.json.
    assert [each.message for each in runtime.stored.results if each.status == "skipped"] == [None]


async def test_a_step_that_failed_without_a_result_is_an_error_with_its_message() -> None:
    runtime = runtime_of(node("a"))
    runtime.nodes[model_id("a")] = StepFailedError(ErrorType.ENGINE_CRASHED, "the run host died")
    output = await execute(runtime)
    assert output.node_results[0].status == "error"
    assert output.node_results[0].dbt_status == "error"
    assert output.node_results[0].message == "the run host died"


async def test_lines_of_a_listing_are_whole_or_not_there() -> None:
    lines = {name: f'{{"name": "{name}", "sql": "{"x" * 400}"}}' for name in "abc"}
    runtime = runtime_of(*(node(name, listing=line) for name, line in lines.items()))
    runtime.budget = Budget(output_bytes=1_500)
    output = await execute(runtime, command="list")
    found = {each.unique_id.rpartition(".")[2]: each.message for each in output.node_results}
    assert set(found.items()) <= {*lines.items(), *dict.fromkeys(lines).items()}
    assert None in found.values()


async def test_list_runs_nothing_and_returns_a_line_per_node() -> None:
    runtime = runtime_of(node("a", listing="shop.a"), node("b", "a", listing="shop.b"))
    output = await execute(runtime, command="list")
    assert [(each.status, each.message) for each in output.node_results] == [
        ("success", "shop.a"),
        ("success", "shop.b"),
    ]
    assert runtime.step_names == ["plan_project", "end_run"]


async def test_an_empty_selection_runs_no_hooks_and_succeeds() -> None:
    runtime = runtime_of(has_on_run_start=True, has_on_run_end=True, write_artifacts=True)
    output = await execute(runtime)
    assert output.success
    assert runtime.step_names == ["plan_project", "store_artifacts", "end_run"]


async def test_artifacts_that_cannot_be_stored_fail_the_run() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    runtime.store_artifacts = StepFailedError(ErrorType.ARTIFACT_STORE, "s3://bucket: access denied")
    run = DbtRun(runtime, INVOCATION_ID)
    output = await run.execute({})
    assert not output.success
    assert statuses(output) == {"a": "success"}
    assert "s3://bucket: access denied" in run.failure_message()
    (end_run,) = (step.argument for step in runtime.steps if step.name == "end_run")
    assert isinstance(end_run, EndRunInput)
    assert not end_run.has_artifacts, "the records are all that is left of the run"


async def test_a_host_that_cannot_be_freed_does_not_fail_the_run() -> None:
    runtime = runtime_of(node("a"))
    runtime.end_run = failure("gone")
    assert (await execute(runtime)).success


async def test_a_node_carries_the_projects_timeouts() -> None:
    config = parse_project_config({"retry": {"non_retryable_errors": ["denied"]}, "timeouts": {"node_secs": 60}}, "f")
    runtime = runtime_of(node("a", priority=2), config=config)
    await execute(runtime)
    step = runtime.steps[2]
    assert isinstance(step.argument, ExecuteNodeInput)
    # The step has some time beyond the node's limit, to end the statement.
    assert (step.argument.timeout_secs, step.limits.timeout_secs, step.priority) == (60, 60 + CANCEL_SECS, None)
    assert step.name == step.summary == "model:a"
    assert step.argument.non_retryable_errors == ["denied"]


async def test_a_nodes_own_settings_come_before_the_projects() -> None:
    overrides = NodeOverrides(timeout_secs=5, task_queue="big-machines")
    runtime = runtime_of(node("a", overrides=overrides))
    await execute(runtime)
    step = runtime.steps[2]
    assert isinstance(step.argument, ExecuteNodeInput)
    assert (step.argument.timeout_secs, step.task_queue) == (5, "big-machines")


async def test_the_log_tells_the_run_in_the_order_of_events() -> None:
    runtime = runtime_of(node("a", relation="main.a"), node("b", "a"), write_artifacts=True)
    runtime.retries[model_id("a")] = ["connection lost"]
    run = DbtRun(runtime, INVOCATION_ID)
    await run.execute({})
    lines = run.run_log()
    assert lines[0].startswith("Running with dbt-temporal=")
    body = lines[lines.index("") + 1 :]
    assert body == [
        "1 of 2 START table_model main.a",
        "  => table_model main.a  [RETRY after attempt 1 of 3]",
        "     Adapter: connection lost",
        "  => table_model main.a  [OK in 0.00s]",
        "2 of 2 START table_model shop.b",
        "  => table_model shop.b  [OK in 0.00s]",
        "",
        "Finished running 2 nodes in 9.00s.",
        "Done. PASS=2 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=2",
    ]
    assert runtime.stored is not None
    assert runtime.stored.run_log is not None
    assert runtime.stored.run_log.splitlines() == lines
    published = [line for change in runtime.changes for line in change.log_lines]
    assert published == lines


async def test_no_log_is_stored_where_it_is_turned_off() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True, write_run_log=False)
    await execute(runtime)
    assert runtime.stored is not None
    assert runtime.stored.run_log is None


async def test_the_command_memo_is_set_once_and_the_live_memos_with_every_write() -> None:
    runtime = runtime_of(node("a"))
    await execute(runtime, select="a")
    written = RunMemos()
    memos = [written.of(change.view) for change in runtime.changes]
    assert [memo["command"]["select"] for memo in memos if "command" in memo] == ["a"]
    assert memos[-1]["node_status"] == {model_id("a"): "success"}
    assert memos[-1]["log"][-1].startswith("Done.")


async def test_search_attributes_are_those_of_the_plan_and_the_outcome() -> None:
    runtime = runtime_of(node("a"), search_attributes={"DbtProject": "shop", "DbtStatus": "running"})
    await execute(runtime)
    published = [change.search_attributes for change in runtime.changes if change.search_attributes]
    assert published == [{"DbtProject": "shop", "DbtStatus": "running"}, {"DbtStatus": "passed"}]


async def test_an_unregistered_status_attribute_is_never_set() -> None:
    runtime = runtime_of(node("a"), search_attributes={"DbtProject": "shop"})
    await execute(runtime)
    published = [change.search_attributes for change in runtime.changes if change.search_attributes]
    assert published == [{"DbtProject": "shop"}]


async def test_the_phases_follow_each_other() -> None:
    runtime = runtime_of(node("a"))
    await execute(runtime)
    seen = [change.details.split("**")[1] for change in runtime.changes if change.details]
    assert list(dict.fromkeys(seen)) == ["planning", "pre_run_hooks", "executing", "finalizing", "passed"]


async def test_a_large_compile_keeps_every_node_in_its_output_and_says_what_is_missing() -> None:
    names = [f"m{number}" for number in range(200)]
    runtime = runtime_of(*(node(name) for name in names), write_artifacts=True, threads=200)
    runtime.budget = TEMPORAL_BUDGET
    runtime.nodes = {model_id(name): result(name, compiled_code="x" * 10_000) for name in names}
    output = await execute(runtime, command="compile")
    kept = sum(each.compiled_code is not None for each in output.node_results)
    assert 150 < kept < 200
    assert runtime.stored is not None
    assert len(runtime.stored.results) == 200
    log = [step.argument for step in runtime.steps if step.name == "store_artifacts"][-1]
    assert isinstance(log, StoreArtifactsInput)
    assert "leaves out details or nodes" in (log.run_log or "")


async def test_the_log_says_of_which_nodes_the_artifacts_have_less() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    runtime.store_artifacts = StoreArtifactsOutput(
        artifacts=ArtifactPaths(), unstored=[f"model.shop.{letter}" for letter in "abcdef"]
    )
    run = DbtRun(runtime, INVOCATION_ID)
    assert (await run.execute({})).success
    some = ", ".join(f"model.shop.{letter}" for letter in "abcde")
    line = f"the artifacts have less of 6 nodes, whose records were not in the store: {some}, ..."
    assert any(line in each for each in run.run_log())


async def test_fail_fast_ends_the_run_for_an_ephemeral_model_too_of_which_there_are_no_results() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    runtime.nodes["model.shop.a"] = result("a").model_copy(update={"failed_ephemerals": ["model.shop.e"]})
    output = await execute(runtime, fail_fast=True)
    assert (output.success, statuses(output)) == (False, {"a": "success", "b": "skipped"})
    assert output.node_results[0].failed_ephemerals is None
    without = runtime_of(node("a"), node("b", "a"))
    without.nodes = runtime.nodes
    assert (await execute(without)).success


async def test_an_ephemeral_model_that_fails_at_the_end_fails_the_run_by_fail_fast() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    stored = StoreArtifactsOutput(artifacts=ArtifactPaths(), failed_ephemerals=["model.shop.e"])
    runtime.store_artifacts = stored
    run, task = start(runtime, fail_fast=True)
    assert not (await task).success
    assert "model.shop.e" in run.failure_message()


async def test_in_the_end_the_details_say_where_things_are_and_how_to_retry() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), write_artifacts=True)
    runtime.nodes[model_id("a")] = failure("Database Error\n  no such table", "a")
    await execute(runtime)
    details = runtime.changes[-1].details or ""
    assert details.startswith("**failed**: 2 of 2 nodes done, 1 error, 1 skipped\n\n`dbt build` in project `shop`")
    assert "- `model.shop.a`: Adapter: Database Error no such table" in details
    assert "- `model.shop.b`: model.shop.a failed" in details
    assert "- run_results.json: `" in details
    assert f"`dbt-temporal retry {INVOCATION_ID}`" in details


async def test_a_run_that_did_well_names_no_retry() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    await execute(runtime)
    details = runtime.changes[-1].details or ""
    assert details.startswith("**passed**")
    assert "dbt-temporal retry" not in details
