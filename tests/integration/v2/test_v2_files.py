"""Files of a run on dbt v2: those that go while it is held, and selections that are too long for a command line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
import pytest

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.adapters.dbt_v2.runs import exact
from dbt_temporal.application.ports.engine import CompletedNode, no_progress
from dbt_temporal.domain.run.invocation import LostWork
from tests.integration.engine_driver import new_invocation, opened
from tests.integration.postgres import PostgresDatabase
from tests.integration.v2.installed import BINARY, environment, make_project, needs_dbt_v2, on_duckdb, on_postgres
from tests.integration.v2.runs import FAILS_ONCE, run, stored, words

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]


async def test_a_held_run_whose_files_have_gone_with_its_worker_goes_on_with_files_that_are_made_anew(
    tmp_path: Path,
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/first.sql": "{{ config(materialized='incremental') }} select 1 as id",
            "models/mended.sql": "select id from {{ ref('first') }} where exists (select 1 from main.by_hand)",
            "models/below.sql": "select id from {{ ref('mended') }}",
        },
    )
    invocation = new_invocation(env=on_duckdb(tmp_path))
    engines = [DbtV2Engine(tmp_path / "cache", binary=str(BINARY), environ=environment()) for _ in range(2)]
    before = opened(engines[0], location, invocation)
    await before.plan()
    prepared = await before.before_run(no_progress)
    nodes = [f"model.any.{name}" for name in ("first", "mended", "below")]
    outcomes = {node: await before.execute_node(node, no_progress) for node in nodes}
    assert [outcomes[node].result.status for node in nodes] == ["success", "error", "skipped"]
    await engines[0].close()

    long_ago = time.time() - 3 * 24 * 3600
    for path in (tmp_path / "cache").rglob("*"):
        os.utime(path, (long_ago, long_ago), follow_symlinks=False)
    await engines[1].load_project(location)
    folder = tmp_path / "cache" / "v2" / "runs" / invocation.invocation_id
    assert not folder.exists()
    after = opened(engines[1], location, invocation)
    ended = {node: outcome.result.status for node, outcome in outcomes.items()}
    resumed = await after.resume(no_progress, ended, LostWork(mark=prepared.mark))
    assert not resumed.knows_all
    by_hand = await opened(
        engines[1],
        location,
        new_invocation(
            command="run-operation", sql="create table main.by_hand as select 1 as id", env=invocation.input.env
        ),
    ).execute_node("sql_operation.any.inline_query", no_progress)
    assert by_hand.error is None, by_hand.result.message
    for node in nodes[1:]:
        outcomes[node] = await after.execute_node(node, no_progress, attempt=2)
    await after.after_run([], no_progress)
    results = [CompletedNode(outcome.result, outcome.record) for outcome in outcomes.values()]
    written = await after.artifacts(results, 1.0, with_sql=True)
    document = orjson.loads(written["run_results.json"].read_bytes())
    assert {entry["unique_id"]: entry["status"] for entry in document["results"]} == dict.fromkeys(nodes, "success")
    assert nodes[0] in orjson.loads(written["manifest.json"].read_bytes())["nodes"]
    await engines[1].end_run(invocation.invocation_id)
    await engines[1].close()


async def test_nodes_of_all_kinds_that_are_too_many_for_a_command_line_are_run_again(
    v2_engine: DbtV2Engine, tmp_path: Path, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "MAX_CHARS", 0)
    location = make_project(
        tmp_path / "project",
        {
            "seeds/raw.csv": "id\n1\n",
            "models/once.sql": "select fails_once() as id from {{ ref('raw') }}",
            "models/below.sql": "select id from {{ ref('once') }}",
            "models/aside.sql": "select 1 as id",
            "models/_m.yml": "models: [{name: below, columns: [{name: id, data_tests: [not_null]}]}]",
            "snapshots/kept.sql": "{% snapshot kept %}{{ config(unique_key='id', strategy='check', check_cols='all', "
            "target_schema='built') }} select id from {{ ref('below') }}{% endsnapshot %}",
        },
    )
    postgres.execute(FAILS_ONCE)
    given = {"env": on_postgres(postgres), "select": "raw once+ asied"}
    output = await run(v2_engine, location, given, tmp_path / "store")
    assert output.success, [result.message for result in output.node_results]
    assert words(output) == {
        **dict.fromkeys(("raw", "once", "below", "kept"), "success"),
        **{name: "pass" for name in words(output) if name not in ("raw", "once", "below", "kept")},
    }
    attempts = {result.unique_id.split(".")[2]: result.attempts for result in output.node_results}
    assert (attempts["raw"], attempts["once"], attempts["below"]) == (1, 2, 1)
    assert len(stored(tmp_path / "store", output, "run_results.json")["results"]) == 5
    log = (tmp_path / "store" / output.invocation_id / "log.txt").read_text().splitlines()
    told = next(number for number, line in enumerate(log) if "selection criterion 'asied'" in line)
    assert log[told + 1].strip() == "Did you mean aside?"
