"""Temporal is away while each phase of a run ends: no phase is done twice, and nothing of the run is lost."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from tests.faults.phases.held import IN_DATABASE, PHASES, PLAN, HeldRun, held_runs, standing_still
from tests.integration.fixtures_buckets import s3_endpoint
from tests.integration.postgres import PostgresDatabase
from tests.integration.programs import Program
from tests.integration.servers import free_port, temporal_dev_server

__all__ = ["s3_endpoint"]

AWAY_SECS = float(os.environ.get("FAULTS_AWAY_SECS", "10"))
"""As long as the SDK itself tries to tell of an activity's end. `make soak` is longer without the server at times."""


class Server:
    """A server that can be away for a while."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._stack = ExitStack()

    def start(self) -> None:
        log, state = self._folder / "server.log", self._folder / "temporal.sqlite"
        self._stack.enter_context(temporal_dev_server(log, port=self.port, db_file=state))

    def stop(self) -> None:
        self._stack.close()


async def ends_meanwhile(run: HeldRun, phase: str, worker: Program, server: Server) -> None:
    """The server is away when the phase ends, and for a while."""
    if phase == PLAN:
        with standing_still(worker):
            await run.reaches(phase)
            await asyncio.to_thread(server.stop)
    else:
        await run.reaches(phase)
        await asyncio.to_thread(server.stop)
        await run.let_go(phase)
        if phase in IN_DATABASE:
            await run.has_left(phase)
    await asyncio.sleep(AWAY_SECS)
    await asyncio.to_thread(server.start)


@pytest.mark.timeout(600 + 10 * AWAY_SECS)
async def test_each_phase_ends_while_the_server_is_away_and_none_is_done_twice(
    tmp_path: Path, postgres: PostgresDatabase, s3_endpoint: str
) -> None:
    server = Server(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        address = f"127.0.0.1:{server.port}"
        client = await connect(ConnectionSettings(address=address), patience_secs=60)
        async with held_runs(tmp_path, address, postgres, client, s3_endpoint) as runs:
            worker = await runs.worker()
            with standing_still(worker):
                run = await runs.begin()
            for phase in PHASES:
                await ends_meanwhile(run, phase, worker, server)
            outcome = await asyncio.wait_for(run.run.outcome(), 120)
            assert outcome.output is not None, outcome.message
            assert outcome.output.success
            assert run.rows() == dict.fromkeys(IN_DATABASE, 1)
            assert set((await run.statuses()).values()) == {"success"}
    finally:
        server.stop()
