"""Which relations a run of a real project has for itself alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.leases.messages import Lease, LeasePer, pack_keys
from tests.integration.engine_driver import new_invocation, opened, write_files

pytestmark = pytest.mark.every_dbt_version

PROJECT = {
    "dbt_project.yml": "name: Small\nversion: '1.0'\nprofile: small\n",
    "profiles.yml": """
small:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('FILE', 'shop.duckdb') }}", schema: "{{ env_var('SCHEMA', 'main') }}"}
""",
    "models/one.sql": "select 1 as one",
    "models/Two.sql": "{{ config(alias='zwei', schema='Other') }} select one from {{ ref('inlined') }}",
    "models/inlined.sql": "{{ config(materialized='ephemeral') }} select one from {{ ref('one') }}",
    "models/tests.yml": "models: [{name: one, columns: [{name: one, data_tests: [unique]}]}]",
    "snapshots/history.yml": """
snapshots:
  - name: history
    relation: ref('one')
    config: {unique_key: one, strategy: check, check_cols: all}
""",
    "seeds/numbers.csv": "number\n1\n",
    "macros/any.sql": "{% macro any() %}{% endmacro %}",
}
ONE, OTHER, HISTORY, NUMBERS = "shop.main.one", "shop.main_other.zwei", "shop.main.history", "shop.main.numbers"
UNIQUE = "shop.main_dbt_test__audit.unique_one_one"


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> ProjectLocation:
    folder = tmp_path_factory.mktemp("small")
    write_files(folder, PROJECT)
    return ProjectLocation(folder, folder)


async def lease_of(
    engine: DbtCoreEngine, location: ProjectLocation, per: LeasePer = "relation", **run_input: Any
) -> Lease | None:
    run = opened(engine, location, new_invocation(**run_input))
    return await run.lease(per, (await run.plan()).plan.nodes)


def keys_of(lease: Lease | None) -> str | None:
    return None if lease is None else lease.keys


@pytest.mark.parametrize(
    ("run_input", "relations"),
    [
        ({"command": "run"}, [ONE, OTHER]),
        ({"command": "run", "select": "inlined"}, None),
        ({"command": "build"}, [ONE, OTHER, HISTORY, NUMBERS]),
        ({"command": "seed"}, [NUMBERS]),
        ({"command": "snapshot"}, [HISTORY]),
        ({"command": "test"}, None),
        ({"command": "test", "store_failures": True}, [UNIQUE]),
        ({"command": "compile"}, None),
        ({"command": "list"}, None),
        ({"command": "run-operation", "macro": "any"}, None),
    ],
)
async def test_a_run_has_the_relations_that_its_nodes_write(
    dbt_engine: DbtCoreEngine, location: ProjectLocation, run_input: dict[str, Any], relations: Iterable[str] | None
) -> None:
    lease = await lease_of(dbt_engine, location, **run_input)
    assert keys_of(lease) == (None if relations is None else pack_keys(relations))


async def test_per_target_and_project_one_key_stands_for_all(
    dbt_engine: DbtCoreEngine, location: ProjectLocation
) -> None:
    operation = {"command": "run-operation", "macro": "any"}
    project = await lease_of(dbt_engine, location, "project", command="run", select="one")
    assert project is not None
    assert (project.scope, project.what) == ("project/Small", "the project Small")
    assert await lease_of(dbt_engine, location, "project", env={"SCHEMA": "x"}, **operation) == project
    target = await lease_of(dbt_engine, location, "target", command="run")
    assert target is not None
    assert target.scope.startswith("target/duckdb/shop.main/")
    assert await lease_of(dbt_engine, location, "target", **operation) == target
    elsewhere = await lease_of(dbt_engine, location, "target", command="run", env={"SCHEMA": "x"})
    assert elsewhere is not None
    assert elsewhere.scope != target.scope
    assert await lease_of(dbt_engine, location, "target", command="test") is None


async def test_two_projects_meet_in_one_database_and_not_in_two(
    dbt_engine: DbtCoreEngine, location: ProjectLocation, tmp_path: Path
) -> None:
    file = str(tmp_path / "shop.duckdb")
    write_files(tmp_path / "other", {**PROJECT, "dbt_project.yml": "name: large\nversion: '1.0'\nprofile: small\n"})
    other = ProjectLocation(tmp_path / "other", tmp_path / "other")
    one = await lease_of(dbt_engine, location, command="run", env={"FILE": file})
    assert one == await lease_of(dbt_engine, other, command="run", env={"FILE": file})
    assert one is not None
    elsewhere = await lease_of(dbt_engine, other, command="run", env={"FILE": str(tmp_path / "b" / "shop.duckdb")})
    assert elsewhere is not None
    assert (elsewhere.keys, elsewhere.scope != one.scope) == (one.keys, True)


async def test_nobody_else_writes_to_a_database_in_memory(dbt_engine: DbtCoreEngine, location: ProjectLocation) -> None:
    memory = {"FILE": ":memory:"}
    assert await lease_of(dbt_engine, location, "relation", command="run", env=memory) is None
    assert await lease_of(dbt_engine, location, "target", command="run", env=memory) is None
    assert await lease_of(dbt_engine, location, "project", command="run", env=memory) is not None
