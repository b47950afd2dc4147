"""A DuckDB file that somebody else has open, or that is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from dbt_temporal.application.ports.runs import Ending
from tests.faults.disks.shop import BIG_ROWS, Shop, held_by_another_process, results, rows, shop_in
from tests.integration.servers import wait_for


@pytest.fixture
async def shop(tmp_path: Path, temporal_address: str, temporal_client: Client) -> AsyncIterator[Shop]:
    async with shop_in(tmp_path, temporal_address, temporal_client) as shop:
        await shop.worker()
        yield shop


async def test_a_run_waits_for_a_file_that_another_process_has_open(shop: Shop, tmp_path: Path) -> None:
    database = tmp_path / "shop.duckdb"
    with held_by_another_process(database):
        run = await shop.begin(database)

        async def has_begun() -> bool:
            pending = (await run.handle.describe()).raw_description.pending_activities
            return any(each.activity_type.name in ("before_run", "model:small") for each in pending)

        await wait_for(has_begun, what="the run asks for the database")
        await asyncio.sleep(1)
    outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED, outcome.message
    assert rows(database, outcome) == {"small": 1, "big": BIG_ROWS}


async def test_a_file_that_is_no_database_fails_the_run_and_stays_as_it_is(shop: Shop, tmp_path: Path) -> None:
    database = tmp_path / "shop.duckdb"
    assert (await shop.run(database)).ending is Ending.COMPLETED
    whole = database.read_bytes()
    broken = b"\\0" * 8192 + whole[8192:]
    database.write_bytes(broken)
    outcome = await asyncio.wait_for(shop.run(database), 120)
    assert outcome.ending is Ending.FAILED
    assert str(database) in (outcome.message or "")
    assert database.read_bytes() == broken
    assert outcome.output is None or {each.status for each in results(outcome).values()} <= {"error", "skipped"}
    database.write_bytes(whole)
    outcome = await shop.run(database)
    assert outcome.ending is Ending.COMPLETED, outcome.message
    assert rows(database, outcome) == {"small": 1, "big": BIG_ROWS}
