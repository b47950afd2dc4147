"""A machine that is lost while dbt v2 runs a command that writes no nodes, or others', and another one that goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.application.ports.engine import CompletedNode, EngineRun, NodeOutcome, no_progress
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import LostWork
from tests.integration.engine_driver import new_invocation, opened
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import wait_for
from tests.integration.v2.installed import BINARY, environment, make_project, needs_dbt_v2, on_postgres
from tests.integration.v2.test_v2_workers import newest_process

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]

SLEEPS_ONCE = "pg_sleep(case when nextval('slept') = 1 then 600 else 0 end)"
ASLEEP = "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
FILES = {
    "models/quick.sql": "select 1 as id",
    "models/slow.sql": '{% if execute %}{% do run_query("select ' + SLEEPS_ONCE + '") %}'
    "{% endif %} select id from {{ ref('quick') }}",
    # What a clone asks of each relation first.
    "macros/clone.sql": "{% macro load_cached_relation(relation) %}{% if relation.identifier == 'slow' %}"
    '{% do run_query("select ' + SLEEPS_ONCE + '") %}{% endif %}'
    "{{ return(adapter.get_relation(relation.database, relation.schema, relation.identifier)) }}{% endmacro %}",
    "models/_sources.yml": """
sources:
  - name: raw
    schema: raw
    config: {loaded_at_field: loaded_at, freshness: {warn_after: {count: 1, period: day}}}
    tables: [{name: quick}, {name: slow}]
""",
}
TABLES = f"""
create sequence slept;
create schema raw;
create table raw.quick as select now() as loaded_at;
create view raw.slow as select now() as loaded_at from {SLEEPS_ONCE};
create schema built;
create view built.quick as select 1 as id;
create view built.slow as select 1 as id;
"""
MODELS = {"quick": "model.any.quick", "slow": "model.any.slow"}
SOURCES = {"quick": "source.any.raw.quick", "slow": "source.any.raw.slow"}
INLINE = {"slow": "model.any.inline"}


async def outcome_of(run: EngineRun, unique_id: str, attempt: int) -> NodeOutcome | None:
    """How an attempt ends; None where it is lost."""
    try:
        return await run.execute_node(unique_id, no_progress, attempt=attempt)
    except DbtTemporalError as error:
        if (error.error_type, error.retryable) != (ErrorType.ENGINE_CRASHED, True):
            raise
        return None


async def asleep(postgres: PostgresDatabase) -> bool:
    return bool(await asyncio.to_thread(postgres.query, ASLEEP))


@pytest.mark.parametrize(
    ("run_input", "nodes", "artifact"),
    [
        ({"command": "docs-generate"}, MODELS, "catalog.json"),
        ({"command": "clone", "state_manifest_ref": "state/manifest.json"}, MODELS, "run_results.json"),
        ({"command": "show", "inline": f"select 1 as id from {SLEEPS_ONCE}"}, INLINE, "manifest.json"),
        ({"command": "compile"}, MODELS, "manifest.json"),
        ({"command": "source-freshness"}, SOURCES, "sources.json"),
    ],
    ids=["docs-generate", "clone", "inline", "compile", "source-freshness"],
)
async def test_what_it_has_not_told_is_done_again_its_statement_has_ended_and_the_artifacts_are_whole(
    tmp_path: Path,
    postgres: PostgresDatabase,
    run_input: Mapping[str, Any],
    nodes: Mapping[str, str],
    artifact: str,
) -> None:
    location = make_project(tmp_path / "project", FILES)
    postgres.execute(TABLES)
    engines = [
        DbtV2Engine(tmp_path / name, binary=str(BINARY), environ=environment(), settle_secs=0.1)
        for name in ("lost", "successor")
    ]
    invocation = new_invocation(env=on_postgres(postgres), **run_input)
    lost, successor = (opened(engine, location, invocation) for engine in engines)
    if run_input["command"] == "clone":
        (location.project_dir / "state").mkdir()
        parsed = await opened(
            engines[1], location, new_invocation(command="parse", env=on_postgres(postgres))
        ).artifacts([], 0.0)
        (location.project_dir / "state" / "manifest.json").write_bytes(parsed["manifest.json"].read_bytes())
    await lost.plan()
    prepared = await lost.before_run(no_progress)
    asked = {name: asyncio.create_task(outcome_of(lost, unique_id, 1)) for name, unique_id in nodes.items()}
    await wait_for(lambda: _asleep_or_none(postgres), what="the statement sleeps")
    os.kill(await asyncio.to_thread(newest_process, tmp_path / "lost"), signal.SIGKILL)
    first = {name: await task for name, task in asked.items()}
    assert first["slow"] is None
    assert not await asleep(postgres)

    ended = {nodes[name]: outcome.result.status for name, outcome in first.items() if outcome is not None}
    resumed = await successor.resume(no_progress, ended, LostWork(mark=prepared.mark))
    assert not resumed.knows_all
    outcomes = {}
    for name, unique_id in nodes.items():
        outcome = first[name] or await outcome_of(successor, unique_id, 2)
        assert outcome is not None
        assert outcome.result.status == "success", outcome.result.message
        outcomes[name] = outcome
    await successor.after_run([], no_progress)
    results = [CompletedNode(outcome.result, outcome.record) for outcome in outcomes.values()]
    written = await successor.artifacts(results, 1.0)
    document = json.loads(written[artifact].read_bytes())
    assert document["metadata"]["invocation_id"] == invocation.invocation_id
    if artifact in ("run_results.json", "sources.json"):
        assert {entry["unique_id"] for entry in document["results"]} == set(nodes.values())
    if "inline" in run_input:
        assert outcomes["slow"].result.rows == [{"id": 1}]
    for engine in engines:
        await engine.end_run(invocation.invocation_id)
        await engine.close()


async def _asleep_or_none(postgres: PostgresDatabase) -> bool | None:
    return await asleep(postgres) or None
