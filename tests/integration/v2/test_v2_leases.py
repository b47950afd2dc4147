"""Runs on dbt v2 and on dbt-core have the same names for what they have for themselves alone, and in their lineage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.domain.leases.messages import Lease, LeasePer
from dbt_temporal.domain.lineage.events import inputs_of
from dbt_temporal.domain.lineage.model import LineageGraph, LineageNode
from tests.integration.engine_driver import new_invocation, opened
from tests.integration.postgres import PostgresDatabase
from tests.integration.v2.installed import make_project, needs_dbt_v2, on_duckdb, on_postgres

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]

FILES = {
    "models/one.sql": "select 1 as id",
    "models/two.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('one') }}",
    "seeds/listed.csv": "id\n1\n",
    "tests/none.sql": "select id from {{ ref('one') }} where false",
}

OF_EVERY_KIND = {
    "models/one.sql": "{{ config(alias='first') }} select id from {{ source('raw', 'given') }}",
    "models/two.sql": "{{ config(materialized='ephemeral') }} select id from {{ ref('one') }}",
    "models/three.sql": "select id from {{ ref('two') }} union all select id from {{ ref('listed') }}",
    "models/_models.yml": """
sources: [{name: raw, schema: raw, tables: [{name: given, identifier: given_2026}]}]
models: [{name: three, columns: [{name: id, data_tests: [not_null]}]}]
""",
    "seeds/listed.csv": "id\n1\n",
    "snapshots/kept.yml": "snapshots: [{name: kept, relation: \"ref('three')\", config: {unique_key: id, "
    "strategy: check, check_cols: [id]}}]",
}
"""But for singular tests, whose ids have a hash with dbt v2 alone."""


@pytest.mark.parametrize("per", ["project", "target", "relation"])
@pytest.mark.parametrize("run_input", [{}, {"command": "test"}, {"store_failures": True}])
@pytest.mark.parametrize("on", ["duckdb", "postgres"])
async def test_both_engines_ask_for_the_same_lease(
    v2_engine: DbtV2Engine,
    dbt_engine: DbtCoreEngine,
    tmp_path: Path,
    postgres: PostgresDatabase,
    per: LeasePer,
    run_input: dict[str, Any],
    on: str,
) -> None:
    location = make_project(tmp_path / "project", FILES)
    env = on_duckdb(tmp_path) if on == "duckdb" else on_postgres(postgres)
    leases: list[Lease | None] = []
    for engine in (v2_engine, dbt_engine):
        run = opened(engine, replace(location), new_invocation(env=env, **run_input))
        plan = (await run.plan()).plan
        leases.append(await run.lease(per, plan.nodes))
    assert leases[0] == leases[1]
    assert (leases[0] is None) == (run_input.get("command") == "test")


def comparable(graph: LineageGraph) -> dict[str, LineageNode]:
    """The nodes; parents have no order."""
    return {uid: replace(node, parents=tuple(sorted(node.parents))) for uid, node in graph.nodes.items()}


@pytest.mark.parametrize("on", ["duckdb", "postgres"])
async def test_both_engines_know_the_same_lineage(
    v2_engine: DbtV2Engine, dbt_engine: DbtCoreEngine, tmp_path: Path, postgres: PostgresDatabase, on: str
) -> None:
    location = make_project(tmp_path / "project", OF_EVERY_KIND)
    env = on_duckdb(tmp_path) if on == "duckdb" else on_postgres(postgres)
    graphs: list[LineageGraph] = []
    for engine in (v2_engine, dbt_engine):
        run = opened(engine, replace(location), new_invocation(env=env))
        await run.plan()
        graphs.append(await run.lineage())
    assert comparable(graphs[0]) == comparable(graphs[1])
    server = f"duckdb://{env['ANY_DB']}" if on == "duckdb" else f"postgres://{postgres.host}:{postgres.port}"
    assert {graph.namespace for graph in graphs} == {server}
    read = {each.name.partition(".")[2] for each in inputs_of(graphs[0], "model.any.three")}
    schema = "main" if on == "duckdb" else "built"
    assert read == {f"{schema}.first", f"{schema}.listed"}
    assert [each.name.partition(".")[2] for each in inputs_of(graphs[0], "model.any.one")] == ["raw.given"]
