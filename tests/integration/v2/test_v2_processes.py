"""What becomes of a run when its process is killed, cancelled, or has to wait."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import wait_for
from tests.integration.v2.installed import make_project, needs_dbt_v2, on_duckdb, on_postgres
from tests.integration.v2.runs import run

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]


async def test_two_runs_on_one_duckdb_file_take_turns(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", {f"models/m{each}.sql": "select 1 as id" for each in range(20)})
    given = {"env": on_duckdb(tmp_path)}
    outputs = await asyncio.gather(*(run(v2_engine, location, given, tmp_path / "store") for _ in range(3)))

    assert [output.success for output in outputs] == [True, True, True]


async def test_nodes_of_a_process_that_was_killed_are_tried_again_after_their_statements_were_ended(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/first.sql": "select 1 as id",
            "models/slow.sql": "select id, cast(pg_sleep(case when nextval('slept') = 1 then 60 else 0 end) as text) "
            "as z from {{ ref('first') }}",
            "models/below.sql": "select id from {{ ref('slow') }}",
        },
    )
    postgres.execute("create sequence slept")
    going = asyncio.create_task(run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store"))
    pid = await wait_for(lambda: _sleeping_process(postgres, tmp_path), what="the model sleeps")
    os.kill(pid, signal.SIGKILL)
    output = await going

    assert output.success, output
    attempts = {result.unique_id: result.attempts for result in output.node_results}
    assert attempts == {"model.any.first": 1, "model.any.slow": 2, "model.any.below": 1}
    assert postgres.query(
        "select count(*) from pg_stat_activity where query like '%pg_sleep%' and state = 'active' "
        "and pid <> pg_backend_pid()"
    ) == [(0,)]


async def test_a_killed_process_whose_nodes_are_not_tried_again_leaves_no_statement_behind(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    model = (
        "{{ config(meta={'dbt_temporal': {'retry': {'max_attempts': 1}}}) }} select cast(pg_sleep(600) as text) as z"
    )
    location = make_project(tmp_path / "project", {"models/endless.sql": model, "models/other.sql": model})
    going = asyncio.create_task(run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store"))
    pid = await wait_for(lambda: _sleeping_process(postgres, tmp_path), what="the models sleep")
    os.kill(pid, signal.SIGKILL)
    output = await going

    assert {result.status for result in output.node_results} == {"error"}
    assert postgres.query("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == [(0,)]


async def _sleeping_process(postgres: PostgresDatabase, folder: Path) -> int | None:
    asleep = await asyncio.to_thread(
        postgres.query,
        "select pid from pg_stat_activity where wait_event = 'PgSleep' and application_name like 'dbt-temporal %'",
    )
    if not asleep:
        return None
    return await asyncio.to_thread(_newest_process, folder)


def _newest_process(folder: Path) -> int:
    newest = max(folder.glob("cache/v2/runs/*/processes/*/process.json"), key=lambda each: each.stat().st_mtime)
    return int(json.loads(newest.read_bytes())["pid"])


async def test_a_cancelled_run_ends_its_statements_and_keeps_what_was_done(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/first.sql": "select 1 as id",
            "models/slow.sql": "select id, cast(pg_sleep(600) as text) as z from {{ ref('first') }}",
            "models/below.sql": "select id from {{ ref('slow') }}",
        },
    )
    going = asyncio.create_task(run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store"))
    await wait_for(lambda: _sleeping_process(postgres, tmp_path), what="the model sleeps")
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going

    assert postgres.query("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == [(0,)]
    (results,) = (tmp_path / "store").glob("*/run_results.json")
    statuses = {entry["unique_id"]: entry["status"] for entry in json.loads(results.read_bytes())["results"]}
    assert statuses == {"model.any.first": "success", "model.any.slow": "error", "model.any.below": "skipped"}


async def test_a_node_that_takes_too_long_is_ended_and_the_others_go_on(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/endless.sql": "{{ config(meta={'dbt_temporal': {'timeout_secs': 3, "
            "'retry': {'max_attempts': 1}}}) }} select 1 as id, cast(pg_sleep(600) as text) as z",
            "models/late.sql": "{{ config(materialized='incremental', unique_key='id', "
            "meta={'dbt_temporal': {'retry': {'max_attempts': 1}}}) }}"
            "select 1 as id, cast(pg_sleep(case when nextval('slept') = 1 then 600 else 0 end) as text) as z",
        },
    )
    postgres.execute("create sequence slept")
    output = await run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store")

    assert {result.unique_id: (result.status, result.attempts) for result in output.node_results} == {
        "model.any.endless": ("error", 1),
        "model.any.late": ("success", 1),
    }
