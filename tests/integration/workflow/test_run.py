"""The workflow dbt_run against a real server: nodes, retries, failures and input."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from dbt_temporal.application.ports.engine import NodeOutcome, Progress
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import FakeEngine, FakeEngineRun, node, plan, ready_project
from tests.integration.run_harness import RunHarness, history, scheduled

A, B, C = "model.shop.a", "model.shop.b", "model.shop.c"


async def test_each_node_is_one_activity_with_its_own_name_and_summary(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("test.shop.t", "a"), node("b", "a"), node("seed.shop.s"))
    run = await runs.submit({"command": "build"})
    outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED
    events = await history(run.handle)
    names = scheduled(events)
    assert sorted(names) == sorted(["plan_project", "before_run", "model:a", "test:t", "model:b", "seed:s", "end_run"])
    summaries = [
        json.loads(event.user_metadata.summary.data)
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert {"model:a", "test:t", "model:b", "seed:s"} <= set(summaries)


async def test_the_output_is_that_of_the_contract(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    run = await runs.submit()
    outcome = await run.outcome()
    assert outcome.output is not None
    described = await run.handle.describe()
    assert outcome.output.invocation_id == described.run_id
    assert outcome.output.success
    assert [(each.unique_id, each.status) for each in outcome.output.node_results] == [(A, "success")]
    assert outcome.output.elapsed_time > 0
    assert runs.engine.ended_runs == [described.run_id]


async def test_payloads_are_plain_json_that_other_sdks_can_read(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    run = await runs.submit({"vars": {"day": 1}})
    await run.outcome()
    events = await history(run.handle)
    (completed,) = [event for event in events if event.HasField("workflow_execution_completed_event_attributes")]
    (payload,) = completed.workflow_execution_completed_event_attributes.result.payloads
    assert payload.metadata["encoding"] == b"json/plain"
    assert json.loads(payload.data)["node_results"][0]["unique_id"] == A


@pytest.mark.parametrize("arguments", [[], [None], [{}]])
async def test_the_input_may_be_missing(runs: RunHarness, arguments: list[Any]) -> None:
    outcome = await (await runs.submit_raw(arguments)).outcome()
    assert outcome.ending is Ending.COMPLETED


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("build", "must be a JSON object, got str"),
        ([1], "must be a JSON object, got list"),
        ({"comand": "run"}, "unknown field `comand`"),
        ({"command": "dance"}, "`command`"),
        ({"full_refresh": "yes"}, "`full_refresh`"),
        ({"selector": "x", "select": "y"}, "selector"),
        ({"env": {"A": 1}}, "`env.A`"),
    ],
)
async def test_a_bad_input_fails_at_once_as_configuration_and_runs_nothing(
    runs: RunHarness, argument: Any, named: str
) -> None:
    outcome = await (await runs.submit_raw([argument])).outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration")
    assert named in (outcome.message or "")
    assert runs.engine.planned == []


async def test_an_unknown_project_fails_as_project_not_found(runs: RunHarness) -> None:
    outcome = await runs.run({"project": "nope"})
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "ProjectNotFound")
    assert "'nope'" in (outcome.message or "")
    assert "shop" in (outcome.message or "")


async def test_among_several_projects_one_must_be_named(runs: RunHarness) -> None:
    runs.projects = [ready_project("shop"), ready_project("ads")]
    outcome = await runs.run()
    assert (outcome.error_type, outcome.message) == (
        "ProjectNotFound",
        "`project` is required, because several projects are loaded: ads, shop",
    )
    assert (await runs.run({"project": "ads"})).ending is Ending.COMPLETED


async def test_a_failed_node_fails_the_workflow_with_the_whole_output(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"), node("c"))
    runs.engine.script[A] = [FakeEngine.fails(A, "Compilation Error\n  no such ref", error_type=ErrorType.COMPILATION)]
    run = await runs.submit()
    outcome = await run.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "DbtRunFailed")
    assert "1 of 3 nodes failed: model.shop.a" in (outcome.message or "")
    assert outcome.output is not None
    assert not outcome.output.success
    statuses = {each.unique_id: each.status for each in outcome.output.node_results}
    assert statuses == {A: "error", B: "skipped", C: "success"}
    assert runs.engine.ended_runs == [outcome.output.invocation_id]


@pytest.mark.parametrize(
    ("error_type", "attempts"),
    [
        (ErrorType.ADAPTER, 3),
        (ErrorType.ENGINE_CRASHED, 3),
        (ErrorType.COMPILATION, 1),
        (ErrorType.TEST_FAILURE, 1),
        (ErrorType.UNIT_TEST_FAILURE, 1),
        (ErrorType.STALE_SOURCE, 1),
        (ErrorType.CONFIGURATION, 1),
    ],
)
async def test_errors_are_retried_by_their_type(runs: RunHarness, error_type: ErrorType, attempts: int) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=error_type)]
    outcome = await runs.run()
    assert outcome.error_type == "DbtRunFailed"
    assert runs.engine.executed == [A] * attempts


async def test_a_transient_error_is_overcome(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A), FakeEngine.crash(), FakeEngine.succeeds(A)]
    outcome = await runs.run()
    assert outcome.ending is Ending.COMPLETED
    assert runs.engine.executed == [A] * 3


async def test_an_error_that_the_project_names_is_not_retried(runs: RunHarness) -> None:
    runs.config = {"retry": {**runs.config["retry"], "non_retryable_errors": ["connection .*lost"]}}
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A)]
    assert (await runs.run()).error_type == "DbtRunFailed"
    assert runs.engine.executed == [A]


async def test_an_unforeseen_exception_in_an_activity_is_told_and_ends_the_run(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))

    class Breaks(FakeEngineRun):
        async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
            raise OSError("disk full")

    runs.engine.run_class = Breaks
    outcome = await runs.run()
    assert outcome.output is not None
    assert outcome.output.node_results[0].message == "unexpected error in the worker: OSError: disk full"


async def test_a_fault_in_the_run_fails_the_workflow_instead_of_repeating_its_task(runs: RunHarness) -> None:
    # An engine that answers for another node than it was asked for: nothing that the run is prepared for.
    runs.engine.run_plan = plan(node("a")).model_copy(update={"nodes": {A: node("b")}})
    outcome = await runs.run()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Internal")
    assert (outcome.message or "").startswith("fault in dbt-temporal: KeyError")


async def test_a_node_that_takes_too_long_is_told_with_the_limit(runs: RunHarness) -> None:
    runs.config = {"retry": {"max_attempts": 1}, "timeouts": {"node_secs": 1}}
    runs.engine.run_plan = plan(node("a"))
    runs.engine.gates[A] = asyncio.Event()
    outcome = await runs.run()
    assert outcome.output is not None
    message = outcome.output.node_results[0].message
    assert message == "model.shop.a: took longer than its limit of 1 seconds, and was cancelled"


async def test_artifacts_are_stored_and_their_places_returned(runs: RunHarness) -> None:
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"))
    outcome = await runs.run()
    assert outcome.output is not None
    assert outcome.output.artifacts is not None
    root = f"memory://{outcome.output.invocation_id}"
    assert outcome.output.artifacts.run_results_path == f"{root}/run_results.json"
    assert outcome.output.log_path == f"{root}/log.txt"
    assert b"shop.a  [OK" in runs.store.files[f"{outcome.output.invocation_id}/log.txt"]


async def test_a_node_can_go_to_a_task_queue_of_its_own(runs: RunHarness) -> None:
    overrides = {"task_queue": runs.task_queue, "max_attempts": 2}
    runs.engine.run_plan = plan(node("a", overrides=overrides))
    runs.engine.script[A] = [FakeEngine.fails(A)]
    run = await runs.submit()
    await run.outcome()
    attempts = [
        event.activity_task_scheduled_event_attributes
        for event in await history(run.handle)
        if event.activity_task_scheduled_event_attributes.activity_type.name == "model:a"
    ]
    assert [asked.task_queue.name for asked in attempts] == [runs.task_queue] * 2
    assert [asked.priority.priority_key for asked in attempts] == [0, 0]
