"""Fixtures for tests against real servers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.connection.search_attributes import register_search_attributes
from tests.differential.warm_macros import interpreter
from tests.integration.engine_driver import open_engine
from tests.integration.fixtures_postgres import postgres, postgres_server
from tests.integration.run_harness import DbtHarness, RunHarness
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


@pytest.fixture(scope="session")
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
        harness = RunHarness(temporal_client, task_queue, stack)
        yield harness
        # The worker's end waits for its nodes, which a test may have left at a gate.
        for gate in harness.engine.gates.values():
            gate.set()


@pytest.fixture(scope="session")
async def dbt_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtCoreEngine]:
    """dbt, for tests whose runs may share an engine: importing dbt takes seconds."""
    # As the helper that runs dbt's command line has it, so that their artifacts can be compared.
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    # Most of what a parse of a small project takes are the macros that come with dbt.
    python = str(interpreter(tmp_path_factory.mktemp("warm")))
    async with open_engine(tmp_path_factory.mktemp("cache"), environ=environ, python=python) as engine:
        yield engine


@pytest.fixture(scope="module")
async def dbt_workers(
    temporal_client: Client, dbt_engine: DbtCoreEngine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[[], DbtHarness]]:
    """Makes workers with dbt, each with a task queue of its own; they end with the module's last test."""
    async with AsyncExitStack() as stack:

        def make() -> DbtHarness:
            folder = tmp_path_factory.mktemp("artifacts")
            return DbtHarness(temporal_client, f"dbt-{uuid4().hex[:12]}", stack, dbt_engine, folder)

        yield make


@pytest.fixture(scope="session", autouse=True)
async def no_task_outlives_the_server(temporal_address: str) -> AsyncIterator[None]:
    """Ends what a failed test has left running while the server still answers: the SDK waits for its last poll."""
    yield
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=30)
