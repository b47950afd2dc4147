"""catalog.json is what `dbt docs generate` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import copy_project, drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import difference, read_json, run_cli
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase, postgres_env

pytestmark = pytest.mark.every_dbt_version

MODELS = {
    "seeds/cities.csv": "city,people\nUlm,126000\n",
    "models/stored.sql": "{{ config(materialized='table') }} select * from {{ ref('cities') }}",
    "models/shown.sql": "select * from {{ ref('stored') }}",
}


async def catalog_compared(location: ProjectLocation, env: dict[str, str], folder: Path) -> dict[str, Any]:
    """The catalog of a build, which is found to be that of the command line on the same database."""
    async with open_engine(folder / "cache") as engine:
        run = await drive(engine, location, new_invocation(command="build", env=env), with_catalog=True)
    cli = run_cli(["docs", "generate", "--no-compile"], location.project_dir, folder / "target", env)
    assert cli.returncode == 0, cli.stdout
    ours: dict[str, Any] = json.loads(run.artifacts["catalog.json"])
    assert difference(ours, read_json(folder / "target" / "catalog.json")) == []
    return ours


async def test_the_catalog_is_that_of_docs_generate(tmp_path: Path) -> None:
    location = copy_project("examples/jaffle-shop", tmp_path / "shop")
    catalog = await catalog_compared(location, {"JAFFLE_SHOP_DB": str(tmp_path / "jaffle_shop.duckdb")}, tmp_path)
    assert len(catalog["nodes"]) > 5


async def test_the_catalog_of_postgresql_is_that_of_docs_generate(tmp_path: Path, postgres: PostgresDatabase) -> None:
    write_files(tmp_path / "pg", {**POSTGRES_PROJECT, **MODELS})
    env = postgres_env(postgres, "PG")
    catalog = await catalog_compared(ProjectLocation(tmp_path / "pg", tmp_path / "pg"), env, tmp_path)
    types = {name: node["metadata"]["type"] for name, node in catalog["nodes"].items()}
    assert types == {"model.pg.shown": "VIEW", "model.pg.stored": "BASE TABLE", "seed.pg.cities": "BASE TABLE"}
    assert catalog["nodes"]["model.pg.stored"]["columns"]["city"]["type"] == "text"
