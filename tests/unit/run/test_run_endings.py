import asyncio
from contextlib import suppress
from datetime import datetime

import pytest

from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.steps.messages import StoreArtifactsOutput
from dbt_temporal.domain.results import ArtifactPaths
from dbt_temporal.testing import model_id, node, until
from dbt_temporal.testing.builders import INVOCATION_ID, result
from tests.unit.run.runs import execute, failure, runtime_of, start, statuses


async def test_a_fault_of_ours_ends_the_run_and_cancels_what_runs() -> None:
    runtime = runtime_of(node("slow"), node("a"))
    runtime.gates[model_id("slow")] = asyncio.Event()
    runtime.nodes[model_id("a")] = ValueError("a bug")  # type: ignore[assignment]
    with pytest.raises(AssertionError):
        await execute(runtime)
    assert runtime.cancelled == ["model:slow"]


async def test_several_faults_at_once_end_the_run_too() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c"))
    runtime.nodes = dict.fromkeys([model_id("a"), model_id("b")], ValueError("a bug"))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        await asyncio.wait_for(execute(runtime), 5)


async def test_fail_fast_cancels_what_runs_and_reports_the_rest_as_skipped_like_dbt() -> None:
    runtime = runtime_of(node("a"), node("slow"), node("b", "a"))
    runtime.nodes[model_id("a")] = failure(name="a")
    runtime.gates[model_id("slow")] = asyncio.Event()
    output = await execute(runtime, fail_fast=True)
    assert statuses(output) == {"a": "error", "slow": "skipped", "b": "skipped"}
    messages = {each.message for each in output.node_results if each.status == "skipped"}
    assert messages == {"Skipping due to fail_fast"}
    assert runtime.cancelled == ["model:slow"]


async def test_a_run_from_before_the_change_still_ends_with_the_failure_itself() -> None:
    runtime = runtime_of(node("a"), node("slow"), node("b", "slow"), ends_on_error=None)
    runtime.nodes[model_id("a")] = failure(name="a")
    runtime.gates[model_id("slow")] = asyncio.Event()
    assert statuses(await execute(runtime, fail_fast=True)) == {"a": "error", "slow": "skipped", "b": "skipped"}
    assert runtime.cancelled == ["model:slow"]


async def test_what_runs_ends_by_itself_where_all_that_is_left_waits_for_it() -> None:
    runtime = runtime_of(node("a"), node("slow"), node("b", "slow"))
    runtime.nodes[model_id("a")] = failure(name="a")
    runtime.gates[model_id("slow")] = asyncio.Event()
    run, task = start(runtime, fail_fast=True)
    await until(lambda: run.node_status().get(model_id("a")) == "error")
    runtime.gates[model_id("slow")].set()
    assert statuses(await task) == {"a": "error", "slow": "success", "b": "skipped"}
    assert runtime.cancelled == []


async def test_a_command_that_ends_at_its_first_error_runs_nothing_that_was_not_ready() -> None:
    runtime = runtime_of(node("a"), node("ready"), node("b", "ready"), ends_on_error=True)
    runtime.nodes[model_id("a")] = failure(name="a")
    runtime.gates[model_id("ready")] = asyncio.Event()
    run, task = start(runtime, command="compile")
    await until(lambda: run.node_status().get(model_id("a")) == "error")
    runtime.gates[model_id("ready")].set()
    output = await task
    assert statuses(output) == {"a": "error", "ready": "success", "b": "skipped"}
    assert output.node_results[-1].message == "Skipping because the command ends at its first error"


@pytest.mark.parametrize(
    ("ends_on_error", "fails", "shown"), [(True, True, None), (True, False, "1"), (False, True, "1")]
)
async def test_a_command_that_ends_with_its_first_error_shows_nothing_of_other_nodes(
    ends_on_error: bool, fails: bool, shown: str | None
) -> None:
    runtime = runtime_of(node("a"), node("b", "a"), ends_on_error=ends_on_error)
    runtime.nodes[model_id("a")] = result("a", output="1")
    if fails:
        runtime.nodes[model_id("b")] = failure(name="b")
    output = await execute(runtime, command="show")
    assert output.node_results[0].output == shown


async def test_fail_fast_set_while_the_run_goes_on_ends_it_after_a_failure() -> None:
    runtime = runtime_of(node("a"), node("slow"), node("b", "slow"))
    runtime.nodes[model_id("a")] = failure(name="a")
    runtime.gates[model_id("slow")] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: run.node_status().get(model_id("a")) == "error")
    assert run.set_fail_fast(True) is True
    assert statuses(await task) == {"a": "error", "slow": "skipped", "b": "skipped"}
    assert run.run_status()["fail_fast"] is True


async def test_fail_fast_set_before_the_nodes_start_is_in_force() -> None:
    runtime = runtime_of(node("a"), node("b"), threads=1)
    runtime.nodes[model_id("a")] = failure(name="a")
    run = DbtRun(runtime, INVOCATION_ID)
    task = asyncio.create_task(run.execute({}))
    await until(lambda: run.run_status()["phase"] == "planning")
    run.set_fail_fast(True)
    assert statuses(await task) == {"a": "error", "b": "skipped"}


async def test_a_cancelled_run_cancels_its_nodes_waits_for_them_stores_artifacts_and_is_cancelled() -> None:
    runtime = runtime_of(
        node("a"), node("b", "a"), write_artifacts=True, has_on_run_end=True, search_attributes={"DbtStatus": "running"}
    )
    runtime.gates[model_id("a")] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: run.node_status().get(model_id("a")) == "running")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.node_status() == {model_id("a"): "cancelled", model_id("b"): "skipped"}
    # dbt does not run on-run-end when it is interrupted.
    assert runtime.step_names[-3:] == ["model:a", "store_artifacts", "end_run"]
    assert runtime.stored is not None
    assert [each.message for each in runtime.stored.results] == ["Cancelled", "Skipping due to cancellation"]
    assert runtime.outcome == "cancelled"
    assert "The run was cancelled." in (runtime.stored.run_log or "")


async def test_a_cancelled_run_tells_what_it_came_to_once_it_has_ended() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"), write_artifacts=True)
    runtime.gates[model_id("b")] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: run.node_status().get(model_id("b")) == "running")
    assert run.cancelled_output() is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    output = run.cancelled_output()
    assert output is not None
    assert statuses(output) == {"a": "success", "b": "cancelled", "c": "skipped"}
    assert (output.success, output.invocation_id) == (False, INVOCATION_ID)
    assert run.stored is not None
    assert output.artifacts == run.stored.artifacts
    assert output.elapsed_time > 0


async def test_a_run_that_no_cancel_has_ended_has_no_output_of_a_cancelled_one() -> None:
    run, task = start(runtime_of(node("a")))
    assert (await task).success
    assert run.cancelled_output() is None


async def test_a_node_that_ended_before_its_cancellation_reached_it_keeps_its_result() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    runtime.gates[model_id("a")] = asyncio.Event()
    run, task = start(runtime)
    await until(lambda: run.node_status().get(model_id("a")) == "running")
    runtime.gates[model_id("a")].set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.node_status() == {model_id("a"): "success", model_id("b"): "skipped"}


async def test_a_run_cancelled_while_it_is_set_up_ends_its_nodes_as_skipped() -> None:
    runtime = runtime_of(node("a"))
    run, task = start(runtime)
    await until(lambda: "before_run" in runtime.step_names)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.node_status() == {model_id("a"): "skipped"}
    assert runtime.nodes_started == []


async def test_a_run_that_runs_out_of_history_lets_its_nodes_end_and_ends_in_order() -> None:
    runtime = runtime_of(node("a"), node("slow"), node("b"), node("c", "b"), write_artifacts=True, threads=1)
    runtime.gates[model_id("slow")] = asyncio.Event()
    # plan_project, before_run, b and a; what has begun when it is noticed may end.
    runtime.room = 4
    run, task = start(runtime)
    await until(lambda: run.node_status().get(model_id("c")) == "skipped")
    assert run.node_status()[model_id("slow")] == "running"
    runtime.gates[model_id("slow")].set()
    output = await task
    assert statuses(output) == {"a": "success", "slow": "success", "b": "success", "c": "skipped"}
    assert runtime.cancelled == []
    assert not output.success
    assert "1 nodes were not run; `retry_from` runs them" in run.failure_message()
    assert runtime.stored is not None
    assert len(runtime.stored.results) == 4


async def test_a_run_whose_history_is_full_can_be_cancelled() -> None:
    runtime = runtime_of(node("a"), node("slow"), node("b", "slow"), threads=2)
    runtime.gates[model_id("slow")] = asyncio.Event()
    runtime.room = 4
    run, task = start(runtime)
    await until(lambda: run.node_status().get(model_id("b")) == "skipped")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.node_status()[model_id("slow")] == "cancelled"


async def test_a_node_is_not_tried_again_where_the_history_is_full() -> None:
    runtime = runtime_of(node("a"))
    runtime.retries[model_id("a")] = ["connection lost"] * 2
    # plan_project, before_run and the first attempt
    runtime.room = 3
    run, task = start(runtime)
    assert statuses(await task) == {"a": "error"}
    assert runtime.nodes_started == [model_id("a")]
    assert "connection lost" in run.failure_message()


@pytest.mark.parametrize("ends", ["well", "with a failure", "cancelled"])
async def test_a_run_says_of_itself_what_is_known_of_the_latest_run_of_its_target(ends: str) -> None:
    runtime = runtime_of(node("a"), write_artifacts=True, engine="dbt-core", dbt_version="1.11.0")
    if ends == "with a failure":
        runtime.nodes[model_id("a")] = failure(name="a")
    if ends == "cancelled":
        runtime.gates[model_id("a")] = asyncio.Event()
    run, task = start(runtime)
    if ends == "cancelled":
        await until(lambda: run.node_status().get(model_id("a")) == "running")
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert runtime.stored is not None
    latest = runtime.stored.latest
    assert latest is not None
    assert (latest.invocation_id, latest.project, latest.target) == (INVOCATION_ID, "shop", "dev")
    assert (latest.command, latest.engine, latest.dbt_version) == ("build", "dbt-core", "1.11.0")
    assert latest.success is (ends == "well")
    assert datetime.fromisoformat(latest.ended_at).tzinfo is not None


async def test_the_run_log_says_that_the_run_is_not_the_latest_of_its_target() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    runtime.store_artifacts = StoreArtifactsOutput(artifacts=ArtifactPaths(), latest_problem="access was denied")
    run, task = start(runtime)
    assert (await task).success
    assert run.run_log()[-2:] == [
        "Storing the run as the latest of its target failed:",
        "     access was denied",
    ]


async def test_the_run_log_says_that_the_sql_of_a_run_is_not_stored() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    runtime.store_artifacts = StoreArtifactsOutput(artifacts=ArtifactPaths(), sql_problem="the disk is full")
    run, task = start(runtime)
    assert (await task).success
    assert run.run_log()[-2:] == [
        "Storing the SQL of the run's nodes (sql.zip) failed:",
        "     the disk is full",
    ]


async def test_each_run_says_whose_its_folder_is() -> None:
    runtime = runtime_of(node("a"), write_artifacts=True)
    _, task = start(runtime)
    await task
    assert runtime.stored is not None
    assert runtime.stored.about == runtime.stored.latest
