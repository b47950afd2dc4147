"""The workflow that keeps leases: its history stays short, and large leases fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.leases import workflow as lease_workflow
from dbt_temporal.adapters.temporal.leases.client import ask
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.leases.messages import Lease, LeaseRequest, pack_keys
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.leases.leased_runs import LeasedRuns
from tests.integration.run_harness import RunHarness
from tests.integration.servers import temporal_dev_server
from tests.integration.worker.test_versioning import make_current

EVENTS = 60
"""After how many the server of `short_of_events` would have a workflow begin a new history."""


@pytest.fixture
async def short_of_events(tmp_path: Path, task_queue: str) -> AsyncIterator[RunHarness]:
    option = ["--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={EVENTS}"]
    with temporal_dev_server(tmp_path / "server.log", options=option) as address:
        client = await connect(ConnectionSettings(address=address), patience_secs=30)
        async with AsyncExitStack() as stack:
            yield RunHarness(client, task_queue, stack)


async def statuses(client: Client, handle: WorkflowHandle[object, object]) -> list[WorkflowExecutionStatus | None]:
    """Of the runs of the workflow that `handle` names by now, from the first to the newest."""
    newest = (await handle.describe()).raw_info
    found = []
    run_id: str | None = newest.first_run_id
    while run_id:
        one = client.get_workflow_handle(handle.id, run_id=run_id)
        found.append((await one.describe()).status)
        last = [event async for event in one.fetch_history_events()][-1]
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
    return found


async def test_it_begins_a_new_history_and_forgets_nobody(
    short_of_events: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_workflow, "LOOK_SECS", 0.1)
    leased = LeasedRuns(short_of_events)
    order = [await leased.holder("a"), *[await leased.waiter("a") for _ in range(6)]]
    beside = await leased.holder("b")
    await leased.until_claimed_by(*order, beside)
    leased.gate.set()
    for run in (*order, beside):
        assert (await run.outcome()).ending is Ending.COMPLETED
    await leased.until_claimed_by()
    ends = await statuses(short_of_events.client, leased.keeper)
    assert len(ends) > 1
    assert ends == [WorkflowExecutionStatus.CONTINUED_AS_NEW] * (len(ends) - 1) + [WorkflowExecutionStatus.COMPLETED]


async def test_runs_that_write_ten_thousand_relations_wait_for_each_other(runs: RunHarness) -> None:
    leased = LeasedRuns(runs)
    names = [f"analytics.marts_of_the_shop.fct_orders_by_{number}" for number in range(10_000)]
    lease = Lease(scope=leased.scope, keys=pack_keys(names), what="10000 relations")
    runs.engine.lease_of = lambda _input: lease
    first = await leased.holder()
    others = [await leased.waiter() for _ in range(2)]
    leased.gate.set()
    for run in (first, *others):
        assert (await run.outcome()).ending is Ending.COMPLETED


async def test_one_that_ends_and_one_that_asks_do_not_miss_each_other(runs: RunHarness) -> None:
    await runs.start_worker()
    leased = LeasedRuns(runs)
    lease = Lease(scope=leased.scope, keys=pack_keys(["a"]), what="a")
    for number in range(30):
        # The signal ends the workflow, or the next request comes before that.
        owner = str(number)
        request = LeaseRequest(owner=owner, workflow_id="nobody", lease=lease)
        while not (await ask(runs.client, runs.task_queue, request)).granted:
            pass
        await leased.keeper.signal("give_back", owner)


async def test_workers_with_a_version_keep_leases_too(runs: RunHarness) -> None:
    deployment = f"leases-{uuid4().hex[:8]}"
    environ = {"TEMPORAL_DEPLOYMENT_NAME": deployment, "TEMPORAL_WORKER_BUILD_ID": "1"}
    runs.versioning = read_settings(environ).versioning
    leased = LeasedRuns(runs)
    await runs.start_worker()
    await make_current(runs.client, deployment, "1")
    first = await leased.holder()
    second = await leased.waiter()
    info = (await leased.keeper.describe()).raw_description.workflow_execution_info.versioning_info
    assert info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE
    leased.gate.set()
    for run in (first, second):
        assert (await run.outcome()).ending is Ending.COMPLETED
