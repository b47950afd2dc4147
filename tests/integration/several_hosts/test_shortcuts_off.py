"""A run is the same with the shortcuts through dbt and without."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.engine_driver import DrivenRun, copy_project, drive, new_invocation, open_engine
from tests.integration.equality.compare import manifest_difference, run_results_difference
from tests.integration.equality.compare_relations import relation_differences

pytestmark = pytest.mark.every_dbt_version

_MOMENT = re.compile(r"\d{2}:\d{2}:\d{2}\.\d{6}|in \d+\.\d+s?|\d+\.\d{3} seconds|0x[0-9a-f]+")


async def built(folder: Path, shortcuts: str) -> DrivenRun:
    """A build of the example in an empty database, which is moved away."""
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "JAFFLE_SHOP_DB": str(folder / "shop.duckdb")}
    limits = read_settings({"DBT_TEMPORAL_DBT_SHORTCUTS": shortcuts}).engine
    location = ProjectLocation(project_dir=folder / "shop", profiles_dir=folder / "shop")
    async with open_engine(folder / "cache", environ=environ, limits=limits) as engine:
        run = await drive(engine, location, new_invocation(command="build"))
    keep_database(folder, shortcuts)
    return run


def keep_database(folder: Path, name: str) -> None:
    """With its log: a process that was ended may have left some of it there."""
    for part in folder.glob("shop.duckdb*"):
        part.rename(folder / part.name.replace("shop", name))


def events(run: DrivenRun) -> dict[str, set[str]]:
    """What dbt has logged of each node, without moments, and in any order: threads take turns as they like."""
    return {
        unique_id: {
            _MOMENT.sub("...", line.split("]: ", 1)[-1]) for line in outcome.log.splitlines() if "SQL status" in line
        }
        for unique_id, outcome in run.outcomes.items()
    }


async def test_with_shortcuts_and_without_a_run_is_the_same(tmp_path: Path) -> None:
    copy_project("examples/jaffle-shop", tmp_path / "shop")
    mine, other = [await built(tmp_path, shortcuts) for shortcuts in ("true", "false")]
    assert mine.statuses() == other.statuses()
    assert any(events(mine).values())
    assert events(mine) == events(other)
    for name, compared in {
        "run_results.json": run_results_difference,
        "manifest.json": manifest_difference,
    }.items():
        theirs = tmp_path / name
        theirs.write_bytes(other.artifacts[name])
        assert compared(mine.artifacts[name], theirs) == []
    assert mine.artifacts.keys() == other.artifacts.keys()
    assert relation_differences(tmp_path / "true.duckdb", tmp_path / "false.duckdb") == []
