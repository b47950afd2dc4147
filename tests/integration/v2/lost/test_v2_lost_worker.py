"""A worker program that dies while dbt v2 runs a whole selection for it, and another one that takes over."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from temporalio.client import Client

from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from tests.integration.postgres import PostgresDatabase
from tests.integration.programs import Desk, Program, started
from tests.integration.servers import wait_for
from tests.integration.v2.installed import BINARY, environment, make_project, needs_dbt_v2, on_postgres

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]

CONFIG = """
engine: v2
retry: {initial_interval_secs: 0.1, max_interval_secs: 0.1}
timeouts: {node_heartbeat_secs: 8}
"""


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP], ids=["is killed", "stands still"])
async def test_another_worker_goes_on_with_what_was_not_done_and_the_first_ones_statement_has_ended(
    temporal_client: Client,
    temporal_address: str,
    task_queue: str,
    tmp_path: Path,
    postgres: PostgresDatabase,
    fate: signal.Signals,
) -> None:
    make_project(
        tmp_path / "project",
        {
            "dbt_temporal.yml": CONFIG,
            "models/first.sql": "{{ config(materialized='incremental') }} select 1 as id",
            "models/slow.sql": "select id, cast(pg_sleep(case when nextval('slept') = 1 then 600 else 0 end) as text) "
            "as z from {{ ref('first') }}",
            "models/below.sql": "select id from {{ ref('slow') }}",
        },
    )
    postgres.execute("create sequence slept")
    desk = _desk(tmp_path, temporal_address, task_queue)
    with started(desk, "worker") as one, started(desk, "worker") as two:
        for worker in (one, two):
            await asyncio.to_thread(worker.says, "Loaded project any")
        gateway = TemporalRunGateway(temporal_client, task_queue)
        run = await gateway.submit({"env": on_postgres(postgres)}, f"run-{uuid4().hex}")
        await wait_for(lambda: _sleepers(postgres), what="the model sleeps")

        async def first_has_ended() -> bool:  # dbt is ahead of what the run has heard
            return bool((await run.handle.query("node_status")).get("model.any.first") == "success")

        await wait_for(first_has_ended, what="the run has heard of the model before it")
        lost = one if _runs_dbt(one) else two
        lost.process.send_signal(fate)
        await wait_for(lambda: _nobody_sleeps(postgres), what="the statement has ended before its worker is given up")
        # Also one that stands still: the server gives it attempts for as long as its last questions for work are open.
        lost.process.send_signal(signal.SIGKILL)
        outcome = await run.outcome()
    assert outcome.output is not None
    results = {result.unique_id: (result.status, result.attempts) for result in outcome.output.node_results}
    assert results["model.any.first"] == ("success", 1)
    assert {status for status, _ in results.values()} == {"success"}
    assert postgres.query("select count(*) from built.first") == [(1,)]


def _desk(tmp_path: Path, temporal_address: str, task_queue: str) -> Desk:
    desk = Desk(tmp_path)
    desk.env |= {
        **{name: environment()[name] for name in ("LD_LIBRARY_PATH", "XDG_CACHE_HOME")},
        "DBT_ALLOW_EXPERIMENTAL_ADAPTERS": "true",
        "DBT_TEMPORAL_V2_BINARY": str(BINARY),
        "DBT_PROJECT_DIRS": str(tmp_path / "project"),
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_TASK_QUEUE": task_queue,
        "ARTIFACT_STORE": str(tmp_path / "store"),
        "WRITE_ARTIFACTS": "true",
    }
    return desk


def _runs_dbt(worker: Program) -> bool:
    return any("--invocation-id" in each.cmdline() for each in psutil.Process(worker.process.pid).children())


async def _sleepers(postgres: PostgresDatabase) -> int:
    return len(await asyncio.to_thread(postgres.query, "select 1 from pg_stat_activity where wait_event = 'PgSleep'"))


async def _nobody_sleeps(postgres: PostgresDatabase) -> bool:
    return await _sleepers(postgres) == 0


async def test_a_worker_that_is_lost_in_a_later_execution_of_the_run_has_a_successor_that_does_nothing_twice(
    temporal_client: Client, temporal_address: str, task_queue: str, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    before = {
        f"models/n{i}.sql": "{{ config(materialized='incremental') }} select 1 as id "
        + (f"from {{{{ ref('n{i - 1}') }}}} limit 1" if i else "")
        for i in range(8)
    }
    make_project(
        tmp_path / "project",
        {
            "dbt_temporal.yml": CONFIG,
            **before,
            "models/slow.sql": "select id, cast(pg_sleep(case when nextval('slept') = 1 then 600 else 0 end) as text) "
            "as z from {{ ref('n7') }}",
            "models/after.sql": "{{ config(materialized='incremental') }} select id from {{ ref('slow') }}",
        },
    )
    postgres.execute("create sequence slept")
    desk = _desk(tmp_path, temporal_address, task_queue)
    desk.env |= {"DBT_TEMPORAL_CONTINUE_AS_NEW_EVENTS": "30"}
    with started(desk, "worker") as one, started(desk, "worker") as two:
        for worker in (one, two):
            await asyncio.to_thread(worker.says, "Loaded project any")
        gateway = TemporalRunGateway(temporal_client, task_queue)
        run = await gateway.submit({"env": on_postgres(postgres)}, f"run-{uuid4().hex}")
        await wait_for(lambda: _sleepers(postgres), what="the model sleeps")

        async def goes_on() -> bool:
            newest = await temporal_client.get_workflow_handle(run.workflow_id).describe()
            statuses = await run.handle.query("node_status")
            return newest.run_id != run.handle.first_execution_run_id and statuses["model.any.slow"] == "running"

        await wait_for(goes_on, what="a later execution of the run waits for the model")
        lost = one if _runs_dbt(one) else two
        lost.process.send_signal(signal.SIGKILL)
        outcome = await run.outcome()
    assert outcome.output is not None
    assert {result.status for result in outcome.output.node_results} == {"success"}
    attempts = {result.unique_id.rpartition(".")[2]: result.attempts for result in outcome.output.node_results}
    assert attempts == {**{f"n{i}": 1 for i in range(8)}, "slow": 2, "after": 1}
    counts = [postgres.query(f"select count(*) from built.{name}") for name in ("n0", "n7", "after")]
    assert counts == [[(1,)]] * 3
