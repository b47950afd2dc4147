"""Runs with different environments at once on one worker keep apart: real server, real dbt, PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from rich.console import Console
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.entrypoints.worker.main import run_worker
from tests.integration.equality.tenants import Tenant, relations_of, server_environment
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import wait_for

PROJECT = Path(__file__).parents[2] / "projects" / "tenants"
RUNS = 20
FACTOR = 100
logger = logging.getLogger(__name__)


@workflow.defn(name="choose_tenant", sandboxed=False)
class ChooseTenant:
    """A pre_run hook that says where the run goes."""

    @workflow.run
    async def run(self, payload: dict[str, Any]) -> dict[str, Any]:
        env: dict[str, str] = payload["input"]["vars"]["resolved"]
        return {"extra_env": env}


@pytest.fixture
def databases(postgres_server: PostgresDatabase) -> Iterator[list[PostgresDatabase]]:
    with postgres_server.fresh_database("tenants_a") as a, postgres_server.fresh_database("tenants_b") as b:
        yield [a, b]


@asynccontextmanager
async def worker(address: str, task_queue: str, folder: Path, database: PostgresDatabase) -> AsyncIterator[None]:
    """A worker in this process that serves the project `tenants`."""
    environ = {
        **{name: value for name, value in psutil.Process().environ().items() if not name.startswith("DBT_")},
        **server_environment(database),
        "TEMPORAL_ADDRESS": address,
        "TEMPORAL_TASK_QUEUE": task_queue,
        "DBT_PROJECT_DIRS": str(PROJECT),
        "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"),
        "HEALTH_FILE": str(folder / "health"),
    }
    output = io.StringIO()
    running = asyncio.create_task(run_worker(read_settings(environ), environ, console=Console(file=output)))

    async def ready() -> bool:
        if running.done():
            await running
        return (folder / "health").exists()

    try:
        await wait_for(ready, what="the worker is ready")
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def build(client: Client, task_queue: str, run_input: dict[str, Any]) -> DbtRunOutput:
    run = await TemporalRunGateway(client, task_queue).submit(run_input, f"run-{uuid4().hex}")
    outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED, outcome
    assert outcome.output is not None
    return outcome.output


def engine_memory_mb() -> tuple[int, float]:
    """The engine's processes below this one: how many, and their memory in MB, shared pages counted once (PSS)."""
    memory: list[int] = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if any("dbt_core.process" in word for word in child.cmdline()):
                memory.append(child.memory_full_info().pss)
    return len(memory), sum(memory) / 1e6


async def test_twenty_runs_at_once_with_their_own_environments_keep_apart(
    temporal_address: str, temporal_client: Client, task_queue: str, tmp_path: Path, databases: list[PostgresDatabase]
) -> None:
    tenants = [Tenant(number, databases[number % 4 // 2]) for number in range(1, RUNS + 1)]
    async with worker(temporal_address, task_queue, tmp_path, databases[0]):

        async def build_all(some: list[Tenant], **more: Any) -> dict[str, DbtRunOutput]:
            inputs = [
                tenant.run_input(vars={"factor": FACTOR + tenant.number}, full_refresh=tenant.number % 2 == 0, **more)
                for tenant in some
            ]
            outputs = await asyncio.gather(*[build(temporal_client, task_queue, run_input) for run_input in inputs])
            return {tenant.name: output for tenant, output in zip(some, outputs, strict=True)}

        earlier = await build_all(tenants[:4])
        started = time.monotonic()
        outputs = await build_all(tenants)
        logger.info("%d runs at once: %.1f s", RUNS, time.monotonic() - started)
        for tenant in tenants:
            output = outputs[tenant.name]
            tenant.check_contents(factor=FACTOR + tenant.number)
            assert tenant.diary(output.invocation_id) == tenant.diary_of_a_build()
            rows = {(tenant.name, output.invocation_id, str(tenant in tenants[:4] and tenant.number % 2 == 1))}
            if tenant in tenants[:4] and tenant.number % 2 == 1:
                rows.add((tenant.name, earlier[tenant.name].invocation_id, "False"))
            assert set(tenant.select("tenant, invocation, incremental", "counted")) == rows
        for database in databases:
            expected = [tenant.relations().values() for tenant in tenants if tenant.database is database]
            assert relations_of(database) == {relation for relations in expected for relation in relations}
        logger.info("engine processes afterwards: %d, %.0f MB", *engine_memory_mb())


async def test_the_environment_that_a_pre_run_hook_adds_chooses_the_database(
    temporal_address: str, temporal_client: Client, task_queue: str, tmp_path: Path, databases: list[PostgresDatabase]
) -> None:
    tenants = [Tenant(number, databases[number % 2]) for number in (1, 3, 4)]
    hook = {"workflow_type": "choose_tenant", "task_queue": f"{task_queue}-hooks", "on_error": "fail"}
    async with (
        worker(temporal_address, task_queue, tmp_path, databases[0]),
        Worker(temporal_client, task_queue=f"{task_queue}-hooks", workflows=[ChooseTenant]),
    ):
        await asyncio.gather(
            *[
                build(
                    temporal_client,
                    task_queue,
                    {
                        **tenant.run_input(),
                        "env": {"TENANT": "overruled by the hook"},
                        "vars": {"factor": 7, "resolved": tenant.env},
                        "hooks": {"pre_run": [hook]},
                    },
                )
                for tenant in tenants
            ]
        )
    for tenant in tenants:
        tenant.check_contents(factor=7)
    for database in databases:
        expected = [tenant.relations().values() for tenant in tenants if tenant.database is database]
        assert relations_of(database) == {relation for relations in expected for relation in relations}
