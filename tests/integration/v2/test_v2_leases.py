"""Runs on dbt v2 and on dbt-core have the same names for what they have for themselves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.domain.leases.messages import Lease, LeasePer
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
