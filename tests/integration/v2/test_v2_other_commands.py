"""Commands of dbt v2 that run no nodes, or show what they have made, against its command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import drive, new_invocation, opened
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import wait_for
from tests.integration.v2.installed import BINARY, environment, make_project, needs_dbt_v2, on_duckdb, on_postgres
from tests.integration.v2.runs import HOOKS, run, stored
from tests.integration.v2.test_v2_equality import (
    MOMENTS,
    MOMENTS_OF_MANIFEST,
    command_line,
    comparable_results,
    without,
)

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]

FILES = {
    "models/good.sql": "select 1 as id",
    "models/above.sql": "select id from {{ ref('good') }}",
    "analyses/many.sql": "select i::int as n from range(20) as numbers(i)",
    "models/_sources.yml": """
sources:
  - name: raw
    schema: main
    config:
      loaded_at_field: loaded_at
      freshness: {warn_after: {count: 1, period: day}, error_after: {count: 2, period: day}}
    tables: [{name: fresh}, {name: old}, {name: ancient}, {name: unchecked, config: {freshness: null}}]
""",
    "macros/macros.sql": """
{% macro say(word) %}
  {{ log("heard " ~ word, info=true) }}
  {% do run_query("create or replace table main.heard as select '" ~ word ~ "' as word") %}
  {{ print("said " ~ word) }}
{% endmacro %}
{% macro load() %}
  {% for name, age in [("fresh", 1), ("old", 30), ("ancient", 60)] %}
    {% do run_query("create table main." ~ name ~ " as select now() - interval " ~ age ~ " hour as loaded_at") %}
  {% endfor %}
{% endmacro %}
{% macro picky() %}
  {{ print("so far") }}
  {% do run_query("select 1 from " ~ var('source', 'no_such_table')) %}
{% endmacro %}
""",
}


def comparable_sources(document: Any) -> Any:
    moments = frozenset({"max_loaded_at", "snapshotted_at", "max_loaded_at_time_ago_in_s", *MOMENTS})
    return {entry["unique_id"]: entry for entry in without(document, moments)["results"]}


class Tools:
    """One project, of which both sides have a database of their own."""

    def __init__(self, engine: DbtV2Engine, folder: Path) -> None:
        self.location: ProjectLocation = make_project(folder / "project", FILES)
        self.engine = engine
        self.runs_folder = folder / "cache" / "v2" / "runs"
        self.store = folder / "store"
        self.ours, self.theirs = folder / "ours", folder / "theirs"
        for side in (self.ours, self.theirs):
            side.mkdir()

    async def run(self, command: str, **fields: Any) -> Any:
        run_input = {"command": command, "env": on_duckdb(self.ours), **fields}
        return await run(self.engine, self.location, run_input, self.store)

    async def cli(self, *words: str) -> None:
        await command_line(self.location.project_dir, words, on_duckdb(self.theirs))

    def a_process_says(self, text: str) -> bool:
        return any(text in path.read_text() for path in self.runs_folder.glob("*/processes/*/events.jsonl"))

    def written(self, name: str) -> Any:
        return json.loads((self.location.project_dir / "target" / name).read_bytes())

    def manifests_are_equal(self, output: Any) -> bool:
        ours = stored(self.store, output, "manifest.json")
        places = MOMENTS_OF_MANIFEST | {"root_path", "compiled_path", "generated_sql_file"}
        return bool(without(ours, places) == without(self.written("manifest.json"), places))


@pytest.fixture
def tools(v2_engine: DbtV2Engine, tmp_path: Path) -> Tools:
    return Tools(v2_engine, tmp_path)


async def test_a_macro_runs_once_as_a_node_and_says_what_it_printed(tools: Tools) -> None:
    output = await tools.run("run-operation", macro="say", args={"word": "hello"})
    await tools.cli("run-operation", "say", "--args", "{word: hello}")

    (result,) = output.node_results
    assert (result.unique_id, result.status) == ("macro.any.say", "success")
    assert result.output == "heard hello\nsaid hello"
    ours = stored(tools.store, output, "run_results.json")
    assert comparable_results(ours) == comparable_results(tools.written("run_results.json"))
    assert tools.manifests_are_equal(output)
    with duckdb.connect(str(tools.ours / "any.duckdb"), read_only=True) as connection:
        assert connection.execute("select word from main.heard").fetchall() == [("hello",)]


async def test_a_macro_that_fails_is_an_error_with_the_databases_words_and_is_retried(tools: Tools) -> None:
    failed = await tools.run("run-operation", macro="any.picky")
    (result,) = failed.node_results
    assert (failed.success, result.status, result.attempts) == (False, "error", 1)
    assert "no_such_table" in result.message
    assert result.output == "so far"
    (entry,) = stored(tools.store, failed, "run_results.json")["results"]
    assert (entry["unique_id"], entry["status"], entry["message"]) == ("any.picky", "error", result.message)

    again = await tools.run("retry", vars={"source": "(select 1)"})
    assert [result.unique_id for result in again.node_results] == ["macro.any.picky"]
    assert again.success
    assert (await tools.run("retry")).node_results == []


async def test_a_macro_waits_for_a_file_that_another_process_has(tools: Tools) -> None:
    await tools.run("run-operation", macro="say", args={"word": "first"})
    with duckdb.connect(str(tools.ours / "any.duckdb")):
        waiting = asyncio.create_task(tools.run("run-operation", macro="say", args={"word": "second"}))

        async def was_locked_out() -> bool | None:
            return await asyncio.to_thread(tools.a_process_says, "Could not set lock on file") or None

        await wait_for(was_locked_out, what="a process of dbt is locked out")
    output = await waiting
    assert output.success
    assert output.node_results[0].output == "heard second\nsaid second"


async def test_a_macro_that_there_is_not_is_refused_with_those_that_there_are(tools: Tools) -> None:
    with pytest.raises(DbtTemporalError, match="'sya' in any package; those of any are: load, picky, say"):
        await tools.run("run-operation", macro="sya")


async def test_a_statement_runs_as_a_node(tools: Tools) -> None:
    statement = "create or replace table main.by_sql as select {{ 1 + 1 }} as n"
    output = await tools.run("run-operation", sql=statement)
    await tools.cli("run-operation", "--sql", statement)
    assert [result.unique_id for result in output.node_results] == ["sql_operation.any.inline_query"]
    ours = stored(tools.store, output, "run_results.json")
    assert comparable_results(ours) == comparable_results(tools.written("run_results.json"))


@pytest.mark.parametrize("by_force", [False, True], ids=["is told to end", "has to be killed"])
async def test_a_macro_that_is_cancelled_ends_in_the_database(
    tmp_path: Path, postgres: PostgresDatabase, *, by_force: bool
) -> None:
    v2_engine = DbtV2Engine(
        tmp_path / "cache", binary=str(BINARY), environ=environment(), cancel_secs=1.0 if by_force else 30.0
    )
    macro = "{% macro sleep() %}{% do run_query('select pg_sleep(60)') %}{% endmacro %}"
    location = make_project(tmp_path / "project", {"macros/sleep.sql": macro})
    invocation = new_invocation(command="run-operation", macro="sleep", env=on_postgres(postgres))
    engine_run = opened(v2_engine, location, invocation)
    await engine_run.plan()
    told: dict[str, Any] = {}
    sleeping = asyncio.create_task(engine_run.execute_node("macro.any.sleep", told.update))
    running = (
        "select 1 from pg_stat_activity where state = 'active' and query like '%pg_sleep(60)%' "
        f"and application_name like 'dbt-temporal {invocation.invocation_id}/%'"
    )

    async def sleeps() -> bool | None:
        return bool(await asyncio.to_thread(postgres.query, running)) or None

    await wait_for(sleeps, what="the macro sleeps")
    if by_force:
        os.kill(told["host_pid"], signal.SIGSTOP)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert postgres.query(running) == []
    assert await engine_run.outcome_of("macro.any.sleep", 1) is None
    await v2_engine.end_run(invocation.invocation_id)
    await v2_engine.close()


async def test_parse_writes_the_manifest(tools: Tools) -> None:
    output = await tools.run("parse")
    await tools.cli("parse")
    assert (output.success, output.node_results) == (True, [])
    assert output.artifacts.run_results_path is None
    assert tools.manifests_are_equal(output)


async def test_debug_checks_the_connection(tools: Tools) -> None:
    output = await tools.run("debug")
    (result,) = output.node_results
    assert (result.unique_id, result.status) == ("debug.any", "success")
    assert "connection test: OK" in result.output
    assert output.artifacts.manifest_path is None
    failed = await tools.run("debug", env={"ANY_DB": str(tools.ours / "no" / "such" / "folder")})
    assert (failed.success, failed.node_results[0].status) == (False, "error")


async def test_compile_gives_each_node_its_code(tools: Tools) -> None:
    output = await tools.run("compile")
    await tools.cli("compile")
    codes = {result.unique_id: result.compiled_code for result in output.node_results}
    assert codes == {
        "model.any.good": "select 1 as id",
        "model.any.above": 'select id from "any"."main"."good"',
        "analysis.any.many": "select i::int as n from range(20) as numbers(i)",
    }
    ours = stored(tools.store, output, "run_results.json")
    assert comparable_results(ours) == comparable_results(tools.written("run_results.json"))
    assert tools.manifests_are_equal(output)


QUERY = "-- of good\nselect id + 1 as n from {{ ref('good') }}"


async def test_a_query_is_compiled_and_shown_as_on_the_command_line(tools: Tools) -> None:
    await tools.run("build", select="good")
    compiled = await tools.run("compile", inline=QUERY)
    await tools.cli("compile", f"--inline={QUERY}")
    (result,) = compiled.node_results
    assert result.unique_id == "model.any.inline"
    ours, theirs = (
        each["nodes"].pop(result.unique_id)
        for each in (stored(tools.store, compiled, "manifest.json"), tools.written("manifest.json"))
    )
    assert result.compiled_code == ours["compiled_code"] == theirs["compiled_code"]
    assert result.output == f"Compiled inline node is:\n{result.compiled_code}"
    assert ours["depends_on"]["nodes"] == theirs["depends_on"]["nodes"] == ["model.any.good"]
    results = stored(tools.store, compiled, "run_results.json"), tools.written("run_results.json")
    assert comparable_results(results[0]) == comparable_results(results[1])

    shown = await tools.run("show", inline=QUERY, limit=1)
    assert shown.rows == [{"n": 2}]


async def test_a_query_that_is_wrong_fails_with_what_dbt_or_the_database_says_of_it(tools: Tools) -> None:
    with pytest.raises(DbtTemporalError, match="Ref 'nope' not found in project") as raised:
        await tools.run("show", inline="select * from {{ ref('nope') }}")
    assert raised.value.error_type == ErrorType.COMPILATION
    output = await tools.run("show", inline="select no_such_column from (select 1 as id) as rows")
    (result,) = output.node_results
    assert (output.success, result.status, output.rows) == (False, "error", None)
    assert "no_such_column" in result.message


def comparable_catalog(document: Any) -> Any:
    return without(document, MOMENTS)


async def test_docs_are_generated_by_the_words_that_dbt_asks_for(tools: Tools) -> None:
    built = await drive(tools.engine, tools.location, new_invocation(env=on_duckdb(tools.ours)), with_catalog=True)
    await tools.cli("build")
    output = await tools.run("docs-generate")
    await tools.cli("compile", "--write-catalog")

    assert output.artifacts.catalog_path is not None
    assert {result.status for result in output.node_results} == {"success"}
    ours = stored(tools.store, output, "catalog.json")
    assert ours["metadata"]["invocation_id"] == output.invocation_id
    assert ours["nodes"].keys() == {"model.any.good", "model.any.above"}
    theirs = comparable_catalog(tools.written("catalog.json"))
    assert comparable_catalog(ours) == theirs
    assert comparable_catalog(json.loads(built.artifacts["catalog.json"])) == theirs
    results = stored(tools.store, output, "run_results.json"), tools.written("run_results.json")
    assert comparable_results(results[0]) == comparable_results(results[1])
    assert tools.manifests_are_equal(output)


async def test_a_catalog_that_dbt_cannot_make_says_why_and_the_one_beside_a_run_takes_no_hooks(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase
) -> None:
    postgres.execute("create schema built")
    location = make_project(tmp_path / "project", {"models/good.sql": "select 1 as id"}, more=HOOKS)
    env = on_postgres(postgres)
    built = await drive(v2_engine, location, new_invocation(env=env), with_catalog=True)
    assert postgres.query("select what from built.hooks") == [("success",)]
    output = await run(v2_engine, location, {"command": "docs-generate", "env": env}, tmp_path / "store")
    await command_line(location.project_dir, ("compile", "--write-catalog"), env)

    theirs = comparable_catalog(json.loads((location.project_dir / "target" / "catalog.json").read_bytes()))
    assert "syntax error" in theirs["errors"][0]  # of dbt v2 (2.0.0-preview.190), in its own query
    assert comparable_catalog(stored(tmp_path / "store", output, "catalog.json")) == theirs
    assert comparable_catalog(json.loads(built.artifacts["catalog.json"])) == theirs


async def test_show_returns_the_rows_that_dbt_shows(tools: Tools) -> None:
    output = await tools.run("show", select="many", limit=3)
    assert output.rows == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert json.loads(output.node_results[0].output) == output.rows
    with pytest.raises(DbtTemporalError, match="select: only one node can be selected for show"):
        await tools.run("show", select="good above")


async def test_freshness_is_what_dbt_finds_of_each_source(tools: Tools) -> None:
    await tools.run("run-operation", macro="load")
    await tools.cli("run-operation", "load")
    output = await tools.run("source-freshness")
    await tools.cli("source", "freshness")

    found = {result.unique_id.rpartition(".")[2]: result for result in output.node_results}
    words = {name: (result.status, result.dbt_status) for name, result in found.items()}
    assert words == {"fresh": ("success", "pass"), "old": ("success", "warn"), "ancient": ("error", "error")}
    assert found["old"].freshness.status == "warn"
    assert 29 * 3600 < found["old"].freshness.max_loaded_at_time_ago_in_s < 31 * 3600
    ours, theirs = stored(tools.store, output, "sources.json"), tools.written("sources.json")
    assert comparable_sources(ours) == comparable_sources(theirs)
    assert tools.manifests_are_equal(output)


async def test_a_source_that_is_not_there_is_an_error_with_the_databases_words(tools: Tools) -> None:
    output = await tools.run("source-freshness", select="source:raw.old")
    (result,) = output.node_results
    assert (result.status, result.attempts) == ("error", 1)
    assert "Table with name old does not exist" in result.message
    assert output.artifacts.sources_path is None  # dbt v2 writes none
