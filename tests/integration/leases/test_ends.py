"""A lease ends with its run, however that ends; and a run that was reset has it still."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from dbt_temporal.adapters.temporal.closed_runs import finding
from dbt_temporal.adapters.temporal.closed_runs.finding import ClosedRuns
from dbt_temporal.adapters.temporal.closed_runs.messages import TidiedRun, TidyInput
from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.adapters.temporal.leases import client as lease_client
from dbt_temporal.adapters.temporal.leases import workflow as lease_workflow
from dbt_temporal.application.ports.runs import Ending
from tests.integration.leases.leased_runs import A, LeasedRuns
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for


@pytest.fixture
def leased(runs: RunHarness, monkeypatch: pytest.MonkeyPatch) -> LeasedRuns:
    monkeypatch.setattr(lease_workflow, "LOOK_SECS", 0.5)
    monkeypatch.setattr(lease_client, "SETTLED_SECS", 1.0)
    return LeasedRuns(runs)


async def reset(run: TemporalRun, event_id: int) -> TemporalRun:
    """The same run from one of its workflow tasks on."""
    client = run.handle._client
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=run.workflow_id),
        reason="test",
        workflow_task_finish_event_id=event_id,
        request_id=uuid4().hex,
    )
    answer = await client.workflow_service.reset_workflow_execution(request)
    return TemporalRun(client.get_workflow_handle(run.workflow_id, run_id=answer.run_id))


async def last_task(run: TemporalRun) -> int:
    """The event of the workflow task that came last."""
    events = await history(run.handle)
    return [event.event_id for event in events if event.HasField("workflow_task_completed_event_attributes")][-1]


async def first_task(_run: TemporalRun) -> int:
    return 4


async def tidied(leased: LeasedRuns, run: TemporalRun) -> TidiedRun:
    run_id = (await run.handle.describe()).run_id
    which = TidyInput(workflow_id=run.workflow_id, run_id=run_id)
    return await (await ClosedRuns(leased.runs.client, leased.runs.task_queue).tidy(which)).result()


async def test_a_run_that_was_terminated_has_it_no_longer(leased: LeasedRuns) -> None:
    first = await leased.holder()
    second = await leased.waiter()
    await first.terminate("test")
    leased.gate.set()
    assert (await second.outcome()).ending is Ending.COMPLETED


async def test_a_run_that_was_terminated_has_it_until_its_statements_have_ended(
    leased: LeasedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_client, "SETTLED_SECS", 600.0)
    first = await leased.holder("a")
    second = await leased.waiter("a")
    await first.terminate("test")
    third = await leased.waiter("a")  # which has looked, too
    assert [name for name, granted in await leased.claimants() if granted] == [first.workflow_id]
    monkeypatch.setattr(lease_client, "SETTLED_SECS", 0.0)
    leased.gate.set()
    assert (await second.outcome()).ending is Ending.COMPLETED
    assert (await third.outcome()).ending is Ending.COMPLETED


async def test_a_run_that_was_terminated_while_it_waited_is_in_nobodys_way(leased: LeasedRuns) -> None:
    first = await leased.holder("a")
    second = await leased.waiter("a b")
    third = await leased.waiter("b")
    await second.terminate("test")
    await leased.until_claimed_by(first, third)
    assert [granted for _, granted in await leased.claimants()] == [True, True]


async def test_who_does_not_wait_is_not_refused_for_a_run_that_was_terminated(
    leased: LeasedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_workflow, "LOOK_SECS", 600.0)
    monkeypatch.setattr(lease_client, "SETTLED_SECS", 0.0)
    leased.runs.config["concurrency"] = {"per": "relation", "if_taken": "fail"}
    first = await leased.holder()
    await first.terminate("test")
    leased.gate.set()
    assert (await (await leased.runs.submit({"select": "a"})).outcome()).ending is Ending.COMPLETED


@pytest.mark.parametrize("task", [first_task, last_task])
async def test_a_run_that_was_reset_has_it_still(leased: LeasedRuns, task: Callable[[TemporalRun], Any]) -> None:
    first = await leased.holder()
    second = await leased.waiter()
    again = await reset(first, await task(first))
    await leased.until_claimed_by(first, second)
    leased.gate.set()
    assert (await again.outcome()).ending is Ending.COMPLETED
    assert (await second.outcome()).ending is Ending.COMPLETED
    assert leased.runs.engine.executed[-1] == A


@pytest.mark.parametrize("task", [first_task, last_task])
async def test_a_run_that_was_reset_while_it_waited_keeps_its_place(
    leased: LeasedRuns, task: Callable[[TemporalRun], Any]
) -> None:
    first = await leased.holder()
    second = await leased.waiter()
    third = await leased.waiter()
    again = await reset(second, await task(second))
    await leased.waits(again)
    await leased.until_claimed_by(first, second, third)
    leased.gate.set()
    assert (await again.outcome()).ending is Ending.COMPLETED
    assert (await third.outcome()).ending is Ending.COMPLETED


async def test_a_run_that_was_terminated_while_it_waited_is_tidied_up(leased: LeasedRuns) -> None:
    leased.runs.write_artifacts = True
    first = await leased.holder()
    second = await leased.waiter()
    await second.terminate("test")
    report = await tidied(leased, second)
    assert (report.project, report.skipped, report.artifacts) == ("shop", 0, None)
    assert report.note == "it ended before anything of it ran; its log is stored"
    log = leased.runs.store.files[f"{report.invocation_id}/log.txt"].decode()
    assert "The run waits" in log
    assert "The run was terminated" in log
    await leased.until_claimed_by(first)


async def test_a_run_that_has_waited_and_was_terminated_later_is_tidied_up_and_gives_its_lease_back(
    leased: LeasedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_workflow, "LOOK_SECS", 600.0)
    monkeypatch.setattr(finding, "SETTLED_AFTER", timedelta())
    leased.runs.write_artifacts = True

    async def second_has_begun() -> bool:
        return leased.runs.engine.executed == [A, A]

    first = await leased.holder()
    second = await leased.waiter()
    await first.cancel()
    await first.outcome()
    await wait_for(second_has_begun, what="the second run's node runs")
    third = await leased.waiter()
    await second.terminate("test")
    report = await tidied(leased, second)
    assert (report.failed, report.artifacts is None) == (1, False)
    await leased.until_claimed_by(third)
    leased.gate.set()
    assert (await third.outcome()).ending is Ending.COMPLETED
