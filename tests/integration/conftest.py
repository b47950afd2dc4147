"""Fixtures for tests against real servers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.search_attributes import register_search_attributes
from tests.integration.fixtures_postgres import postgres, postgres_server
from tests.integration.run_harness import RunHarness
from tests.integration.servers import SEARCH_ATTRIBUTES, temporal_dev_server

__all__ = ["postgres", "postgres_server"]


@pytest.fixture(scope="session")
def temporal_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server of TEMPORAL_TEST_ADDRESS, or a development server for the whole session."""
    given = os.environ.get("TEMPORAL_TEST_ADDRESS")
    if given:
        yield given
        return
    log: Path = tmp_path_factory.mktemp("temporal") / "server.log"
    with temporal_dev_server(log) as address:
        yield address


@pytest.fixture
async def temporal_client(temporal_address: str) -> Client:
    """A client as the worker and the commands have it."""
    client = await connect(ConnectionSettings(address=temporal_address), patience_secs=30)
    await register_search_attributes(client, SEARCH_ATTRIBUTES)
    return client


@pytest.fixture
def task_queue(request: pytest.FixtureRequest) -> str:
    """A task queue of the test's own."""
    return f"{request.node.name[:60]}-{uuid4().hex[:8]}"


@pytest.fixture
async def runs(temporal_client: Client, task_queue: str) -> AsyncIterator[RunHarness]:
    """A worker with a fake engine; it starts with the first run that the test submits."""
    async with AsyncExitStack() as stack:
        yield RunHarness(temporal_client, task_queue, stack)
