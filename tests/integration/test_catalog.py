"""catalog.json is what `dbt docs generate` writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.compare import difference, read_json, run_cli
from tests.integration.engine_driver import copy_project, drive, new_invocation, open_engine

pytestmark = pytest.mark.every_dbt_version


async def test_the_catalog_is_that_of_docs_generate(tmp_path: Path) -> None:
    location = copy_project("examples/jaffle-shop", tmp_path / "shop")
    env = {"JAFFLE_SHOP_DB": str(tmp_path / "jaffle_shop.duckdb")}
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(command="build", env=env), with_catalog=True)
    cli = run_cli(["docs", "generate", "--no-compile"], location.project_dir, tmp_path / "target", env)
    assert cli.returncode == 0, cli.stdout
    ours = json.loads(run.artifacts["catalog.json"])
    assert len(ours["nodes"]) > 5
    assert difference(ours, read_json(tmp_path / "target" / "catalog.json")) == []
