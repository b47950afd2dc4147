"""Parse results that environments share on disk: real dbt on DuckDB."""

from __future__ import annotations

import json
from pathlib import Path

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import new_invocation, open_engine, write_files

PROFILES = """
small:
  target: "{{ env_var('SMALL_TARGET', 'dev') }}"
  outputs:
    dev: &dev {type: duckdb, path: ":memory:", schema: main, threads: 1}
    prod: *dev
"""


def small_project(folder: Path) -> ProjectLocation:
    write_files(
        folder,
        {
            "dbt_project.yml": "name: small\nprofile: small\n",
            "profiles.yml": PROFILES,
            "models/by_target.sql": "{{ config(schema=target.name) }} select 1 as x",
            "models/by_variable.sql": "{{ config(alias='made_for_' ~ env_var('WHO', 'nobody')) }} select 1 as x",
        },
    )
    return ProjectLocation(folder, folder, revision="first")


async def names(engine: DbtCoreEngine, location: ProjectLocation, **env: str) -> dict[str, str]:
    """schema.alias of each model, as dbt's manifest of a run with this environment has them."""
    invocation = new_invocation(command="list", env=env)
    files = await engine.artifacts(location, invocation, [], 0.0)
    await engine.end_run(invocation)
    nodes = json.loads(files["manifest.json"])["nodes"].values()
    return {node["name"]: f"{node['schema']}.{node['alias']}" for node in nodes}


async def test_a_target_that_the_environment_names_is_never_that_of_an_earlier_parse(tmp_path: Path) -> None:
    location = small_project(tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        assert (await names(engine, location, SMALL_TARGET="dev"))["by_target"] == "main_dev.by_target"
        # dbt's own check compares the connection, and both targets have the same.
        assert (await names(engine, location, SMALL_TARGET="prod"))["by_target"] == "main_prod.by_target"


async def test_what_an_environment_changes_is_parsed_again(tmp_path: Path) -> None:
    location = small_project(tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        for who in ("ann", "ben", "ann"):
            assert (await names(engine, location, WHO=who))["by_variable"] == f"main.made_for_{who}"
        assert (await names(engine, location))["by_variable"] == "main.made_for_nobody"


async def test_an_environment_that_comes_back_is_not_parsed_from_nothing(tmp_path: Path) -> None:
    location = small_project(tmp_path / "project")
    for _ in range(2):
        async with open_engine(tmp_path / "cache") as engine:
            for target in ("dev", "prod"):
                await names(engine, location, SMALL_TARGET=target)
    # One file for each target; dbt starts from it.
    assert len(list((tmp_path / "cache" / "parsed").iterdir())) == 2
