"""What Jinja and artifacts say of the invocation is what they say on the command line, wherever it is read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import DrivenRun, drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import difference, read_json

pytestmark = pytest.mark.every_dbt_version

SAY = """\
{% macro say(place) %}
  {%- set said = {
    'adapter': adapter.type(),
    'args': invocation_args_dict,
    'connection': connection_name | default(''),
    'database_schemas': database_schemas | default([]) | list | sort | string,
    'envs': dbt_metadata_envs,
    'execute': execute,
    'flags': namespaced(flags),
    'graph': of_nodes(graph) if execute else '',
    'id': invocation_id,
    'model': model if model is mapping else '',
    'project': project_name ~ ' ' ~ env_var('PROBE', 'none') ~ ' ' ~ var('x'),
    'results': results | default([]) | map('string') | list,
    'schemas': schemas | default([]),
    'selected': selected_resources | default([]) | list | sort,
    'started': run_started_at.tzname() ~ ' ' ~ run_started_at.utcoffset() ~ ' ' ~ run_started_at,
    'target': target,
    'thread': thread_id,
    'this': this | string,
    'version': dbt_version,
  } -%}
  {%- set rows = [] -%}
  {%- for name, value in said.items() -%}
    {%- set text = (value if value is string else tojson(value, value | string)) | replace("'", "''") -%}
    {%- do rows.append("select '" ~ place ~ "' as place, '" ~ name ~ "' as name, '" ~ text ~ "' as said") -%}
  {%- endfor -%}
  {{ rows | join(' union all ') }}
{% endmacro %}
{% macro of_nodes(graph) -%}
  {%- set nodes = {} -%}
  {%- for id, node in graph.nodes.items() -%}
    {%- do nodes.update({id: [node.original_file_path, node.root_path, node.config.meta]
                         | map('string') | list}) -%}
  {%- endfor -%}
  {{ return(nodes) }}
{%- endmacro %}
{% macro namespaced(flags) -%}
  {%- set named = {} -%}
  {%- for name in ('FULL_REFRESH', 'INVOCATION_COMMAND', 'LOG_PATH', 'PROFILES_DIR', 'STORE_FAILURES', 'TARGET_PATH',
                   'WHICH', 'WRITE_JSON') -%}
    {%- do named.update({name: flags[name]}) -%}
  {%- endfor -%}
  {{ return(named) }}
{%- endmacro %}
"""
FILES = {
    "dbt_project.yml": """\
name: project
version: '1.0'
profile: project
on-run-start: ["create or replace table said_start as {{ say('start') }}"]
on-run-end: ["create or replace table said_end as {{ say('end') }}"]
models: {project: {+meta: {command: "{{ flags.WHICH }} {{ flags.INVOCATION_COMMAND }}"}}}
""",
    "profiles.yml": """\
project:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('FLAGS_DB') }}", schema: main, threads: 1}
""",
    "macros/say.sql": SAY,
    "models/hooked.sql": """\
{{ config(materialized='table', meta={'flags': namespaced(flags), 'command': invocation_args_dict.invocation_command},
          pre_hook="create or replace table said_before as {{ say('before') }}",
          post_hook="create or replace table said_after as {{ say('after') }}") }}
{{ say('hooked') }}""",
    "models/plain.sql": "{{ config(materialized='table') }} {{ say('plain') }}",
    "models/plain.yml": "models: [{name: plain, columns: [{name: place, data_tests: [not_null]}]}]\n",
    "tests/asked.sql": "{{ config(store_failures=true, severity='warn', alias='said_asked') }} {{ say('asked') }}",
}
PLACES = ("main.said_start", "main.said_before", "main.said_after", "main.hooked", "main.plain", "main.said_end")
AUDIT = "main_dbt_test__audit.said_asked"
ENV = {"DBT_ENV_CUSTOM_ENV_TEAM": "data", "PROBE": "probed"}
OPTIONS = ["--vars", '{"x": 1}', "--full-refresh"]


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtCoreEngine]:
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path_factory.mktemp("cache"), environ=environ) as opened:
        yield opened


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_files(tmp_path / "project", FILES)
    return tmp_path / "project"


async def our_run(engine: DbtCoreEngine, project: Path, **run_input: Any) -> DrivenRun:
    (project.parent / "ours").mkdir(exist_ok=True)
    env = {"FLAGS_DB": str(project.parent / "ours" / "flags.duckdb"), **ENV}
    invocation = new_invocation(env=env, vars={"x": 1}, **run_input)
    run = await drive(engine, ProjectLocation(project, project), invocation)
    write_files(project.parent / "ours", {name: text.decode() for name, text in run.artifacts.items()})
    return run


def their_run(project: Path, *arguments: str) -> None:
    """The command line as a person has it: it writes into the project, for where it writes is what is compared."""
    script = "import sys; sys.argv[0] = 'dbt'; from dbt.cli.main import cli; cli()"
    env = {
        **os.environ,
        **ENV,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_PROFILES_DIR": str(project),
        "FLAGS_DB": str(project.parent / "theirs" / "flags.duckdb"),
    }
    (project.parent / "theirs").mkdir()
    command = [sys.executable, "-c", script, *arguments]
    subprocess.run(command, cwd=project, env=env, capture_output=True, check=False)


def said(folder: Path, side: str) -> dict[str, Any]:
    """Everything that Jinja said, by place and name."""
    query = " union all ".join(f"select place, name, said from {table}" for table in (*PLACES, AUDIT))
    with duckdb.connect(str(folder / side / "flags.duckdb")) as connection:
        found = connection.sql(query).fetchall()
    return {f"{place} {name}": _read(name, text.replace(str(folder / side), "")) for place, name, text in found}


def _read(name: str, text: str) -> Any:
    """What was said; code repeats it in another order, and threads end in any order."""
    text = re.sub(r"Thread-\d+", "Thread", text)
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if name == "schemas":
        return sorted(map(str, document))  # a set of dbt's, whose order is each process's own
    return sorted(map(_result, document)) if name == "results" else without_code(document)


def _result(text: str) -> list[tuple[str, str]]:
    """What is the same in each run of a result as on-run-end prints it."""
    return re.findall(r"(status|thread_id|message|failures|unique_id|\w+_path|relation_name)=([^ ,)]+)", text)


async def test_jinja_says_of_the_invocation_what_it_says_on_the_command_line(
    engine: DbtCoreEngine, project: Path
) -> None:
    assert (await our_run(engine, project, command="build", full_refresh=True)).output.success
    their_run(project, "build", *OPTIONS)
    assert difference(said(project.parent, "ours"), said(project.parent, "theirs")) == []


async def test_the_metadata_and_arguments_of_artifacts_are_those_of_the_run(
    engine: DbtCoreEngine, project: Path
) -> None:
    await our_run(engine, project, command="run", select="plain")  # another run, whose parse the next one shares
    run = await our_run(engine, project, command="build", full_refresh=True)
    their_run(project, "build", *OPTIONS)
    for name in ("run_results.json", "manifest.json"):
        ours, theirs = read_json(project.parent / "ours" / name), read_json(project / "target" / name)
        for key in ("metadata", "args", "nodes"):
            assert difference(without_code(ours.get(key)), without_code(theirs.get(key))) == []
        metadata = ours["metadata"]
        started = datetime.fromisoformat(str(metadata["invocation_started_at"]).replace("Z", "+00:00"))
        assert metadata["invocation_id"] == run.output.invocation_id
        if "run_started_at" in metadata:
            assert datetime.fromisoformat(metadata["run_started_at"]) == started


def without_code(document: Any) -> Any:
    """Nodes without what they say of themselves, which the other test compares."""
    if isinstance(document, list):
        return [without_code(item) for item in document]
    if not isinstance(document, dict):
        return document
    unordered = ("compiled_code", "compiled_sql")
    return {key: without_code(value) for key, value in document.items() if key not in unordered}


async def test_a_project_that_reads_flags_is_parsed_for_those_of_the_run(engine: DbtCoreEngine, project: Path) -> None:
    by_flag = "{{ config(materialized='table' if flags.FULL_REFRESH else 'view', alias=flags.WHICH) }} select 1 as n"
    write_files(project, {"models/by_flag.sql": by_flag})
    seen = []
    for run_input in ({"full_refresh": True}, {}, {"command": "build"}, {"full_refresh": True}):
        run = await our_run(engine, project, **{"command": "run", "select": "by_flag", **run_input})
        node = json.loads(run.artifacts["manifest.json"])["nodes"]["model.project.by_flag"]
        seen.append((node["alias"], node["config"]["materialized"]))
    assert seen == [("run", "table"), ("run", "view"), ("build", "view"), ("run", "table")]


async def test_artifacts_name_the_state_that_the_run_names(engine: DbtCoreEngine, project: Path) -> None:
    await our_run(engine, project, command="run", select="plain")
    manifest = project.parent / "ours" / "manifest.json"
    references = {"state_manifest_ref": str(manifest), "defer_manifest_ref": str(manifest)}
    run = await our_run(engine, project, command="run", select="plain", **references)
    args = json.loads(run.artifacts["run_results.json"])["args"]
    assert (args["state"], args["defer_state"], args["defer"]) == (str(manifest.parent), str(manifest.parent), True)
    assert f"--state {manifest.parent} --defer-state {manifest.parent} --defer" in args["invocation_command"]
