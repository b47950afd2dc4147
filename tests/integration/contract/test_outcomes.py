"""How a run ended is told the same everywhere: workflow status, DbtStatus, output, message, memo and exit code."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.engine import Prepared, Progress
from dbt_temporal.application.ports.runs import Outcome
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.domain.run.invocation import LostWork
from dbt_temporal.entrypoints.cli.events.event import Showing
from dbt_temporal.entrypoints.cli.submit import Submission, submit_to
from dbt_temporal.testing import FakeEngine, FakeEngineRun, node, plan
from tests.integration.run_harness import RunHarness, history, scheduled
from tests.integration.servers import wait_for

A, B = "model.shop.a", "model.shop.b"


@workflow.defn(name="says_skip")
class SaysSkip:
    @workflow.run
    async def run(self, payload: Any) -> dict[str, Any]:
        return {"skip": True, "reason": "nothing new"}


@workflow.defn(name="fails")
class Fails:
    @workflow.run
    async def run(self, payload: Any) -> None:
        raise ApplicationError("told to fail", non_retryable=True)


@workflow.defn(name="does_well")
class DoesWell:
    @workflow.run
    async def run(self, payload: Any) -> str:
        return "well"


def hook_worker(runs: RunHarness, task_queue: str) -> Worker:
    # Without the sandbox, which would load this module and all that it imports again.
    runner = UnsandboxedWorkflowRunner()
    return Worker(runs.client, task_queue=task_queue, workflows=[SaysSkip, Fails, DoesWell], workflow_runner=runner)


@dataclass(frozen=True)
class Case:
    """One way to end, and how it is told."""

    run_input: Mapping[str, Any]
    prepare: Callable[[RunHarness], None]
    workflow_status: WorkflowExecutionStatus
    dbt_status: str
    exit_code: int
    success: bool | None
    """Of the output, where there is one."""


def nothing_special(runs: RunHarness) -> None:
    """All nodes succeed."""


def a_fails(runs: RunHarness) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]


def a_test_warns(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("test.shop.t"))
    warned = FakeEngine.succeeds("test.shop.t")
    warned.result.dbt_status = "warn"
    runs.engine.script["test.shop.t"] = [warned]


def storing_fails(runs: RunHarness) -> None:
    runs.write_artifacts = True
    runs.store.broken = [""]


def on_run_start_fails(runs: RunHarness) -> None:
    runs.engine.run_plan = runs.engine.run_plan.model_copy(update={"has_on_run_start": True})
    runs.engine.on_run_start = [FakeEngine.fails("operation.shop.start", error_type=ErrorType.COMPILATION)]


COMPLETED, FAILED = WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.FAILED


def hook(workflow_type: str, on_error: str = "warn") -> list[dict[str, str]]:
    return [{"workflow_type": workflow_type, "task_queue": "QUEUE", "on_error": on_error}]


CASES = {
    "passed": Case({}, nothing_special, COMPLETED, "passed", 0, True),
    "warned": Case({}, a_test_warns, COMPLETED, "passed", 0, True),
    "failed": Case({}, a_fails, FAILED, "failed", 1, False),
    "skipped": Case({"hooks": {"pre_run": hook("says_skip")}}, nothing_special, COMPLETED, "skipped", 0, True),
    "aborted by a hook": Case(
        {"hooks": {"pre_run": hook("fails", "fail")}}, nothing_special, FAILED, "failed", 1, False
    ),
    "failed by a hook afterwards": Case(
        {"hooks": {"on_success": hook("fails", "fail")}}, nothing_special, FAILED, "failed", 1, False
    ),
    "warned by a hook": Case({"hooks": {"on_success": hook("fails")}}, nothing_special, COMPLETED, "passed", 0, True),
    "on-run-start failed": Case({}, on_run_start_fails, FAILED, "failed", 1, False),
    "not stored": Case({}, storing_fails, FAILED, "failed", 1, False),
}


async def dbt_status(run: TemporalRun) -> str | None:
    pairs = (await run.handle.describe()).typed_search_attributes
    return next((str(pair.value) for pair in pairs if pair.key.name == "DbtStatus"), None)


async def submitted_by_cli(
    runs: RunHarness, run_input: Mapping[str, Any], workflow_id: str, showing: Showing | None = None
) -> tuple[int, str]:
    """What a person at a terminal gets: the exit code, and all that is printed."""
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    submission = Submission(
        parse_run_input(run_input), workflow_id, wait=True, wait_for_worker_secs=60, showing=showing or Showing()
    )
    exit_code = await submit_to(runs.gateway, submission, None, console, console)
    return exit_code, printed.getvalue()


@pytest.mark.parametrize(("fails", "said"), [(False, ""), (True, "Failure in model a\n")], ids=["passed", "failed"])
async def test_a_quiet_terminal_gets_failures_alone(runs: RunHarness, fails: bool, said: str) -> None:
    runs.engine.run_plan = plan(node("a"))
    if fails:
        a_fails(runs)
    await runs.start_worker()
    exit_code, printed = await submitted_by_cli(runs, {}, runs.task_queue, Showing(level="error"))
    assert exit_code == int(fails)
    assert said in printed
    assert bool(printed) is fails
    assert "START" not in printed


async def test_in_json_each_event_of_a_run_is_a_line_with_its_node(runs: RunHarness) -> None:
    a_fails(runs)
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    await runs.start_worker()
    exit_code, printed = await submitted_by_cli(runs, {}, runs.task_queue, Showing("json"))
    assert exit_code == 1
    lines = [json.loads(line) for line in printed.splitlines()]
    assert {line["info"]["invocation_id"] for line in lines} == {(await runs.gateway.invocation_id(runs.task_queue))}
    nodes = [
        (line["info"]["name"], info["unique_id"], info["node_status"])
        for line in lines
        if (info := line["data"].get("node_info")) is not None
    ]
    assert nodes == [
        ("LogStartLine", "model.shop.a", "started"),
        ("LogModelResult", "model.shop.a", "error"),
        ("SkippingDetails", "model.shop.b", "skipped"),
        ("RunResultError", "model.shop.a", "error"),
    ]
    assert lines[0]["data"]["workflow_id"] == runs.task_queue
    assert lines[-1]["info"]["msg"].startswith("Done. PASS=0")


@pytest.mark.parametrize("name", CASES)
async def test_an_ending_is_the_same_wherever_it_is_told(runs: RunHarness, name: str) -> None:
    case = CASES[name]
    queue = f"{runs.task_queue}-hooks"
    hooks = {
        event: [{**each, "task_queue": queue} for each in of_event]
        for event, of_event in case.run_input.get("hooks", {}).items()
    }
    run_input = {**case.run_input, "hooks": hooks}
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    case.prepare(runs)
    await runs.start_worker()
    async with hook_worker(runs, queue):
        exit_code, printed = await submitted_by_cli(runs, run_input, runs.task_queue)
    run = runs.gateway.find(runs.task_queue)
    outcome: Outcome = await run.outcome()
    assert exit_code == case.exit_code, printed
    assert (await run.handle.describe()).status is case.workflow_status
    assert await dbt_status(run) == case.dbt_status
    assert outcome.output is not None
    assert outcome.output.success is case.success
    assert outcome.output.skipped is (case.dbt_status == "skipped")
    if case.workflow_status is FAILED:
        assert outcome.error_type == "DbtRunFailed"
        assert outcome.message
    memo = await (await run.handle.describe()).memo()
    assert memo["node_status"] == await run.handle.query("node_status")
    assert memo["log"] == await run.handle.query("run_log")
    assert (await run.handle.query("run_status"))["phase"] == "finalizing"


async def test_a_skipped_run_has_its_reason_and_no_results(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    queue = f"{runs.task_queue}-hooks"
    after = [{"workflow_type": "does_well", "task_queue": queue}]
    hooks = {
        "pre_run": [
            {"workflow_type": "says_skip", "task_queue": queue},
            {"workflow_type": "fails", "task_queue": queue},
        ],
        "on_success": after,
        "on_failure": after,
    }
    async with hook_worker(runs, queue):
        run = await runs.submit({"hooks": hooks})
        outcome = await run.outcome()
    assert outcome.output is not None
    assert (outcome.output.skip_reason, outcome.output.node_results) == ("nothing new", [])
    assert outcome.output.artifacts is None
    assert outcome.output.hook_errors == []
    assert scheduled(await history(run.handle)) == ["plan_project", "end_run"]


async def test_a_cancelled_run_is_cancelled_everywhere(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    runs.engine.gates[A] = asyncio.Event()
    await runs.start_worker()
    follower = asyncio.create_task(submitted_by_cli(runs, {}, runs.task_queue))
    await runs.has_begun(A)
    # Ctrl-C, as the terminal sends it.
    signal.raise_signal(signal.SIGINT)
    exit_code, printed = await follower
    run = runs.gateway.find(runs.task_queue)
    assert (await run.handle.describe()).status is WorkflowExecutionStatus.CANCELED
    assert exit_code == 2, printed
    assert await wait_for(lambda: dbt_status(run)) == "cancelled"
    assert await run.handle.query("node_status") == {A: "cancelled", B: "skipped"}


async def test_a_run_that_cannot_be_planned_is_failed_by_its_type(runs: RunHarness) -> None:
    exit_code, printed = 0, ""
    await runs.start_worker()
    exit_code, printed = await submitted_by_cli(runs, {"project": "nope"}, runs.task_queue)
    run = runs.gateway.find(runs.task_queue)
    assert exit_code == 2
    assert "'nope'" in printed
    assert (await run.handle.describe()).status is FAILED
    assert (await run.outcome()).error_type == "ProjectNotFound"
    assert (await run.handle.query("run_status"))["total_nodes"] == 0


async def test_the_stored_log_holds_the_lines_of_hooks_that_come_after_it(runs: RunHarness) -> None:
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"))
    queue = f"{runs.task_queue}-hooks"
    hooks = {"on_success": [{"workflow_type": "does_well", "task_queue": queue}]}
    async with hook_worker(runs, queue):
        run = await runs.submit({"hooks": hooks})
        outcome = await run.outcome()
    assert outcome.output is not None
    stored = runs.store.files[f"{outcome.output.invocation_id}/log.txt"].decode().splitlines()
    assert stored[-1] == "on_success hook does_well: OK"
    assert stored == await run.handle.query("run_log")


async def test_a_run_that_a_hook_aborted_stores_its_log(runs: RunHarness) -> None:
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"))
    hooks = {"pre_run": [{"workflow_type": "nobody", "task_queue": "nobody", "timeout_secs": 1, "on_error": "fail"}]}
    run = await runs.submit({"hooks": hooks})
    outcome = await run.outcome()
    assert outcome.output is not None
    assert outcome.output.log_path == f"memory://{outcome.output.invocation_id}/log.txt"
    stored = runs.store.files[f"{outcome.output.invocation_id}/log.txt"].decode()
    assert "pre_run hook nobody: ERROR (fail) timed out after 1 seconds" in stored
    assert runs.engine.executed == []


async def test_a_run_that_cannot_be_set_up_stores_its_log(runs: RunHarness) -> None:
    runs.write_artifacts = True
    runs.engine.run_plan = plan(node("a"))

    class Refuses(FakeEngineRun):
        async def before_run(self, progress: Progress, attempt: int = 1, lost: LostWork | None = None) -> Prepared:
            raise FakeEngine.crash()

    runs.engine.run_class = Refuses
    run = await runs.submit()
    outcome = await run.outcome()
    assert outcome.error_type == "EngineCrashed"
    run_id = (await run.handle.describe()).run_id
    assert "Setting up the run failed:" in runs.store.files[f"{run_id}/log.txt"].decode()
    assert await dbt_status(run) == "failed"
