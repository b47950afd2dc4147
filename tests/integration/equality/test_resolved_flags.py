"""What a run does not say is resolved as on the dbt command line: environment, `flags:`, the retried run."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError
from tests.integration.engine_driver import DrivenRun, drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import read_json, run_cli, run_results_difference

pytestmark = pytest.mark.every_dbt_version

PROFILES = """\
project:
  target: dev
  outputs:
    dev: &duckdb {type: duckdb, path: "{{ env_var('FLAGS_DB') }}", schema: main, threads: 1}
    other: {type: duckdb, path: "{{ env_var('FLAGS_DB') }}", schema: other, threads: 1}
"""
# At its first error dbt's threads race: where a node fails at once, the thread that hands nodes out may learn of it
# before it hands out the next one, or after. A node that begins with this takes long enough that it always is after.
SLOWLY = """{% if execute %}{% do run_query("select count(*) from range(1500000000)") %}{% endif %}
"""
FAILS_EARLY = {
    "models/a_fails.sql": SLOWLY + "select 1/0 as n from nowhere",
    "models/b.sql": "select 1 as n",
    "models/c.sql": "select n from {{ ref('b') }}",
}
BY_LEVEL = {
    "models/aaa_book.sql": "{{ config(materialized='table') }} select 3 as n",
    "models/chain_1.sql": "select 1 as n",
    "models/chain_2.sql": "select n from {{ ref('chain_1') }}",
    "models/chain_3.sql": """\
{% if execute %}
  {% if not adapter.get_relation(this.database, this.schema, 'aaa_book') %}
    {{ exceptions.raise_compiler_error('aaa_book is not there yet') }}
  {% endif %}
{% endif %}
select n from {{ ref('chain_2') }}""",
    "models/chain_4.sql": "select n from {{ ref('chain_3') }}",
}
UNIT_TESTS = {
    "models/one.sql": "select 1 as n",
    "models/two.sql": "select n + 1 as n from {{ ref('one') }}",
    "models/three.sql": "select n from {{ ref('two') }}",
    "models/unit.yml": """\
unit_tests:
"""
    + "".join(
        f"""\
  - name: {name}
    model: two
    given: [{{input: ref('one'), rows: [{{n: 1}}]}}]
    expect: {{rows: [{{n: {expected}}}]}}
"""
        for name, expected in (("u1", 7), ("u2", 8), ("u3", 9))
    ),
}
GROWS = {
    "models/first.sql": "{{ config(materialized='table') }} select cast({{ env_var('GOOD') }} as integer) as n",
    "models/grows.sql": """\
{{ config(materialized='incremental') }}
select '{{ var('day', 'no day given') }}' as day from {{ ref('first') }}""",
}


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtCoreEngine]:
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path_factory.mktemp("cache"), environ=environ) as opened:
        yield opened


class Sides:
    """One project, built by the command line and by us, each with a database of its own."""

    def __init__(self, engine: DbtCoreEngine, folder: Path, files: Mapping[str, str], flags: str = "") -> None:
        self.engine = engine
        self.folder = folder
        self.project = folder / "project"
        header = f"name: project\nversion: '1.0'\nprofile: project\n{flags}"
        write_files(self.project, {"dbt_project.yml": header, "profiles.yml": PROFILES, **files})
        for side in ("ours", "theirs"):
            (folder / side).mkdir()

    def env(self, side: str, more: Mapping[str, str]) -> dict[str, str]:
        return {"FLAGS_DB": str(self.folder / side / "flags.duckdb"), **more}

    async def ours(self, env: Mapping[str, str] | None = None, **run_input: Any) -> DrivenRun:
        invocation = new_invocation(env=self.env("ours", env or {}), **run_input)
        return await drive(self.engine, ProjectLocation(self.project, self.project), invocation)

    def theirs(self, *arguments: str, env: Mapping[str, str] | None = None) -> Path:
        target = self.folder / "theirs" / "target"
        run_cli(arguments, self.project, target, self.env("theirs", env or {}))
        return target / "run_results.json"

    def rows(self, side: str, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.env(side, {})["FLAGS_DB"]) as connection:
            return connection.sql(query).fetchall()


@pytest.mark.parametrize(
    ("flags", "env", "run_input", "arguments"),
    [
        ("flags: {fail_fast: true}\n", {}, {}, []),
        ("", {"DBT_FAIL_FAST": "true"}, {}, []),
        ("flags: {fail_fast: true}\n", {}, {"fail_fast": False}, ["--no-fail-fast"]),
    ],
    ids=["flags block", "variable", "the run says no"],
)
async def test_fail_fast_is_dbts_resolved_flag(
    engine: DbtCoreEngine,
    tmp_path: Path,
    flags: str,
    env: dict[str, str],
    run_input: dict[str, Any],
    arguments: list[str],
) -> None:
    sides = Sides(engine, tmp_path, FAILS_EARLY, flags)
    ours = await sides.ours(env, command="build", **run_input)
    theirs = sides.theirs("build", *arguments, env=env)
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []


async def test_an_explicit_eager_wins_over_the_projects_flag(engine: DbtCoreEngine, tmp_path: Path) -> None:
    tests = "models:\n  - name: b\n    columns: [{name: n, data_tests: [{relationships: {to: ref('c'), field: n}}]}]\n"
    flags = "flags: {indirect_selection: cautious}\n"
    sides = Sides(engine, tmp_path, {**FAILS_EARLY, "models/tests.yml": tests}, flags)
    cautious = await sides.ours(command="list", select="b")
    eager = await sides.ours(command="list", select="b", indirect_selection="eager")
    assert [len(run.plan.plan.nodes) for run in (cautious, eager)] == [1, 2]


async def test_nodes_start_in_the_order_of_dbts_queue(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, BY_LEVEL)
    ours = await sides.ours(command="run")
    theirs = sides.theirs("run")
    assert ours.output.success
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []


async def test_unit_tests_of_a_model_end_with_the_first_that_fails(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, UNIT_TESTS)
    ours = json.loads((await sides.ours(command="build")).artifacts["run_results.json"])
    theirs = read_json(sides.theirs("build"))
    for document in (ours, theirs):
        # dbt takes the unit tests of a model out of a set: which of them comes first differs from process to process.
        assert statuses_by_kind(document) == {
            "model": ["skipped", "skipped", "success"],
            "unit_test": ["fail", "skipped", "skipped"],
        }


def statuses_by_kind(run_results: Any) -> dict[str, list[str]]:
    statuses: dict[str, list[str]] = {}
    for result in run_results["results"]:
        statuses.setdefault(result["unique_id"].partition(".")[0], []).append(result["status"])
    return {kind: sorted(words) for kind, words in statuses.items()}


async def test_the_target_that_a_runs_environment_names_is_used(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, {"models/b.sql": "select '{{ target.name }}' as target"})
    location = ProjectLocation(sides.project, sides.project, target="dev")
    env = sides.env("ours", {"DBT_TARGET": "other"})
    assert (await drive(engine, location, new_invocation(command="run", env=env))).output.success
    assert sides.rows("ours", "select target from other.b") == [("other",)]


async def test_dbts_own_command_line_is_recorded(engine: DbtCoreEngine, tmp_path: Path) -> None:
    model = "select '{{ invocation_args_dict.invocation_command }}' as command"
    sides = Sides(engine, tmp_path, {"models/b.sql": model})
    ours = await sides.ours(command="run", select="b", target="dev", full_refresh=True)
    command = "dbt run --select b --target dev --full-refresh"
    assert json.loads(ours.artifacts["run_results.json"])["args"]["invocation_command"] == command
    assert sides.rows("ours", "select command from b") == [(command,)]
    # As the command line has it, beside the options for where this test lets it write.
    theirs = read_json(sides.theirs("run", "--select", "b", "--target", "dev", "--full-refresh"))
    assert theirs["args"]["invocation_command"].partition(" --target-path")[0].replace("dbt -c", "dbt") == command


async def test_a_retry_keeps_the_arguments_of_the_run_that_it_retries(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, GROWS)
    results = tmp_path / "run_results.json"
    good = {"GOOD": "1"}
    assert (await sides.ours(good, command="run", vars={"day": "monday"})).output.success
    failed = await sides.ours({"GOOD": "'x'"}, command="run", vars={"day": "tuesday"}, full_refresh=True)
    assert not failed.output.success
    results.write_bytes(failed.artifacts["run_results.json"])
    retried = await sides.ours(good, retry_from=str(results))
    assert retried.output.success
    assert sides.rows("ours", "select day from grows") == [("tuesday",)]
    args = json.loads(retried.artifacts["run_results.json"])["args"]
    assert (args["which"], args["full_refresh"], args["vars"]) == ("run", True, {"day": "tuesday"})


async def test_a_retry_has_the_options_of_the_retried_run_that_no_input_has(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    sides = Sides(engine, tmp_path, GROWS)
    results = tmp_path / "run_results.json"
    theirs = sides.theirs(
        "run", "--empty", "--select", "first+", "--vars", "{day: monday}", "--threads", "3", env={"GOOD": "nobody"}
    )
    results.write_bytes(theirs.read_bytes())
    retried = await sides.ours({"GOOD": "1"}, retry_from=str(results))
    theirs = sides.theirs("retry", env={"GOOD": "1"})
    assert run_results_difference(retried.artifacts["run_results.json"], theirs) == []
    args = json.loads(retried.artifacts["run_results.json"])["args"]
    assert (args["invocation_command"], args["which"], args["empty"]) == ("dbt retry", "run", True)
    assert sides.rows("ours", "select count(*) from grows") == [(0,)]


async def test_what_a_retry_gives_itself_comes_before_the_retried_run(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, GROWS)
    results = tmp_path / "run_results.json"
    failed = await sides.ours({"GOOD": "'x'"}, command="run", vars={"day": "tuesday"}, full_refresh=True)
    results.write_bytes(failed.artifacts["run_results.json"])
    retried = await sides.ours({"GOOD": "1"}, retry_from=str(results), vars={"day": "friday"})
    assert retried.output.success
    assert sides.rows("ours", "select day from grows") == [("friday",)]


async def test_another_command_than_that_of_the_retried_run_is_refused(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, FAILS_EARLY)
    results = tmp_path / "run_results.json"
    results.write_bytes((await sides.ours(command="build")).artifacts["run_results.json"])
    with pytest.raises(DbtTemporalError, match="command: 'run' cannot retry a run of 'build'"):
        await sides.ours(command="run", retry_from=str(results))


TYPES = """\
{{ config(materialized='table') }}
select
{% for name in ('account', 'negative', 'unsigned', 'large', 'nothing', 'text', 'nested') %}
  {% set types = [var(name) is integer, var(name) is float, var(name) is string] %}
  $${{ var(name) }} {{ types | join }}$$ as {{ name }},
{% endfor %}
  1 as one"""
VALUES = {
    "account": 123456789012345678901234,
    "negative": -(2**63) - 1,
    "unsigned": 2**64 - 1,
    "large": 1e16,
    "nothing": None,
    "text": "2026-01-31",
    "nested": {"list": [2**70, "é", True]},
}


async def test_variables_have_the_types_that_the_command_line_gives_them(engine: DbtCoreEngine, tmp_path: Path) -> None:
    sides = Sides(engine, tmp_path, {"models/types.sql": TYPES})
    ours = await sides.ours(command="run", vars=VALUES)
    written = yaml.safe_dump(VALUES, allow_unicode=True)
    theirs = sides.theirs("run", "--vars", written)
    assert ours.output.success
    (row,) = sides.rows("ours", "from types")
    assert [row] == sides.rows("theirs", "from types")
    assert row[:4] == (
        "123456789012345678901234 TrueFalseFalse",
        "-9223372036854775809 TrueFalseFalse",
        "18446744073709551615 TrueFalseFalse",
        "1e+16 FalseTrueFalse",
    )
    assert "1180591620717411303424" in row[6]
    assert json.loads(ours.artifacts["run_results.json"])["args"]["vars"] == VALUES
    assert read_json(theirs)["args"]["vars"] == VALUES
