"""A disk that is full: what could not be written is said, and what was is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from dbt_temporal.application.ports.runs import Ending
from tests.faults.disks.shop import BIG_ROWS, Shop, results, rows, shop_in
from tests.faults.disks.small_disk import filled, small_disk


@pytest.fixture
async def shop(tmp_path: Path, temporal_address: str, temporal_client: Client) -> AsyncIterator[Shop]:
    async with shop_in(tmp_path, temporal_address, temporal_client) as shop:
        yield shop


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 40) as disk:
        yield disk


async def test_a_database_on_a_full_disk_has_what_the_run_says(shop: Shop, disk: Path) -> None:
    await shop.worker()
    database = disk / "shop.duckdb"
    assert (await shop.run(database, select="small")).ending is Ending.COMPLETED
    with filled(disk):
        outcome = await shop.run(database)
    ended = results(outcome)
    assert outcome.ending is Ending.FAILED
    assert ended["big"].status != "success"
    assert rows(database, outcome).get("small", 0) == int(ended["small"].status == "success")
    assert "big" not in rows(database)
    assert any("space" in (each.message or "") for each in ended.values()), ended
    outcome = await shop.run(database)
    assert outcome.ending is Ending.COMPLETED, outcome.message
    assert rows(database, outcome) == {"small": 1, "big": BIG_ROWS}


async def test_a_store_on_a_full_disk_fails_the_run_that_has_its_data(shop: Shop, disk: Path, tmp_path: Path) -> None:
    await shop.worker(WRITE_ARTIFACTS="true", ARTIFACT_STORE=str(disk))
    database = tmp_path / "shop.duckdb"
    with filled(disk):
        outcome = await shop.run(database)
    assert outcome.ending is Ending.FAILED
    assert "No space left" in (outcome.message or "")
    assert {each.status for each in results(outcome).values()} == {"success"}
    assert rows(database, outcome) == {"small": 1, "big": BIG_ROWS}
    assert list(disk.rglob("*.json*")) == []  # noqa: ASYNC240  nothing that is half


async def test_a_worker_whose_cache_is_full_says_so_and_writes_what_it_says(
    shop: Shop, disk: Path, tmp_path: Path
) -> None:
    await shop.worker(DBT_TEMPORAL_CACHE_DIR=str(disk))
    database = tmp_path / "shop.duckdb"
    assert (await shop.run(database)).ending is Ending.COMPLETED
    with filled(disk):
        outcome = await shop.run(database)
        if outcome.output is None:
            assert "space" in (outcome.message or "")
            assert rows(database)["small"] == 1
        else:
            said = int(results(outcome)["small"].status == "success")
            assert rows(database, outcome)["small"] == said
            assert outcome.ending is Ending.COMPLETED or "space" in (outcome.message or "")
    outcome = await shop.run(database)
    assert outcome.ending is Ending.COMPLETED, outcome.message
    assert rows(database, outcome)["small"] == 1
