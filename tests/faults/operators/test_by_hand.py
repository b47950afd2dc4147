"""A node that somebody completes or fails by hand while it runs: its statement ends, and it is written once or not."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from temporalio.client import AsyncActivityHandle, Client
from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.testing import node, plan
from tests.faults.test_side_by_side import SLEEPS_LONG, SLEEPS_NO_MORE
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import wait_for
from tests.integration.worker.test_shutdown import SLEEPERS, Site

APPENDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select 1 as one from pg_sleep((select max(secs) from public.nap))"
)
SLEEPS = "model.pg.sleeps"


async def running(site: Site, client: Client) -> tuple[TemporalRun, AsyncActivityHandle]:
    """A run whose node sleeps, and the node's activity."""
    site.database.execute(SLEEPS_LONG)
    await site.worker()
    run = await site.run()
    scheduled = [event.activity_task_scheduled_event_attributes for event in await history(run.handle)]
    (activity_id,) = [each.activity_id for each in scheduled if each.activity_type.name == "model:sleeps"]
    return run, client.get_async_activity_handle(workflow_id=run.workflow_id, run_id=None, activity_id=activity_id)


def result(outcome: Outcome) -> NodeExecutionResult:
    assert outcome.output is not None, outcome.message
    (found,) = outcome.output.node_results
    return found


def rows(site: Site) -> int:
    there = site.count("select count(*) from pg_tables where schemaname = 'main' and tablename = 'sleeps'")
    return site.count("select count(*) from main.sleeps") if there else 0


async def test_a_node_that_is_completed_by_hand_has_that_result_and_its_statement_ends(
    site: Site, temporal_client: Client
) -> None:
    run, activity = await running(site, temporal_client)
    answer: dict[str, Any] = {"unique_id": SLEEPS, "status": "success", "message": "done by hand"}
    await activity.complete(answer)
    outcome = await asyncio.wait_for(run.outcome(), 60)
    assert outcome.ending is Ending.COMPLETED
    assert result(outcome).message == "done by hand"
    await site.eventually(lambda: site.count(SLEEPERS) == 0, "its statement has ended")
    assert rows(site) == 0


@pytest.mark.parametrize("error_type", ["Adapter", "EngineCrashed"])
async def test_a_node_that_is_failed_by_hand_and_tried_again_is_written_as_often_as_the_run_says(
    site: Site, temporal_client: Client, error_type: str
) -> None:
    run, activity = await running(site, temporal_client)
    site.database.execute(SLEEPS_NO_MORE)  # for the next attempt
    await activity.fail(ApplicationError("by hand", type=error_type))
    ended = result(await asyncio.wait_for(run.outcome(), 60))
    await site.eventually(lambda: site.count(SLEEPERS) == 0, "its statement has ended")
    assert rows(site) == int(ended.status == "success")
    if error_type == "Adapter":
        assert (ended.status, ended.attempts) == ("success", 2)
    else:  # as if its worker had gone
        assert ended.status == "success" or "nobody has heard how attempt" in (ended.message or "")


async def test_a_node_that_is_failed_by_hand_for_good_is_not_written(site: Site, temporal_client: Client) -> None:
    run, activity = await running(site, temporal_client)
    await activity.fail(ApplicationError("by hand", type="Adapter", non_retryable=True))
    ended = result(await asyncio.wait_for(run.outcome(), 60))
    assert (ended.status, ended.message) == ("error", "by hand")
    await site.eventually(lambda: site.count(SLEEPERS) == 0, "its statement has ended")
    assert rows(site) == 0


async def test_a_run_that_is_terminated_leaves_nobody_to_tell_of_its_nodes_and_no_warning(
    runs: RunHarness, caplog: pytest.LogCaptureFixture
) -> None:
    a = node("a")
    runs.config["timeouts"] = {"node_heartbeat_secs": 1}
    runs.engine.run_plan = plan(a)
    runs.engine.gates[a.unique_id] = asyncio.Event()
    caplog.set_level(logging.INFO)
    run = await runs.submit()
    await runs.has_begun(a.unique_id)
    await run.terminate("by hand")

    async def has_ended() -> bool:
        return "model:a cancelled" in caplog.text

    await wait_for(has_ended, what="the worker has heard of it")
    runs.engine.gates[a.unique_id].set()
    assert (await runs.run()).ending is Ending.COMPLETED  # meanwhile, all of the attempt has ended
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []
