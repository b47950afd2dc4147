"""Servers for the faults, those of the integration tests; and workers on them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.integration.conftest import (
    dbt_engine,
    no_task_outlives_the_server,
    postgres,
    postgres_server,
    runs,
    task_queue,
    temporal_address,
    temporal_client,
)
from tests.integration.engine_driver import write_files
from tests.integration.postgres import PostgresDatabase
from tests.integration.worker.test_shutdown import SOON_LOST, Site, site_in

__all__ = [
    "dbt_engine",
    "no_task_outlives_the_server",
    "postgres",
    "postgres_server",
    "runs",
    "task_queue",
    "temporal_address",
    "temporal_client",
]


@pytest.fixture
async def site(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    temporal_address: str,
    postgres: PostgresDatabase,
    temporal_client: Client,
) -> AsyncIterator[Site]:
    """Workers whose project has the module's model `APPENDS`."""
    async with site_in(tmp_path, temporal_address, postgres, temporal_client) as site:
        write_files(tmp_path / "pg", {"models/sleeps.sql": request.module.APPENDS, "dbt_temporal.yml": SOON_LOST})
        yield site
