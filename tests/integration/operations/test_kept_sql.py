"""What nodes send to the database is recorded for the archive of it, and for nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import drive, new_invocation, open_engine, write_files

PROJECT = {
    "dbt_project.yml": "{name: shop, version: '1.0', profile: shop}",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: \"{{ env_var('SHOP_DB') }}\"}}}",
    "models/one.sql": "select 1 as one",
}


@pytest.mark.parametrize(
    ("keeps_sql", "fields", "kept"),
    [(True, {}, ["run/shop/models/one.sql"]), (False, {}, []), (True, {"write_json": False}, [])],
)
async def test_records_have_it_where_a_run_stores_it(
    keeps_sql: bool, fields: dict[str, Any], kept: list[str], tmp_path: Path
) -> None:
    write_files(tmp_path / "shop", PROJECT)
    location = ProjectLocation(project_dir=tmp_path / "shop", profiles_dir=tmp_path / "shop")
    invocation = new_invocation(command="run", env={"SHOP_DB": str(tmp_path / "shop.duckdb")}, **fields)
    async with open_engine(tmp_path / "cache", keeps_sql=keeps_sql) as engine:
        done = await drive(engine, location, invocation)
    assert done.output.success
    assert list(json.loads(done.outcomes["model.shop.one"].record).get("sql", {})) == kept
