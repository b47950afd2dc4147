"""What needs a database server: sessions that are cancelled or left behind, and relations that others build."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import new_invocation, open_engine, opened, write_files
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase, postgres_env

pytestmark = pytest.mark.every_dbt_version

PROJECT = {
    **POSTGRES_PROJECT,
    "models/base.sql": "{{ config(materialized='table') }} select 1 as one",
    "models/grows.sql": "{{ config(materialized='incremental') }} select * from {{ ref('base') }}",
    "models/sees.sql": "{{ config(materialized='table') }}\n"
    "-- depends_on: {{ ref('grows') }}\n"
    "{% set found = adapter.get_relation(target.database, 'main', 'grows') %}\n"
    "select '{{ found is not none }}' as found",
    "models/sleeps.sql": "{{ config(materialized='table') }} select 1 as one from pg_sleep(600)",
    "macros/nap.sql": "{% macro nap() %}{% do run_query('select pg_sleep(600)') %}{% endmacro %}",
    "models/times_out.sql": "{{ config(materialized='table', pre_hook=\"set statement_timeout = 100\") }} "
    "select 1 as one from pg_sleep(60)",
}
BATCHED = """
{{ config(materialized='incremental', incremental_strategy='microbatch', unique_key='one', event_time='at',
          begin='2024-01-01', batch_size='year') }}
select extract(year from timestamp '{{ model.batch.event_time_start }}')::int as one,
    timestamp '{{ model.batch.event_time_start }}' as at
"""
ENDS_ITS_SESSION = """
{{{{ config(
    materialized='incremental',
    post_hook={{'sql': 'select pg_terminate_backend(pg_backend_pid())', 'transaction': {}}},
) }}}}
select 1 as one
"""
SLEEPERS = """
select count(*) from pg_stat_activity
where datname = current_database() and state = 'active' and query like '%pg_sleep(600)%' and pid <> pg_backend_pid()
"""


@pytest.fixture
def project(tmp_path: Path) -> ProjectLocation:
    folder = tmp_path / "pg"
    write_files(folder, PROJECT)
    return ProjectLocation(folder, folder)


@pytest.fixture
def environ(postgres: PostgresDatabase) -> dict[str, str]:
    return {**os.environ, **postgres_env(postgres, "PG")}


@pytest.fixture
async def engine(tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[DbtCoreEngine]:
    async with open_engine(tmp_path / "cache", environ=environ) as engine:
        yield engine


def count(database: PostgresDatabase, query: str) -> int:
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    return int(row[0]) if row else 0


async def eventually(condition: Callable[[], bool], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


async def test_a_cancelled_node_ends_its_statement_and_no_other(
    engine: DbtCoreEngine, project: ProjectLocation, postgres: PostgresDatabase
) -> None:
    invocation = new_invocation(command="run")
    facts: dict[str, Any] = {}
    sleeping = asyncio.ensure_future(opened(engine, project, invocation).execute_node("model.pg.sleeps", facts.update))
    await eventually(lambda: count(postgres, SLEEPERS) == 1)
    backend = count(postgres, SLEEPERS.replace("count(*)", "min(pid)"))
    await eventually(lambda: (facts.get("phase"), facts.get("session")) == ("executing", backend))

    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping

    assert count(postgres, SLEEPERS) == 0
    after: dict[str, Any] = {}
    outcome = await opened(engine, project, invocation).execute_node("model.pg.base", after.update)
    assert (outcome.result.status, after["host_pid"]) == ("success", facts["host_pid"])


@pytest.mark.parametrize(
    ("fields", "unique_id"),
    [
        ({"command": "run-operation", "macro": "nap"}, "macro.pg.nap"),
        ({"command": "show", "select": "sleeps"}, "model.pg.sleeps"),
    ],
)
async def test_a_cancelled_operation_or_preview_ends_its_statement(
    engine: DbtCoreEngine,
    project: ProjectLocation,
    postgres: PostgresDatabase,
    fields: dict[str, Any],
    unique_id: str,
) -> None:
    run = opened(engine, project, new_invocation(**fields))
    sleeping = asyncio.ensure_future(run.execute_node(unique_id, lambda _: None))
    await eventually(lambda: count(postgres, SLEEPERS) == 1 or sleeping.done(), within=300)
    assert not sleeping.done()
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert count(postgres, SLEEPERS) == 0


async def test_the_statement_of_a_killed_host_is_ended_by_the_next_one(
    engine: DbtCoreEngine, project: ProjectLocation, postgres: PostgresDatabase
) -> None:
    invocation = new_invocation(command="run")
    facts: dict[str, Any] = {}
    sleeping = asyncio.ensure_future(opened(engine, project, invocation).execute_node("model.pg.sleeps", facts.update))
    await eventually(lambda: count(postgres, SLEEPERS) == 1)

    os.kill(facts["host_pid"], signal.SIGKILL)
    with pytest.raises(DbtTemporalError) as caught:
        await sleeping
    assert caught.value.error_type is ErrorType.ENGINE_CRASHED

    outcome = await opened(engine, project, invocation).execute_node("model.pg.base", facts.update)
    assert outcome.result.status == "success"
    await eventually(lambda: count(postgres, SLEEPERS) == 0)


@pytest.mark.parametrize(("within_transaction", "rows", "retryable"), [(True, 0, True), (False, 1, False)])
async def test_a_lost_connection_is_no_reason_to_repeat_what_is_committed(
    engine: DbtCoreEngine,
    project: ProjectLocation,
    postgres: PostgresDatabase,
    within_transaction: bool,
    rows: int,
    retryable: bool,
) -> None:
    write_files(project.project_dir, {"models/appends.sql": ENDS_ITS_SESSION.format(within_transaction)})
    with closing(postgres.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("create schema if not exists main; create table main.appends (one integer)")
        connection.commit()
    outcome = await opened(engine, project, new_invocation(command="run")).execute_node(
        "model.pg.appends", lambda _: None
    )
    assert outcome.error is not None
    assert (outcome.error.error_type, outcome.error.retryable) == ("Adapter", retryable)
    assert count(postgres, "select count(*) from main.appends") == rows


async def test_a_statement_timeout_of_the_database_is_a_failure_worth_another_attempt(
    engine: DbtCoreEngine, project: ProjectLocation
) -> None:
    outcome = await opened(engine, project, new_invocation(command="run")).execute_node(
        "model.pg.times_out", lambda _: None
    )

    assert outcome.error is not None
    assert (outcome.error.error_type, outcome.error.retryable) == (ErrorType.ADAPTER, True)


async def test_a_host_sees_relations_that_another_worker_built_in_the_same_run(
    engine: DbtCoreEngine, project: ProjectLocation, tmp_path: Path, environ: dict[str, str]
) -> None:
    invocation = new_invocation(command="run", select="base grows sees")
    await opened(engine, project, invocation).plan()
    await opened(engine, project, invocation).before_run(lambda _: None)

    async with open_engine(tmp_path / "other_cache", environ=environ) as other:
        for node in ("base", "grows"):
            built = await opened(other, project, invocation).execute_node(f"model.pg.{node}", lambda _: None)
            assert built.result.status == "success"

    outcome = await opened(engine, project, invocation).execute_node("model.pg.sees", lambda _: None)
    assert b"'True' as found" in outcome.record
    again = await opened(engine, project, invocation).execute_node("model.pg.grows", lambda _: None)
    assert (again.result.status, again.result.message) == ("success", "INSERT 0 1")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_host_sees_what_another_worker_has_built_of_the_same_model(
    engine: DbtCoreEngine, project: ProjectLocation, tmp_path: Path, environ: dict[str, str], *, reset: bool
) -> None:
    write_files(project.project_dir, {"models/batched.sql": BATCHED})
    invocation = new_invocation(command="run", select="grows batched")
    run = opened(engine, project, invocation)
    await run.before_run(lambda _: None)
    async with open_engine(tmp_path / "other_cache", environ=environ) as other:
        elsewhere = opened(other, project, invocation)
        await elsewhere.execute_node("model.pg.base", lambda _: None)
        grown = await elsewhere.execute_node("model.pg.grows", lambda _: None)
        assert (grown.result.status, grown.result.message) == ("success", "SELECT 1")
        begun = await elsewhere.execute_node("model.pg.batched", lambda _: None, part=BatchPart(stage="begin"))
        assert begun.result.batches is not None
        first, second = (begun.result.batches.step(index, index > 0) for index in range(2))
        await elsewhere.execute_node("model.pg.batched", lambda _: None, part=first)

    batch = await run.execute_node("model.pg.batched", lambda _: None, part=second)
    assert (batch.result.status, batch.result.message) == ("success", "MERGE 1")
    # A further attempt; or a first one after a reset, on a host that had looked at the database before.
    later = opened(engine, project, invocation.model_copy(update={"execution": "another" if reset else ""}))
    again = await later.execute_node("model.pg.grows", lambda _: None, attempt=1 if reset else 2)
    assert (again.result.status, again.result.message) == ("success", "INSERT 0 1")


async def test_a_refused_connection_is_an_adapter_error_worth_another_attempt(
    project: ProjectLocation, tmp_path: Path, environ: dict[str, str]
) -> None:
    async with open_engine(tmp_path / "cache", environ={**environ, "PG_PORT": "1"}) as engine:
        with pytest.raises(DbtTemporalError) as caught:
            await opened(engine, project, new_invocation(command="run")).before_run(lambda _: None)

    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ADAPTER, True)
