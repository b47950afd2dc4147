"""What a run on dbt v2 comes to when nodes and hooks fail, and what it is given."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.adapters.project_files import content_revision
from dbt_temporal.application.ports.engine import CompletedNode
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import drive, new_invocation, opened
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import wait_for
from tests.integration.v2.installed import make_project, needs_dbt_v2, on_duckdb, on_postgres
from tests.integration.v2.runs import FAILS_ONCE, HOOKS, run, stored, words

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]


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


async def test_what_is_below_a_model_that_takes_too_long_is_not_built_on_what_an_earlier_run_has_left(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/slow.sql": "select 1 as id, cast(pg_sleep(600) as text) as slept",
            "models/below.sql": "select id from {{ ref('slow') }}",
            "models/lower.sql": "select id from {{ ref('below') }}",
        },
    )
    postgres.execute("create schema built; create table built.slow as select 1 as id")
    limits = {"retry": {"max_attempts": 1}, "timeouts": {"node_secs": 2}}
    output = await run(v2_engine, location, {"env": on_postgres(postgres)}, tmp_path / "store", **limits)

    expected = {"slow": "error", "below": "skipped", "lower": "skipped"}
    assert {result.unique_id.rpartition(".")[2]: result.status for result in output.node_results} == expected
    assert postgres.query("select 1 from pg_tables where schemaname = 'built' and tablename <> 'slow'") == []
    results = stored(tmp_path / "store", output, "run_results.json")["results"]
    assert {each["unique_id"].rpartition(".")[2]: each["status"] for each in results} == expected


async def test_nodes_that_the_run_has_given_up_are_not_run_to_their_end(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/first.sql": "select 1 as id",
            "models/slow.sql": "select id, cast(pg_sleep(600) as text) as slept from {{ ref('first') }}",
        },
    )
    engine_run = opened(v2_engine, location, new_invocation(env=on_postgres(postgres)))
    await engine_run.plan()
    await engine_run.before_run(_silent)
    first = await engine_run.execute_node("model.any.first", _silent)
    await wait_for(lambda: _sleeps(postgres), what="dbt has gone on by itself")
    # An operator has turned fail-fast on, of which dbt knows nothing.
    assert await engine_run.after_run([], _silent) == []
    assert await _sleeps(postgres) is False
    artifacts = await engine_run.artifacts([CompletedNode(first.result)], 1.0)
    assert json.loads(artifacts["run_results.json"].read_bytes())["results"][0]["status"] == "success"


async def _sleeps(postgres: PostgresDatabase) -> bool:
    found = await asyncio.to_thread(postgres.query, "select 1 from pg_stat_activity where wait_event = 'PgSleep'")
    return bool(found)


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


async def test_artifacts_of_an_earlier_run_are_deferred_to_and_compared_with(
    v2_engine: DbtV2Engine, tmp_path: Path
) -> None:
    location = make_project(
        tmp_path / "project",
        {"models/a.sql": "select 1 as id", "models/b.sql": "select id from {{ ref('a') }}"},
    )
    (tmp_path / "project" / "dbt_project.yml").write_text(
        "name: any\nversion: '1.0'\nprofile: any\nmodels: {any: {+schema: \"{{ var('where', 'nowhere') }}\"}}\n",
        encoding="utf-8",
    )
    env = on_duckdb(tmp_path)
    earlier = await run(v2_engine, location, {"env": env, "vars": {"where": "prod"}}, tmp_path / "store")
    manifest = str(tmp_path / "store" / earlier.invocation_id / "manifest.json")

    deferred = {"env": env, "vars": {"where": "dev"}, "select": "b", "defer_manifest_ref": manifest}
    output = await run(v2_engine, location, deferred, tmp_path / "store")
    assert words(output) == {"b": "success"}
    built = stored(tmp_path / "store", output, "manifest.json")["nodes"]["model.any.b"]
    assert (built["schema"], "main_prod" in built["compiled_code"]) == ("main_dev", True)

    same = {"env": env, "vars": {"where": "prod"}, "select": "state:modified", "state_manifest_ref": manifest}
    assert words(await run(v2_engine, location, same, tmp_path / "store")) == {}


@pytest.mark.parametrize(("sample", "found"), [({"start": "2023-12-31", "end": "2024-01-02"}, 1), ("3 days", 2)])
async def test_a_sample_has_rows_of_its_window_alone(
    v2_engine: DbtV2Engine, tmp_path: Path, sample: str | dict[str, str], found: int
) -> None:
    happened = "{{ config(event_time='happened') }} select timestamp '2024-01-01' as happened"
    recent = " union all select now()::timestamp - interval 1 hour" * 2
    location = make_project(
        tmp_path / "project",
        {
            "models/all_rows.sql": happened + recent,
            "models/some.sql": "select count(*) as n from {{ ref('all_rows') }}",
            "analyses/read.sql": "select n from {{ ref('some') }}",
        },
    )
    env = on_duckdb(tmp_path)
    assert (await run(v2_engine, location, {"env": env, "sample": sample}, tmp_path / "store")).success
    shown = await run(v2_engine, location, {"env": env, "command": "show", "select": "read"}, tmp_path / "store")
    assert shown.rows == [{"n": found}]


async def test_a_mended_project_goes_on_with_what_had_failed_and_what_was_skipped_for_it(
    v2_engine: DbtV2Engine, tmp_path: Path
) -> None:
    files = {"models/shaky.sql": "select no_such_column as id", "models/below.sql": "select id from {{ ref('shaky') }}"}
    location = make_project(tmp_path / "project", files)
    first = replace(location, revision=content_revision(location.project_dir), changeable=True)
    invocation = new_invocation(env=on_duckdb(tmp_path))
    run_before = opened(v2_engine, first, invocation)
    await run_before.plan()
    await run_before.before_run(_silent)
    failed = await run_before.execute_node("model.any.shaky", _silent)
    assert failed.error is not None
    assert not failed.error.retryable
    assert (await run_before.execute_node("model.any.below", _silent)).result.dbt_status == "skipped"

    make_project(tmp_path / "project", files | {"models/shaky.sql": "select 7 as id"})
    mended = replace(first, revision=content_revision(location.project_dir))
    run_after = opened(v2_engine, mended, invocation)
    await run_after.plan()
    for unique_id in ("model.any.shaky", "model.any.below"):
        outcome = await run_after.execute_node(unique_id, _silent, attempt=2)
        assert (outcome.result.unique_id, outcome.result.status) == (unique_id, "success")
    await run_after.after_run([], _silent)
    with pytest.raises(DbtTemporalError, match="has another revision by now"):
        await v2_engine.load_project(replace(first, revision="0" * 40))
    await v2_engine.end_run(invocation.invocation_id)


def _silent(_facts: object) -> None:
    """For steps that nobody watches."""


async def test_what_nodes_hooks_and_planning_say_is_in_the_run_s_log(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    says = "{{ log('logged by the model', info=True) }}{{ print('printed by it') }}"
    talks = f"{{{{ print('printed by the parse') }}}}{{% if execute %}}{says}{{% endif %}}select 1 as id"
    hook = "on-run-start: \"{% if execute %}{{ log('told by a hook', info=True) }}{% endif %}\"\n"
    location = make_project(tmp_path / "project", {"models/talks.sql": talks}, more=hook)
    asked = {"env": on_duckdb(tmp_path), "select": "talks"}
    output = await run(v2_engine, location, asked, tmp_path / "store")

    assert output.success
    log = (tmp_path / "store" / output.invocation_id / "log.txt").read_text()
    assert {said: log.count(said) for said in ("logged by the model", "printed by it", "told by a hook")} == {
        "logged by the model": 1,
        "printed by it": 1,
        "told by a hook": 1,
    }
    assert log.index("printed by the parse") < log.index(" START ") < log.index("printed by it")
    assert "unique_id" not in log
