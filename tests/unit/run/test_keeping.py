"""Runs that keep to the worker whose process has their database or state, and what becomes of them when it is lost."""

import asyncio

import pytest

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.steps.messages import (
    BeforeRunInput,
    ExecuteNodeInput,
    Keeper,
    ProjectHooksOutput,
    ResumeRunInput,
)
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.run.invocation import HeldDatabase, LostWork
from dbt_temporal.domain.run.plan import NodeOverrides
from dbt_temporal.testing import FakeRuntime, model_id, node
from dbt_temporal.testing.waiting import until
from tests.unit.run.runs import execute, runtime_of, statuses

ONE = Keeper(task_queue="tasks/one", name="one (process 1)", mark="first")
TWO = Keeper(task_queue="tasks/two", name="two (process 2)", mark="second")
KEPT = ProjectHooksOutput(keeps_state="on-run-start has changed 'kept'", state_begun=True, worker=ONE)
HANDED = KEPT.model_copy(update={"worker": ONE.model_copy(update={"takes_handed_on": True})})
OF_BEFORE = "its argument is no ExecuteNodeInput: 1 validation error"
HELD = HeldDatabase(name="profile 'shop'", worker="one", process="1f3a")


def queues(runtime: FakeRuntime) -> list[tuple[str, str | None]]:
    """Each step with its task queue."""
    return [(step.name, step.task_queue) for step in runtime.steps]


def log_of(runtime: FakeRuntime) -> str:
    return "\n".join(line for change in runtime.changes for line in change.log_lines)


@pytest.mark.parametrize("output", [KEPT, ProjectHooksOutput(database=HELD, worker=ONE)])
async def test_all_that_follows_before_run_goes_to_the_worker_that_has_what_is_needed(
    output: ProjectHooksOutput,
) -> None:
    own = NodeOverrides(task_queue="large")
    runtime = runtime_of(node("a"), node("b", "a", overrides=own), has_on_run_end=True, write_artifacts=True)
    runtime.before_run = [output]
    await execute(runtime)
    asked = queues(runtime)
    before = asked.index(("before_run", None))
    assert {queue for _, queue in asked[:before]} == {None}
    assert {queue for _, queue in asked[before + 1 :]} == {"tasks/one"}
    assert {step.taken_within_secs for step in runtime.steps[before + 1 :]} == {60.0}
    assert "The run keeps to the worker one (process 1): " in log_of(runtime)


@pytest.mark.parametrize("output", [ProjectHooksOutput(worker=ONE), KEPT.model_copy(update={"worker": None})])
async def test_other_runs_go_to_any_worker(output: ProjectHooksOutput) -> None:
    runtime = runtime_of(node("a"), has_on_run_end=True, write_artifacts=True)
    runtime.before_run = [output]
    await execute(runtime)
    assert {(step.task_queue, step.taken_within_secs) for step in runtime.steps} == {(None, None)}


async def test_the_steps_say_that_the_run_keeps_state() -> None:
    runtime = runtime_of(node("a"))
    runtime.before_run = [KEPT]
    await execute(runtime)
    (argument,) = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    invocation = argument.invocation
    assert (invocation.keeps_state, invocation.state_begun, invocation.database) == (True, True, None)


async def test_when_the_worker_is_lost_another_one_goes_on_with_what_was_left() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "a"), threads=2)
    runtime.before_run = [KEPT]
    runtime.lost_queues = {ONE.task_queue}
    runtime.resume_run = ProjectHooksOutput(worker=TWO)
    output = await execute(runtime)
    assert statuses(output) == {"a": "success", "b": "success", "c": "success"}
    assert {each.attempts for each in output.node_results} == {1}
    (resumed,) = [step for step in runtime.steps if step.name == "resume_run"]
    assert resumed.task_queue is None
    assert isinstance(resumed.argument, ResumeRunInput)
    assert resumed.argument.without == [model_id("a"), model_id("b")]
    later = queues(runtime)[-4:]
    assert sorted(name for name, _ in later) == ["end_run", "model:a", "model:b", "model:c"]
    assert {queue for _, queue in later} == {TWO.task_queue}


async def test_a_worker_that_was_not_heard_of_is_waited_for_less_long_until_it_has_done_something() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"))
    runtime.before_run = [KEPT]
    late = StepFailedError(ErrorType.ADAPTER, "took longer than its limit", retryable=True, timed_out=True)
    silent = StepFailedError(ErrorType.ENGINE_CRASHED, "no heartbeat", retryable=True, timed_out=True)
    runtime.retries[model_id("b")] = [late, silent]
    await execute(runtime)
    nodes = [(step.name, step.taken_within_secs) for step in runtime.steps if step.name.startswith("model:")]
    assert nodes == [("model:a", 60.0), ("model:b", 60.0), ("model:b", 60.0), ("model:b", 15.0), ("model:c", 60.0)]


async def test_the_successor_of_a_worker_that_was_not_heard_of_is_waited_for_as_any_other() -> None:
    runtime = runtime_of(node("a"), node("b"), node("c", "b"), threads=2)
    runtime.before_run = [KEPT]
    runtime.gates |= {model_id("a"): asyncio.Event(), model_id("b"): asyncio.Event()}
    runtime.nodes[model_id("a")] = StepFailedError(ErrorType.ENGINE_CRASHED, "no heartbeat", timed_out=True)
    runtime.resume_run = ProjectHooksOutput(worker=TWO)
    run = asyncio.ensure_future(execute(runtime))
    await until(lambda: len(runtime.at_gates) == 2)
    runtime.lost_queues = {ONE.task_queue}
    runtime.gates[model_id("b")].set()
    await until(lambda: "model:c" in runtime.step_names)
    runtime.gates[model_id("a")].set()
    await run
    assert {step.taken_within_secs for step in runtime.steps if step.task_queue == TWO.task_queue} == {60.0}


async def test_a_run_of_which_one_process_runs_all_keeps_to_its_worker_and_its_successor_looks_what_that_has_done() -> (
    None
):
    ahead = ProjectHooksOutput(keeps_worker="one process runs it all", worker=ONE)
    nodes = (node("a"), node("b", "a"), node("c", "b"), node("d", "c"))
    runtime = runtime_of(*nodes, runs_ahead=True, unrepeatable=[model_id("d")])
    runtime.before_run = [ahead]
    gate = runtime.gates[model_id("b")] = asyncio.Event()
    task = asyncio.create_task(execute(runtime))
    await until(lambda: model_id("b") in runtime.at_gates)
    assert "The run keeps to the worker one (process 1): one process runs it all" in log_of(runtime)
    runtime.lost_queues = {ONE.task_queue}
    runtime.resume_run = ProjectHooksOutput(worker=TWO)
    gate.set()
    output = await task
    (resumed,) = [step.argument for step in runtime.steps if isinstance(step.argument, ResumeRunInput)]
    assert resumed.ended == {model_id("a"): "success", model_id("b"): "success"}
    asked = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert [(each.unique_id, each.attempt, each.unheard, each.again) for each in asked[2:]] == [
        (model_id("c"), 1, [], True),  # the lost worker does not take it
        (model_id("c"), 1, [1], True),
        (model_id("d"), 2, [1], False),
    ]
    assert statuses(output) == {"a": "success", "b": "success", "c": "success", "d": "success"}


async def test_where_the_successor_knows_all_that_was_begun_no_attempt_counts_as_lost() -> None:
    nodes = (node("a"), node("b", "a"), node("c", "b"))
    runtime = runtime_of(*nodes, runs_ahead=True, unrepeatable=[model_id("b"), model_id("c")])
    runtime.before_run = [ProjectHooksOutput(keeps_worker="one process runs it all", worker=ONE)]
    runtime.lost_queues = {ONE.task_queue}
    runtime.resume_run = ProjectHooksOutput(worker=TWO, knows_all=True)
    output = await execute(runtime)
    asked = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert {(each.attempt, *each.unheard) for each in asked} == {(1,)}
    assert {each.attempts for each in output.node_results} == {1}


async def test_a_successor_hears_whose_place_it_takes_which_nodes_must_not_run_twice_and_whether_others_were_lost() -> (
    None
):
    nodes = (node("a"), node("b", "a"), node("c", "b"), node("d", "b"))
    runtime = runtime_of(*nodes, runs_ahead=True, unrepeatable=[model_id("a"), model_id("c")])
    ahead = ProjectHooksOutput(keeps_worker="one process runs it all", worker=ONE)
    runtime.before_run = [ahead]
    gates = {name: asyncio.Event() for name in (model_id("a"), model_id("b"))}
    runtime.gates |= gates
    runtime.resume_run = ProjectHooksOutput(worker=TWO)
    task = asyncio.create_task(execute(runtime))
    for name, lost in ((model_id("a"), ONE), (model_id("b"), TWO)):
        await until(lambda name=name: name in runtime.at_gates)  # type: ignore[misc]
        runtime.lost_queues = {lost.task_queue}
        gates[name].set()
        runtime.resume_run = ProjectHooksOutput(worker=TWO if lost == ONE else ONE)
    await task
    resumed = [step.argument.lost for step in runtime.steps if isinstance(step.argument, ResumeRunInput)]
    assert resumed == [
        LostWork(mark="first", not_again=(model_id("c"),)),
        LostWork(mark="second", earlier=True, not_again=(model_id("c"),)),
    ]


async def test_after_a_lost_begin_of_a_run_its_nodes_may_have_run_and_the_next_attempt_hears_of_it() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), runs_ahead=True, looks_at_hooks=True, unrepeatable=[model_id("b")])
    gone = StepFailedError(ErrorType.ENGINE_CRASHED, "no heartbeat", retryable=True, timed_out=True)
    died = StepFailedError(ErrorType.ENGINE_CRASHED, "its process died before its nodes", retryable=True)
    runtime.before_run = [died, gone, ProjectHooksOutput(keeps_worker="one process", worker=ONE, may_have_run=True)]
    output = await execute(runtime)
    begins = [step.argument for step in runtime.steps if isinstance(step.argument, BeforeRunInput)]
    assert [(each.attempt, each.unheard, each.lost) for each in begins] == [
        (1, [], None),
        (2, [1], None),
        (3, [1, 2], LostWork(attempts=(2,), not_again=(model_id("b"),))),
    ]
    asked = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert [(each.unheard, each.again) for each in asked] == [([1], True), ([1], False)]
    assert statuses(output) == {"a": "success", "b": "success"}


async def test_an_engine_that_runs_ahead_hears_which_nodes_are_behind_one_that_has_not_ended_well() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"), node("d"), runs_ahead=True)
    runtime.nodes[model_id("a")] = StepFailedError(ErrorType.ENGINE_CRASHED, "its process is lost")
    await execute(runtime)
    asked = [step.argument for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert {each.unique_id: each.behind_failure for each in asked} == {
        model_id("a"): False,
        model_id("b"): True,
        model_id("c"): False,  # the engine of this test has run b all the same
        model_id("d"): False,
    }


async def test_it_moves_on_only_when_what_the_lost_worker_has_taken_has_ended() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("slow"), threads=2)
    runtime.before_run = [KEPT]
    runtime.resume_run = ProjectHooksOutput(worker=TWO)
    runtime.gates |= {model_id("a"): asyncio.Event(), model_id("slow"): asyncio.Event()}
    run = asyncio.ensure_future(execute(runtime))
    await until(lambda: runtime.most_running == 2)
    runtime.lost_queues = {ONE.task_queue}
    runtime.gates[model_id("a")].set()
    await until(lambda: "model:b" in runtime.step_names)
    for _ in range(200):
        await asyncio.sleep(0)
    assert "resume_run" not in runtime.step_names
    runtime.gates[model_id("slow")].set()
    assert statuses(await run) == {"a": "success", "b": "success", "slow": "success"}
    assert queues(runtime)[-2:] == [("model:b", TWO.task_queue), ("end_run", TWO.task_queue)]


async def test_nodes_fail_with_the_reason_where_nobody_can_go_on() -> None:
    runtime = runtime_of(node("a"), node("b"), has_on_run_end=True)
    runtime.before_run = [KEPT]
    runtime.lost_queues = {ONE.task_queue}
    runtime.resume_run = StepFailedError(ErrorType.CONFIGURATION, "a namespace cannot be carried")
    output = await execute(runtime)
    assert {each.message for each in output.node_results} == {"a namespace cannot be carried"}
    assert not output.success
    assert queues(runtime)[-1] == ("end_run", None)


async def test_a_database_in_memory_is_lost_with_its_worker_and_any_other_one_says_so() -> None:
    runtime = runtime_of(node("a"))
    runtime.before_run = [ProjectHooksOutput(database=HELD, worker=ONE)]
    runtime.lost_queues = {ONE.task_queue}
    runtime.nodes[model_id("a")] = StepFailedError(ErrorType.CONFIGURATION, "DuckDB's database is in memory")
    output = await execute(runtime)
    assert statuses(output) == {"a": "error"}
    assert queues(runtime)[-3:] == [("model:a", ONE.task_queue), ("model:a", None), ("end_run", None)]


async def test_nodes_are_handed_on_to_the_worker_that_has_what_is_needed_where_that_carries_the_run_out() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), has_on_run_end=True)
    runtime.before_run = [HANDED]
    runtime.hands_on_to = ONE.task_queue
    output = await execute(runtime)
    assert statuses(output) == {"a": "success", "b": "success"}
    nodes = [step for step in runtime.steps if isinstance(step.argument, ExecuteNodeInput)]
    assert [(step.task_queue, step.taken_within_secs) for step in nodes] == [(None, 5.0)] * 2
    assert {getattr(step.argument, "keeper", None) for step in nodes} == {ONE.task_queue}
    assert ("after_run", ONE.task_queue) in queues(runtime)


async def test_after_a_worker_has_refused_a_node_all_go_to_the_right_ones_own_queue() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    runtime.before_run = [HANDED]
    runtime.hands_on_to = TWO.task_queue
    output = await execute(runtime)
    assert statuses(output) == {"a": "success", "b": "success"}
    assert {each.attempts for each in output.node_results} == {1}
    asked = [each for each in queues(runtime) if each[0].startswith("model:")]
    assert asked == [("model:a", None), ("model:a", ONE.task_queue), ("model:b", ONE.task_queue)]


async def test_a_release_that_knows_no_such_nodes_refuses_them_by_finding_none() -> None:
    runtime = runtime_of(node("a"))
    runtime.before_run = [HANDED]
    runtime.hands_on_to = ONE.task_queue
    runtime.retries[model_id("a")] = [StepFailedError(ErrorType.CONFIGURATION, f"activity 'model:a': {OF_BEFORE}")]
    output = await execute(runtime)
    assert statuses(output) == {"a": "success"}
    assert [queue for name, queue in queues(runtime) if name == "model:a"] == [None, ONE.task_queue]


async def test_what_nobody_has_taken_at_once_goes_to_the_own_queue_and_nobody_counts_as_lost() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    runtime.before_run = [HANDED]
    runtime.hands_on_to = ONE.task_queue
    runtime.retries[model_id("a")] = [
        StepFailedError(ErrorType.ADAPTER, "timed out", retryable=True, timed_out=True, never_taken=True)
    ]
    output = await execute(runtime)
    assert {each.attempts for each in output.node_results} == {1}
    asked = [each for each in queues(runtime) if each[0].startswith("model:")]
    assert asked == [("model:a", None), ("model:a", ONE.task_queue), ("model:b", ONE.task_queue)]
    assert "resume_run" not in runtime.step_names


async def test_a_node_that_is_failed_by_hand_where_it_was_handed_on_has_failed() -> None:
    runtime = runtime_of(node("a"))
    runtime.before_run = [HANDED]
    runtime.hands_on_to = ONE.task_queue
    runtime.nodes[model_id("a")] = StepFailedError(ErrorType.CONFIGURATION, "by hand")
    output = await execute(runtime)
    assert statuses(output) == {"a": "error"}
    assert [queue for name, queue in queues(runtime) if name == "model:a"] == [None]


async def test_nothing_is_handed_on_to_a_worker_that_was_not_heard_of() -> None:
    runtime = runtime_of(node("a"), node("b", "a"), node("c", "b"))
    runtime.before_run = [HANDED]
    runtime.hands_on_to = ONE.task_queue
    silent = StepFailedError(ErrorType.ENGINE_CRASHED, "no heartbeat", retryable=True, timed_out=True)
    runtime.retries[model_id("b")] = [silent]
    await execute(runtime)
    asked = [each for each in queues(runtime) if each[0].startswith("model:")]
    assert asked == [("model:a", None), ("model:b", None), ("model:b", ONE.task_queue), ("model:c", None)]


async def test_the_successor_of_a_lost_worker_is_handed_nodes_on() -> None:
    runtime = runtime_of(node("a"), node("b", "a"))
    runtime.before_run = [HANDED]
    runtime.hands_on_to = TWO.task_queue
    runtime.lost_queues = {ONE.task_queue}
    runtime.resume_run = ProjectHooksOutput(worker=TWO.model_copy(update={"takes_handed_on": True}))
    output = await execute(runtime)
    assert statuses(output) == {"a": "success", "b": "success"}
    asked = [each for each in queues(runtime) if each[0].startswith("model:")]
    assert asked == [("model:a", None), ("model:a", ONE.task_queue), ("model:a", None), ("model:b", None)]
