"""Where the server tells workers of cancels by itself, a node heartbeats once a minute, and still ends at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect, namespace_facts
from dbt_temporal.adapters.temporal.gateway import TemporalRun
from tests.integration.engine_driver import write_files
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import temporal_dev_server, wait_for
from tests.integration.worker.test_shutdown import SLEEPERS, Site, site_in

COMMANDS = ("frontend.WorkerCommandsEnabled=true", "system.enableCancelActivityWorkerCommand=true")


@pytest.fixture
async def telling(tmp_path: Path, postgres: PostgresDatabase) -> AsyncIterator[Site]:
    options = [option for command in COMMANDS for option in ("--dynamic-config-value", command)]
    with temporal_dev_server(tmp_path / "server.log", options=options) as address:
        client = await connect(ConnectionSettings(address=address), patience_secs=60)
        assert (await namespace_facts(client)).tells_of_cancels
        async with site_in(tmp_path, address, postgres, client) as site:
            write_files(tmp_path / "pg", {"dbt_temporal.yml": "timeouts: {node_heartbeat_secs: 300}\n"})
            yield site


async def last_heartbeat(run: TemporalRun) -> Any:
    (pending,) = (await run.handle.describe()).raw_description.pending_activities
    return pending.last_heartbeat_time.ToDatetime() if pending.heartbeat_details.payloads else None


async def cancelled(run: TemporalRun) -> None:
    await run.handle.cancel()


async def terminated(run: TemporalRun) -> None:
    await run.handle.terminate()


@pytest.mark.parametrize("end", [cancelled, terminated])
async def test_a_statement_ends_with_its_run_although_its_node_heartbeats_seldom(
    telling: Site, end: Callable[[TemporalRun], Awaitable[None]]
) -> None:
    await telling.worker()
    run = await telling.run()
    first = await wait_for(lambda: last_heartbeat(run), what="the node has told which process it is in")
    await asyncio.sleep(5)  # for which others would have had two more
    assert await last_heartbeat(run) == first
    await end(run)
    async with asyncio.timeout(10):
        await telling.eventually(lambda: telling.count(SLEEPERS) == 0, "the statement has ended")


async def test_how_often_a_node_heartbeats_is_the_workers_to_say_and_what_it_is_at_goes_along(telling: Site) -> None:
    await telling.worker(WORKER_HEARTBEAT_SECS="1")
    run = await telling.run()
    first = await wait_for(lambda: last_heartbeat(run), what="the node has told which process it is in")

    async def again() -> bool:
        return bool(await last_heartbeat(run) != first)

    await wait_for(again, what="it has told so again")
    backend = telling.count(SLEEPERS.replace("count(*)", "min(pid)"))

    async def told_all() -> bool:
        (pending,) = (await run.handle.describe()).raw_description.pending_activities
        facts = json.loads(pending.heartbeat_details.payloads[0].data)
        return facts.keys() >= {"host_pid", "elapsed_secs"} and (facts.get("phase"), facts.get("session")) == (
            "executing",
            backend,
        )

    await wait_for(told_all, what="it has told what it is at, and by which session")
    await run.handle.cancel()
