"""Many runs by one worker: it does not hold more after each of them."""

from __future__ import annotations

import os
from pathlib import Path

from temporalio.client import Client

from dbt_temporal.application.ports.runs import Ending
from tests.faults.disks.shop import rows, shop_in
from tests.faults.endurance.growth import held, slope

RUNS = int(os.environ.get("FAULTS_RUNS", "15"))
"""Its long form has 500 (docs/reliability.md)."""
WARM_UP = RUNS // 3


async def test_memory_descriptors_and_the_cache_do_not_grow_with_the_number_of_runs(
    tmp_path: Path, temporal_address: str, temporal_client: Client
) -> None:
    database, cache = tmp_path / "shop.duckdb", tmp_path / "cache"
    async with shop_in(tmp_path, temporal_address, temporal_client) as shop:
        # Without a cache of runs, as that holds the last 1,000 of them.
        kept = {"WRITE_ARTIFACTS": "true", "ARTIFACT_STORE": str(tmp_path / "store")}
        worker = await shop.worker(WORKER_MAX_CACHED_WORKFLOWS="0", **kept)
        seen = []
        for _ in range(RUNS):
            outcome = await shop.run(database, select="small")
            assert outcome.ending is Ending.COMPLETED, outcome.message
            seen.append(held(worker, cache))
    assert rows(database) == {"small": RUNS}
    seen = seen[WARM_UP:]
    assert slope([each.descriptors for each in seen]) == 0, seen
    assert slope([each.files for each in seen]) == 0, seen
    assert slope([each.kib for each in seen]) < 300, seen
