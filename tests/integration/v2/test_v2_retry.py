"""Retries on dbt v2: what is run again, with what, and what `dbt retry` of its command line does.

And the latest run of a target, where runs of both engines have the same store.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import DbtRunOutput
from tests.integration.engine_driver import new_invocation, open_engine, opened
from tests.integration.v2.installed import make_project, needs_dbt_v2, on_duckdb
from tests.integration.v2.runs import run, stored, words
from tests.integration.v2.test_v2_equality import command_line, comparable_results

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]

FILES = {
    "models/good.sql": "select 1 as id",
    "models/wrong.sql": "select {{ var('column', 'no_such_column') }} as id",
    "models/below.sql": "select id, '{{ var('kept', '') }}' as kept from {{ ref('wrong') }}",
    "models/aside.sql": "{{ config(materialized='ephemeral') }} select 1 as id",
    "models/_models.yml": "models: [{name: wrong, columns: [{name: id, data_tests: [unique]}]}]",
}
HOOKS = """
on-run-start: "create table if not exists {{ target.schema }}.hooks (what text)"
on-run-end: "insert into {{ target.schema }}.hooks values ('{{ results | map(attribute='status') | join(',') }}')"
"""
OF_DBT_CORE = {
    "args": {
        **{"which": "run", "select": [], "vars": {}, "indirect_selection": "eager", "empty": False, "threads": 2},
        **{"partial_parse": True, "static_parser": True, "introspect": True, "favor_state": False},
        "warn_error_options": {"error": [], "warn": [], "silence": []},
    },
    "results": [
        {"unique_id": "operation.any.any-on-run-start-0", "status": "success", "message": None},
        {"unique_id": "model.any.good", "status": "success", "message": "OK"},
        {"unique_id": "model.any.wrong", "status": "error", "message": "Runtime Error"},
        {"unique_id": "model.any.below", "status": "skipped", "message": None},
    ],
}
AGAIN = {"wrong": "success", "below": "success", "unique_wrong_id": "pass", "aside": "no-op"}


def said_by_hooks(folder: Path) -> list[Any]:
    """What on-run-end has written down, with the statuses in any order."""
    with duckdb.connect(str(folder / "any.duckdb"), read_only=True) as connection:
        return [sorted(what.split(",")) for (what,) in connection.execute("select what from main.hooks").fetchall()]


def names(output: DbtRunOutput) -> dict[str, str | None]:
    return {result.unique_id.split(".")[2]: result.dbt_status for result in output.node_results}


async def test_a_retry_is_dbts_own_and_takes_over_what_the_failed_run_was_given(
    v2_engine: DbtV2Engine, tmp_path: Path
) -> None:
    location = make_project(tmp_path / "project", FILES, more=HOOKS)
    (tmp_path / "cli").mkdir()
    env, store = on_duckdb(tmp_path), tmp_path / "store"
    failed = await run(v2_engine, location, {"env": env, "vars": {"kept": "yes"}}, store)
    assert failed.artifacts is not None
    again = await run(v2_engine, location, {"command": "retry", "env": env, "vars": {"column": 1}}, store)
    await command_line(location.project_dir, ("build", "--vars", "kept: yes"), on_duckdb(tmp_path / "cli"))
    await command_line(location.project_dir, ("retry", "--vars", "column: 1"), on_duckdb(tmp_path / "cli"))

    assert names(again) == AGAIN
    theirs = json.loads((location.project_dir / "target" / "run_results.json").read_bytes())
    assert comparable_results(stored(store, again, "run_results.json")) == comparable_results(theirs)
    assert said_by_hooks(tmp_path) == said_by_hooks(tmp_path / "cli")

    done = await run(v2_engine, location, {"command": "retry", "env": env}, store)
    assert (done.success, done.node_results) == (True, [])
    assert len(said_by_hooks(tmp_path)) == 2  # none more


async def test_what_is_not_given_comes_from_the_retried_run(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", FILES)
    failed = await run(
        v2_engine,
        location,
        {"env": on_duckdb(tmp_path), "command": "run", "vars": {"kept": "yes"}, "full_refresh": True},
        tmp_path / "store",
    )
    make_project(tmp_path / "project", {**FILES, "models/wrong.sql": "select 1 as id"})
    retried = {"env": on_duckdb(tmp_path), "retry_from": failed.invocation_id, "select": "+below"}
    with pytest.raises(DbtTemporalError, match="command: 'test' cannot retry a run of 'run'"):
        await run(v2_engine, location, {**retried, "command": "test"}, tmp_path / "store")
    again = await run(v2_engine, location, retried, tmp_path / "store")

    assert words(again) == {"wrong": "success", "below": "success"}
    built = stored(tmp_path / "store", again, "manifest.json")["nodes"]["model.any.below"]
    assert "'yes' as kept" in built["compiled_code"]
    arguments = stored(tmp_path / "store", again, "run_results.json")["args"]
    assert (arguments["which"], arguments["vars"], arguments["full_refresh"]) == ("run", {"kept": "yes"}, True)


async def test_a_run_of_dbt_core_is_retried_on_dbt_v2(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", FILES)
    results = tmp_path / "run_results.json"
    results.write_text(json.dumps(OF_DBT_CORE), encoding="utf-8")
    retried = {"env": on_duckdb(tmp_path), "command": "retry", "retry_from": str(results), "vars": {"column": 1}}
    assert words(await run(v2_engine, location, retried, tmp_path / "store")) == {
        "wrong": "success",
        "below": "success",
    }


async def test_dbt_core_says_that_it_cannot_retry_a_run_of_dbt_v2(v2_engine: DbtV2Engine, tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", {"models/wrong.sql": "select no_such_column as id"})
    failed = await run(v2_engine, location, {"env": on_duckdb(tmp_path)}, tmp_path / "store")
    assert failed.artifacts is not None
    async with open_engine(tmp_path / "core") as engine:
        retried = new_invocation(command="retry", retry_from=failed.artifacts.run_results_path, env=on_duckdb(tmp_path))
        with pytest.raises(DbtTemporalError, match="those of dbt v2 lack what it needs") as raised:
            await opened(engine, location, retried).plan()
    assert raised.value.error_type == ErrorType.CONFIGURATION


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"args": {"which": "run"}, "results": []}, "has no results, so there is nothing to retry"),
        ({"args": {"which": "list"}, "results": [{}]}, "the command list cannot be retried"),
        ({"results": []}, "retry_from: cannot read run results at"),
    ],
)
async def test_what_cannot_be_retried_is_refused(
    v2_engine: DbtV2Engine, tmp_path: Path, document: dict[str, Any], named: str
) -> None:
    location = make_project(tmp_path / "project", FILES)
    results = tmp_path / "run_results.json"
    results.write_text(json.dumps(document), encoding="utf-8")
    retried = {"env": on_duckdb(tmp_path), "command": "retry", "retry_from": str(results)}
    with pytest.raises(DbtTemporalError, match=named) as raised:
        await run(v2_engine, location, retried, tmp_path / "store")
    assert raised.value.error_type == ErrorType.CONFIGURATION


SHOP = {
    "models/base.sql": "select 1 as id",
    "models/above.sql": "select id from {{ ref('base') }}",
}
CHANGED = {**SHOP, "models/above.sql": "select id + 1 as id from {{ ref('base') }}"}
SLIM = {"select": "state:modified", "state_manifest_ref": "latest:duckdb"}


async def test_the_latest_run_of_either_engine_says_so(
    v2_engine: DbtV2Engine, dbt_engine: DbtCoreEngine, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    folder = store / "latest" / "any" / "duckdb"
    prod = make_project(tmp_path / "prod", SHOP)
    branch = make_project(tmp_path / "branch", CHANGED)
    # Each has a file of its own: the releases of DuckDB that they come with do not read each other's.
    env, env_of_core = on_duckdb(tmp_path), on_duckdb(store.parent / "prod")

    of_core = await run(dbt_engine, prod, {"env": env_of_core}, store)
    known = json.loads((folder / "run.json").read_bytes())
    assert (known["invocation_id"], known["engine"]) == (of_core.invocation_id, "dbt-core")
    slim = await run(v2_engine, branch, {"env": env, "command": "compile", **SLIM}, store)
    assert words(slim) == {"above": "success"}

    of_v2 = await run(v2_engine, prod, {"env": env}, store)
    known = json.loads((folder / "run.json").read_bytes())
    assert (known["invocation_id"], known["engine"]) == (of_v2.invocation_id, "v2")
    for name in ("manifest.json", "run_results.json"):
        assert json.loads((folder / name).read_bytes())["metadata"]["invocation_id"] == of_v2.invocation_id
    assert json.loads((folder / "semantic_manifest.json").read_bytes())["metrics"] == []
    for engine, own in ((v2_engine, env), (dbt_engine, env_of_core)):
        output = await run(engine, branch, {"env": own, "command": "compile", **SLIM}, store)
        assert words(output) == {"above": "success"}
