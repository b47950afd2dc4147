"""What a run on dbt v2 comes to when nodes, hooks and processes fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.adapters.in_process.runtime import run_in_process
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import DbtRunOutput
from tests.integration.engine_driver import drive, new_invocation, opened
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import wait_for
from tests.integration.v2.installed import make_project, needs_dbt_v2, on_duckdb, on_postgres

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]

FAILS_ONCE = """
create sequence tries;
create function fails_once() returns int language plpgsql as $$
begin
  if nextval('tries') = 1 then raise exception 'deadlock detected' using errcode = '40P01'; end if;
  return 1;
end $$;
"""
HOOKS = """
on-run-start: "create table if not exists {{ target.schema }}.hooks (what text)"
on-run-end: "insert into {{ target.schema }}.hooks values ('{{ results | map(attribute='status') | join(',') }}')"
"""


async def run(
    engine: DbtV2Engine, location: ProjectLocation, run_input: Mapping[str, Any], store: Path, **config: Any
) -> DbtRunOutput:
    """A run with retries, as a worker makes it."""
    loaded = await engine.load_project(location)
    retry = {"initial_interval_secs": 0.05, "max_interval_secs": 0.1}
    project = ReadyProject(loaded, ProjectConfig.model_validate({"retry": retry, **config}))
    use_cases = UseCases.build(
        engine, ProjectRegistry([project]), FsspecArtifactStore(str(store)), write_artifacts=True
    )
    return await run_in_process(dict(run_input), use_cases)


def words(output: DbtRunOutput) -> dict[str, str | None]:
    return {result.unique_id.rpartition(".")[2]: result.dbt_status for result in output.node_results}


def stored(store: Path, output: DbtRunOutput, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((store / output.invocation_id / name).read_bytes())
    return document


async def test_a_transient_error_is_tried_again_in_a_further_process_with_what_was_skipped_for_it(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/steady.sql": "select 1 as id",
            "models/shaky.sql": "select fails_once() as id",
            "models/below.sql": "select id from {{ ref('shaky') }}",
            "models/_models.yml": "models: [{name: shaky, columns: [{name: id, data_tests: [unique]}]}]",
        },
    )
    postgres.execute(FAILS_ONCE)
    output = await run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store")

    assert output.success, output
    assert set(words(output).values()) == {"success", "pass"}
    attempts = {result.unique_id: result.attempts for result in output.node_results}
    assert attempts["model.any.shaky"] == 2
    assert attempts["model.any.steady"] == 1
    results = stored(tmp_path / "store", output, "run_results.json")["results"]
    assert {entry["unique_id"]: entry["status"] for entry in results} == {
        result.unique_id: result.dbt_status for result in output.node_results
    }
    assert postgres.query("select id from built.below") == [(1,)]


async def test_hooks_run_in_each_process_as_with_dbt_retry(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(tmp_path / "project", {"models/shaky.sql": "select fails_once() as id"}, more=HOOKS)
    postgres.execute("create schema built")
    postgres.execute(FAILS_ONCE)
    output = await run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store")

    assert output.success
    assert postgres.query("select what from built.hooks") == [("error",), ("success",)]


async def test_what_fails_for_good_is_tried_once_and_what_is_below_is_skipped_by_dbts_word(
    v2_engine: DbtV2Engine, tmp_path: Path
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/wrong.sql": "select no_such_column",
            "models/below.sql": "select * from {{ ref('wrong') }}",
            "models/beside.sql": "select 1 as id",
            "tests/fails.sql": "select 1 from {{ ref('beside') }}",
            "models/after_test.sql": "select id from {{ ref('beside') }}",
        },
    )
    output = await run(v2_engine, location, {"env": on_duckdb(tmp_path)}, tmp_path / "store")

    assert not output.success
    found = {result.unique_id.split(".")[2]: result.dbt_status for result in output.node_results}
    assert found == {
        "wrong": "error",
        "below": "skipped",
        "beside": "success",
        "fails": "fail",
        "after_test": "skipped",
    }
    assert all(result.attempts == 1 for result in output.node_results)
    wrong = next(result for result in output.node_results if result.unique_id == "model.any.wrong")
    assert wrong.message is not None
    assert "no_such_column" in wrong.message


async def test_a_failed_on_run_start_keeps_all_nodes_from_running(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    location = make_project(
        tmp_path / "project", {"models/one.sql": "select 1 as id"}, more='on-run-start: "select nope"\n'
    )
    output = await run(v2_engine, location, {"env": on_duckdb(tmp_path)}, tmp_path / "store")

    assert not output.success
    assert words(output) == {"one": "skipped"}


async def test_a_failed_on_run_end_fails_the_run_and_the_artifacts_keep_what_nodes_came_to(
    v2_engine: DbtV2Engine, tmp_path: Path
) -> None:
    location = make_project(
        tmp_path / "project", {"models/one.sql": "select 1 as id"}, more='on-run-end: "select nope"\n'
    )
    output = await run(v2_engine, location, {"env": on_duckdb(tmp_path)}, tmp_path / "store")

    assert not output.success
    assert words(output) == {"one": "success"}
    results = stored(tmp_path / "store", output, "run_results.json")["results"]
    assert [(entry["unique_id"], entry["status"]) for entry in results] == [("model.any.one", "success")]


async def test_fail_fast_ends_what_runs_and_begins_nothing_more(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/a_wrong.sql": "select no_such_column",
            "models/slow.sql": "select 1 as id, cast(pg_sleep(60) as text) as slept",
            "models/below_slow.sql": "select id from {{ ref('slow') }}",
        },
    )
    output = await run(v2_engine, location, {"env": on_postgres(postgres), "fail_fast": True}, tmp_path / "store")

    assert words(output) == {"a_wrong": "error", "slow": "skipped", "below_slow": "skipped"}
    assert (
        postgres.query(
            "select 1 from pg_stat_activity where state = 'active' and query like '%pg_sleep(60)%' "
            "and pid <> pg_backend_pid()"
        )
        == []
    )


async def test_a_database_that_takes_no_connection_is_an_error_worth_another_attempt(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(tmp_path / "project", {"models/one.sql": "select 1 as id"})
    env = on_postgres(postgres) | {"ANY_PG_PORT": "1"}
    engine_run = opened(v2_engine, location, new_invocation(env=env))
    await engine_run.plan()
    with pytest.raises(DbtTemporalError) as raised:
        await engine_run.before_run(lambda _facts: None)

    assert (raised.value.error_type, raised.value.retryable, raised.value.unreachable) == (
        ErrorType.ADAPTER,
        True,
        True,
    )


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
            "models/late.sql": "{{ config(materialized='incremental', unique_key='id') }}"
            "select 1 as id, cast(pg_sleep(case when nextval('slept') = 1 then 600 else 0 end) as text) as z",
        },
    )
    postgres.execute("create sequence slept")
    output = await run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store")

    assert {result.unique_id: result.status for result in output.node_results} == {
        "model.any.endless": "error",
        "model.any.late": "success",
    }


async def test_nothing_is_written_into_the_project(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", {"models/one.sql": "select 1 as id", ".gitignore": "target/\n"})
    before = {path: path.read_bytes() for path in (tmp_path / "project").rglob("*") if path.is_file()}
    await run(v2_engine, location, {"env": on_duckdb(tmp_path)}, tmp_path / "store")

    assert {path: path.read_bytes() for path in (tmp_path / "project").rglob("*") if path.is_file()} == before


async def test_runs_see_their_own_variables_environment_and_target(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/one.sql": "select '{{ var('what', 'none') }} {{ env_var('WHO', 'nobody') }} {{ invocation_id }} "
            "{{ run_started_at.isoformat() }}' as said"
        },
    )
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    invocations = [
        new_invocation(env=on_duckdb(first) | {"WHO": "me"}, vars={"what": "this"}),
        new_invocation(env=on_duckdb(second)),
    ]
    driven = await asyncio.gather(*(drive(v2_engine, location, each) for each in invocations))

    assert all(each.output.success for each in driven)
    said = [json.loads(each.artifacts["manifest.json"])["nodes"]["model.any.one"]["compiled_code"] for each in driven]
    ids = [invocation.invocation_id for invocation in invocations]
    assert said[0].startswith(f"select 'this me {ids[0]}")
    assert said[1].startswith(f"select 'none nobody {ids[1]}")
    for each, invocation in zip(driven, invocations, strict=True):
        metadata = json.loads(each.artifacts["run_results.json"])["metadata"]
        assert metadata["invocation_id"] == invocation.invocation_id
        assert invocation.started_at[:19] in said[driven.index(each)]
