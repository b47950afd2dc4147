"""Commands beside those of each day through the workflow, with the command line's results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.version import __version__ as dbt_version

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import DbtRunOutput
from tests.integration.engine_driver import drive, new_invocation, write_files
from tests.integration.equality.compare import (
    difference,
    manifest_difference,
    read_json,
    run_cli,
    run_results_difference,
)
from tests.integration.run_harness import DbtHarness, history, scheduled

pytestmark = pytest.mark.every_dbt_version

DBT_1_12 = tuple(int(part) for part in dbt_version.split(".")[:2]) >= (1, 12)

PROFILES = """\
tools:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('TOOLS_DB', ':memory:') }}", schema: main, threads: 1}
    copy: {type: duckdb, path: "{{ env_var('TOOLS_DB', ':memory:') }}", schema: copied, threads: 1}
"""
FILES = {
    "dbt_project.yml": "name: tools\nversion: '1.0'\nprofile: tools\n",
    "profiles.yml": PROFILES,
    "models/steady.sql": "{{ config(materialized='table') }} select 1 as n",
    "models/shaky.sql": "select {{ env_var('SHAKY', '2') }} as n",
    "models/after.sql": "select n from {{ ref('shaky') }}",
    "models/many.sql": "select i, i * 1.5 as half, date '2026-01-01' + cast(i as integer) as day from range(8) as t(i)",
    "models/inlined.sql": "{{ config(materialized='ephemeral') }} select n from {{ ref('steady') }}",
    "macros/tools.sql": """\
{% macro say(word, times=1) %}
  {% do run_query("create or replace table said as select '" ~ word ~ "' as word") %}
  {% for _ in range(times) %}{% do log("heard " ~ word, info=true) %}{% endfor %}
  {{ print("said " ~ word) }}
{% endmacro %}
{% macro picky() %}{% do run_query("select " ~ env_var('SHAKY', '2')) %}{% endmacro %}
{% macro fails() %}{{ print("so far") }}{% do run_query("select * from no_such_table") %}{% endmacro %}
""",
}
BAD = {"SHAKY": "no_such_column"}


class Tools:
    """One project, of which both sides have a database of their own."""

    def __init__(self, runs: DbtHarness, folder: Path) -> None:
        self.runs = runs
        self.folder = folder
        self.project = folder / "project"
        self.target = folder / "theirs" / "target"
        for side in ("ours", "theirs"):
            (folder / side).mkdir(parents=True)
        write_files(self.project, FILES)

    def env(self, side: str, **more: str) -> dict[str, str]:
        return {"TOOLS_DB": str(self.folder / side / "tools.duckdb"), **more}

    async def run(self, command: str | None, *, more_env: dict[str, str] | None = None, **fields: Any) -> Outcome:
        named = {} if command is None else {"command": command}
        return await self.runs.run({**named, "env": self.env("ours", **(more_env or {})), **fields})

    async def output(self, command: str, **fields: Any) -> DbtRunOutput:
        outcome = await self.run(command, **fields)
        assert outcome.ending is Ending.COMPLETED, outcome.message
        assert outcome.output is not None
        return outcome.output

    def theirs(self, arguments: Sequence[str], more_env: dict[str, str] | None = None, code: int = 0) -> str:
        result = run_cli(arguments, self.project, self.target, self.env("theirs", **(more_env or {})))
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout

    def results_differ(self, output: DbtRunOutput) -> list[str]:
        ours = self.runs.artifact(output, "run_results.json").read_bytes()
        return run_results_difference(ours, self.target / "run_results.json")

    def manifests_differ(self, output: DbtRunOutput) -> list[str]:
        ours = self.runs.artifact(output, "manifest.json").read_bytes()
        return manifest_difference(ours, self.target / "manifest.json")


@pytest.fixture(scope="module")
async def tools(dbt_workers: Callable[[], DbtHarness], tmp_path_factory: pytest.TempPathFactory) -> Tools:
    tools = Tools(dbt_workers(), tmp_path_factory.mktemp("tools"))
    await tools.runs.load(ProjectLocation(tools.project, tools.project))
    return tools


async def test_retry_runs_what_did_not_succeed_in_the_latest_run(tools: Tools) -> None:
    outcome = await tools.run("retry")
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration")
    assert "no run of 'tools' has stored results yet" in (outcome.message or "")

    failed = await tools.run("run", more_env=BAD)
    tools.theirs(["run"], BAD, code=1)
    assert failed.output is not None
    await tools.output("list")  # which has no results, so the failed run is still the latest that has
    again = await tools.output("retry")
    tools.theirs(["retry"])
    # dbt passes the arguments of the earlier run on as texts.
    assert [line for line in tools.results_differ(again) if not line.startswith(".args.sqlparse.")] == []
    assert {result.unique_id for result in again.node_results} == {"model.tools.shaky", "model.tools.after"}

    # By its id, which the newer run has not changed; and then the latest one has nothing left.
    by_id = await tools.output("retry", retry_from=failed.output.invocation_id)
    assert len(by_id.node_results) == 2
    assert (await tools.output("retry")).node_results == []


async def test_state_is_that_of_the_latest_run_by_name(tools: Tools) -> None:
    await tools.output("run")
    listed = await tools.output("list", select="state:modified", state_manifest_ref="latest")
    assert listed.node_results == []


async def test_clone_makes_relations_of_those_of_the_state_each_in_an_activity(tools: Tools) -> None:
    refused = await tools.runs.submit({"command": "clone", "env": tools.env("ours")})
    outcome = await refused.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration")
    assert "--state or --defer-state are required" in (outcome.message or "")
    assert scheduled(await history(refused.handle)) == ["plan_project"]

    await tools.output("run", select="steady +after")
    tools.theirs(["run", "--select", "steady", "+after"])
    state = tools.folder / "state"
    shutil.copytree(tools.target, state)
    selected = {"command": "clone", "select": "steady +after", "target": "copy"}
    run = await tools.runs.submit({**selected, "state_manifest_ref": "latest", "env": tools.env("ours")})
    output = (await run.outcome()).output
    tools.theirs(["clone", "--select", "steady", "+after", "--target", "copy", "--state", str(state)])
    assert output is not None
    assert tools.results_differ(output) == []
    assert {"model:steady", "model:after"} <= set(scheduled(await history(run.handle)))
    # Another attempt compares with the same state, without which dbt does not clone.
    assert (await tools.output("retry")).node_results == []
    for side in ("ours", "theirs"):
        with duckdb.connect(tools.env(side)["TOOLS_DB"], read_only=True) as connection:
            assert connection.sql("select n from copied.after").fetchall() == [(2,)]


async def test_run_operation_runs_a_macro_once_and_says_what_it_printed(tools: Tools) -> None:
    fields = {"macro": "say", "args": {"word": "hello", "times": 2}}
    run = await tools.runs.submit({"command": "run-operation", "env": tools.env("ours"), **fields})
    outcome = await run.outcome()
    assert outcome.output is not None, outcome.message
    stdout = tools.theirs(["run-operation", "say", "--args", "{word: hello, times: 2}"])
    assert tools.results_differ(outcome.output) == []
    (result,) = outcome.output.node_results
    assert (result.unique_id, result.status) == ("macro.tools.say", "success")
    assert result.output == "heard hello\nheard hello\nsaid hello"
    assert stdout.endswith("said hello\n")
    assert "     heard hello" in await run.handle.query("run_log")
    assert "operation:say" in scheduled(await history(run.handle))

    failing = await tools.runs.submit({"command": "run-operation", "macro": "tools.fails", "env": tools.env("ours")})
    outcome = await failing.outcome()
    tools.theirs(["run-operation", "tools.fails"], code=1)
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "DbtRunFailed")
    assert outcome.output is not None
    assert "no_such_table" in (outcome.output.node_results[0].message or "")
    assert (outcome.output.node_results[0].output or "").startswith("so far\n")
    assert tools.results_differ(outcome.output) == []
    assert scheduled(await history(failing.handle)).count("operation:fails") == 1


async def test_retry_runs_an_operation_again_that_failed(tools: Tools) -> None:
    failed = await tools.run("run-operation", macro="picky", more_env=BAD)
    tools.theirs(["run-operation", "picky"], BAD, code=1)
    assert failed.error_type == "DbtRunFailed"
    again = await tools.output("retry")
    tools.theirs(["retry"])
    assert tools.results_differ(again) == []
    assert [result.unique_id for result in again.node_results] == ["macro.tools.picky"]
    assert (await tools.output("retry")).node_results == []


async def test_an_operation_that_cannot_run_is_refused_with_what_is_allowed(tools: Tools) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"macro": "sya"}, "'sya' in any package; those of tools are: fails, picky, say"),
        ({"macro": "say", "args": ["hello"]}, "`args`: Input should be a valid dictionary"),
        ({}, "the command 'run-operation' needs a macro"),
    ]
    if not DBT_1_12:
        wrong.append(({"sql": "select 1"}, "sql: `dbt run-operation` has no such option in dbt-core 1.11"))
    for fields, words in wrong:
        outcome = await tools.run("run-operation", **fields)
        assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration"), outcome
        assert words in (outcome.message or "")
    outcome = await tools.run("build", inline="select 1")
    assert "inline: the command 'build' has none; it is for compile, show" in (outcome.message or "")


async def test_run_operation_runs_a_statement_where_dbt_has_it(tools: Tools) -> None:
    if DBT_1_12:
        statement = "create or replace table by_sql as select {{ 1 + 1 }} as n"
        output = await tools.output("run-operation", sql=statement)
        tools.theirs(["run-operation", "--sql", statement])
        assert tools.results_differ(output) == []


async def test_show_returns_the_rows_that_dbt_shows(tools: Tools) -> None:
    await tools.output("run", select="steady")
    tools.theirs(["run", "--select", "steady"])
    shows: list[tuple[dict[str, Any], list[str]]] = [
        ({"select": "many", "limit": 3, "output": "json"}, ["--select", "many", "--limit", "3", "--output", "json"]),
        ({"select": "many"}, ["--select", "many"]),
        ({"select": "inlined"}, ["--select", "inlined"]),
        (
            {"inline": "select n + 1 as more from {{ ref('inlined') }}", "output": "json"},
            ["--inline", "select n + 1 as more from {{ ref('inlined') }}", "--output", "json"],
        ),
    ]
    for fields, arguments in shows:
        output = await tools.output("show", **fields)
        stdout = tools.theirs(["show", *arguments])
        shown = "\n".join(result.output for result in output.node_results if result.output)
        assert shown.strip() in stdout
        assert tools.results_differ(output) == []
        assert tools.manifests_differ(output) == []
        assert output.rows == json.loads(shown)["show"] if "output" in fields else output.rows
    assert output.rows == [{"more": 2}]


async def test_compile_takes_an_inline_query(tools: Tools) -> None:
    query = "select n from {{ ref('inlined') }}"
    output = await tools.output("compile", inline=query)
    stdout = tools.theirs(["compile", "--inline", query])
    (result,) = [each for each in output.node_results if each.unique_id == "sql_operation.tools.inline_query"]
    assert result.compiled_code is not None
    assert (result.output or "") in stdout
    assert (result.output or "").startswith("Compiled inline node is:\n")
    assert tools.results_differ(output) == []
    outcome = await tools.run("compile", inline="select {{ 1 +")
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Compilation")
    assert "unexpected 'end of template'" in (outcome.message or "")


async def test_docs_generate_makes_the_catalog_whole_and_its_page(tools: Tools) -> None:
    await tools.output("run")
    tools.theirs(["run"])
    sides: list[tuple[dict[str, Any], list[str]]] = [
        ({"select": "steady+ many", "static": True}, ["--select", "steady+", "many", "--static"]),
        ({"compile": False}, ["--no-compile"]),
    ]
    for fields, arguments in sides:
        run = await tools.runs.submit({"command": "docs-generate", "env": tools.env("ours"), **fields})
        output = (await run.outcome()).output
        tools.theirs(["docs", "generate", *arguments])
        assert output is not None
        assert output.artifacts is not None
        assert output.artifacts.catalog_path is not None
        assert "catalog:tools" in scheduled(await history(run.handle))
        ours = read_json(tools.runs.artifact(output, "catalog.json"))
        assert difference(ours, read_json(tools.target / "catalog.json")) == []
        assert (tools.runs.artifact(output, "static_index.html").is_file()) is ("static" in fields)
        assert tools.runs.artifact(output, "index.html").read_bytes() == (tools.target / "index.html").read_bytes()
        if "compile" not in fields:
            assert tools.results_differ(output) == []
            # dbt's own retry of it fails at `--no-empty-catalog`, which its command line has not.
            assert (await tools.output("retry")).success


async def test_parse_stores_the_manifest_and_starts_nothing(tools: Tools) -> None:
    run = await tools.runs.submit({"command": "parse", "env": tools.env("ours")})
    output = (await run.outcome()).output
    tools.theirs(["parse"])
    assert output is not None
    assert scheduled(await history(run.handle)) == ["plan_project", "store_artifacts", "end_run"]
    assert tools.manifests_differ(output) == []
    assert not tools.runs.artifact(output, "run_results.json").exists()


async def test_debug_says_what_the_worker_has_and_whether_it_connects(tools: Tools) -> None:
    output = await tools.output("debug")
    assert output.node_results[0].output is not None
    assert "All checks passed!" in output.node_results[0].output
    assert f"Using dbt_project.yml file at {tools.project}" in output.node_results[0].output
    nowhere = tools.folder / "no" / "such" / "folder" / "tools.duckdb"
    outcome = await tools.run("debug", connection=True, more_env={"TOOLS_DB": str(nowhere)})
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "DbtRunFailed"), outcome
    assert outcome.output is not None
    printed = outcome.output.node_results[0].output or ""
    assert "1 check failed:" in printed
    assert "dbt was unable to connect to the specified database" in printed
    assert "Skipping steps before connection verification" in printed


async def test_list_has_dbts_formats(tools: Tools) -> None:
    output = await tools.output("list", select="steady", output="json", output_keys=["name", "config.materialized"])
    assert [result.message for result in output.node_results] == ['{"name": "steady", "config.materialized": "table"}']


async def test_the_same_is_had_in_process(tools: Tools) -> None:
    location = ProjectLocation(tools.project, tools.project)
    operation = new_invocation(command="run-operation", macro="say", args={"word": "here"}, env=tools.env("ours"))
    said = await drive(tools.runs.engine, location, operation)
    assert [result.output for result in said.output.node_results] == ["heard here\nsaid here"]
    shown = await drive(
        tools.runs.engine, location, new_invocation(command="show", select="many", limit=1, env=tools.env("ours"))
    )
    assert shown.output.rows == [{"i": 0, "half": 0.0, "day": "2026-01-01"}]
