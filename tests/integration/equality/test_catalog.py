"""catalog.json is what `dbt docs generate` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


REFUSES = """
{% macro get_catalog_relations(information_schema, relations) %}
  {% if information_schema.database == 'side' %}{{ exceptions.raise_compiler_error('not today') }}{% endif %}
  {{ return(adapter.dispatch('get_catalog_relations', 'dbt')(information_schema, relations)) }}
{% endmacro %}
"""


def two_databases(folder: Path) -> tuple[ProjectLocation, dict[str, str]]:
    write_files(folder / "shop", TWO_DATABASES)
    env = {"SHOP_DB": str(folder / "shop.duckdb"), "SIDE_DB": str(folder / "side.duckdb")}
    return ProjectLocation(folder / "shop", folder / "shop"), env


TWO_DATABASES = {
    "dbt_project.yml": "{name: shop, version: '1.0', profile: shop}",
    "profiles.yml": """
shop:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{{ env_var('SHOP_DB') }}"
      attach: [{path: "{{ env_var('SIDE_DB') }}", alias: side}]
      threads: 4
""",
    "models/here.sql": "{{ config(materialized='table') }} select 1 as n, 'a' as letter, date '2026-01-01' as day",
    "models/there.sql": (
        "{{ config(materialized='table', database='side') }} select n + 1 as n, 1.50 as price from {{ ref('here') }}"
    ),
    "models/sources.yml": """
version: 2
sources:
  - {name: raw, database: side, schema: main, tables: [{name: there, description: by hand}]}
models:
  - {name: here, description: d, columns: [{name: n, description: c}]}
""",
}


@pytest.mark.parametrize(
    ("arguments", "given", "fetched"),
    [
        ([], {}, ["catalog.shop.shop", "catalog.shop.side"]),
        (["--no-compile"], {"compile": False}, ["catalog.shop.shop", "catalog.shop.side"]),
        (["--select", "there"], {"select": "there"}, ["catalog.shop"]),
        (["--empty-catalog"], {"empty_catalog": True}, ["catalog.shop"]),
    ],
    ids=["all", "nothing is compiled", "one is selected", "nothing is asked"],
)
async def test_a_catalog_of_two_databases_is_fetched_in_two_parts(
    tmp_path: Path, arguments: list[str], given: dict[str, Any], fetched: list[str]
) -> None:
    location, env = two_databases(tmp_path)
    assert run_cli(["run"], location.project_dir, tmp_path / "target", env).returncode == 0
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(command="docs-generate", env=env, **given))
    # Side by side, so in whatever order they end.
    assert {each for each in run.statuses() if each.startswith("catalog.")} == set(fetched)
    cli = run_cli(["docs", "generate", *arguments], location.project_dir, tmp_path / "target", env)
    assert cli.returncode == 0, cli.stdout
    ours = json.loads(run.artifacts["catalog.json"])
    assert difference(ours, read_json(tmp_path / "target" / "catalog.json")) == []


@pytest.mark.parametrize(
    ("flags", "given", "fetched"),
    [
        ([], {}, {"catalog.shop.shop": "success", "catalog.shop.side": "error"}),
        (["--select", "there"], {"select": "there"}, {"catalog.shop": "error"}),
        (["--fail-fast"], {"fail_fast": True}, {"catalog.shop.shop": "success", "catalog.shop.side": "error"}),
        (["--warn-error"], {"warn_error": True}, {"catalog.shop.shop": "success", "catalog.shop.side": "error"}),
        (["--warn-error", "--select", "there"], {"warn_error": True, "select": "there"}, {"catalog.shop": "error"}),
    ],
    ids=["a part", "the whole", "with fail-fast", "warnings are errors", "the whole, warnings are errors"],
)
async def test_what_the_database_refuses_to_tell_for_a_catalog_is_among_its_errors(
    tmp_path: Path, flags: list[str], given: dict[str, Any], fetched: dict[str, str]
) -> None:
    location, env = two_databases(tmp_path)
    write_files(location.project_dir, {"macros/catalog.sql": REFUSES})
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(command="docs-generate", env=env, **given))
    assert {each: status for each, status in run.statuses().items() if each.startswith("catalog.")} == fetched
    cli = run_cli(["docs", "generate", *flags], location.project_dir, tmp_path / "target", env)
    assert cli.returncode != 0
    assert_same_files(run.artifacts, tmp_path / "target")


def assert_same_files(ours: Mapping[str, bytes], target: Path) -> None:
    names = ("catalog.json", "manifest.json", "semantic_manifest.json", "run_results.json", "index.html")
    theirs = {name for name in names if (target / name).exists()}
    assert ours.keys() - {"log.txt", "run.json"} == theirs
    if "catalog.json" in theirs:
        assert difference(json.loads(ours["catalog.json"]), read_json(target / "catalog.json")) == []


async def test_the_catalog_of_postgresql_is_that_of_docs_generate(tmp_path: Path, postgres: PostgresDatabase) -> None:
    write_files(tmp_path / "pg", {**POSTGRES_PROJECT, **MODELS})
    env = postgres_env(postgres, "PG")
    catalog = await catalog_compared(ProjectLocation(tmp_path / "pg", tmp_path / "pg"), env, tmp_path)
    types = {name: node["metadata"]["type"] for name, node in catalog["nodes"].items()}
    assert types == {"model.pg.shown": "VIEW", "model.pg.stored": "BASE TABLE", "seed.pg.cities": "BASE TABLE"}
    assert catalog["nodes"]["model.pg.stored"]["columns"]["city"]["type"] == "text"
