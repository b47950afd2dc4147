"""The end of a worker, in good order and by force: what becomes of nodes, processes and database sessions."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from dbt_temporal.adapters.temporal.gateway import TemporalRun, TemporalRunGateway
from dbt_temporal.application.ports.runs import Ending
from tests.integration.engine_driver import write_files
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase, postgres_env
from tests.integration.programs import Desk, Program, end_all
from tests.integration.run_harness import history
from tests.integration.servers import wait_for

PROJECT = {
    **POSTGRES_PROJECT,
    "models/sleeps.sql": "{{ config(materialized='table') }} select 1 as one "
    "from pg_sleep({{ env_var('SLEEP_SECS', '600') }})",
    "dbt_temporal.yml": "timeouts: {node_heartbeat_secs: 30}\nretry: {max_attempts: 2, initial_interval_secs: 0.1}\n",
}
# Only where a worker is lost is a heartbeat's limit waited out; elsewhere a worker that lives may be late by much.
# Less than the 10 s after which the server itself gives up on the queue of a worker that asks for nothing.
SOON_LOST = PROJECT["dbt_temporal.yml"].replace("node_heartbeat_secs: 30", "node_heartbeat_secs: 5")
SESSIONS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
SLEEPERS = f"{SESSIONS} and state = 'active' and query like '%pg_sleep(%'"


class Site:
    """A database, a task queue, and workers of their own."""

    def __init__(self, folder: Path, address: str, database: PostgresDatabase, client: Client) -> None:
        write_files(folder / "pg", PROJECT)
        self.folder = folder
        self.address = address
        self.database = database
        self.task_queue = f"shutdown-{uuid4().hex[:12]}"
        self.gateway = TemporalRunGateway(client, self.task_queue)
        self.desks: list[Desk] = []
        self.programs: list[Program] = []

    async def worker(self, **env: str) -> Program:
        """A worker that takes runs."""
        folder = self.folder / f"worker{len(self.desks)}"
        folder.mkdir()
        desk = Desk(folder)
        desk.env |= {
            **postgres_env(self.database, "PG"),
            "TEMPORAL_ADDRESS": self.address,
            "TEMPORAL_TASK_QUEUE": self.task_queue,
            "DBT_PROJECT_DIR": str(self.folder / "pg"),
            **env,
        }
        program = Program(["worker"], desk.env, folder)
        self.desks.append(desk)
        self.programs.append(program)
        await asyncio.to_thread(program.says, "Working on task queue")
        return program

    async def run(self) -> TemporalRun:
        """A run whose node sleeps in the database by now."""
        run = await self.gateway.submit({"command": "run"}, f"run-{uuid4().hex}")
        await self.eventually(lambda: self.count(SLEEPERS) == 1, "the node sleeps")
        return run

    def count(self, query: str) -> int:
        """A number from the database."""
        return int(str(self.database.query(query)[0][0]))

    async def eventually(self, condition: Callable[[], bool], what: str) -> None:
        """Waits until a condition holds."""

        async def holds() -> bool:
            return await asyncio.to_thread(condition)

        await wait_for(holds, what=what)

    async def nothing_is_left(self) -> None:
        """Waits until no process of any worker and no session of the database is left."""
        await self.eventually(lambda: not any(desk.processes() for desk in self.desks), "no process is left")
        await self.eventually(lambda: self.count(SESSIONS) == 0, "no session is left")


@asynccontextmanager
async def site_in(folder: Path, address: str, database: PostgresDatabase, client: Client) -> AsyncIterator[Site]:
    site = Site(folder, address, database, client)
    try:
        yield site
    finally:
        end_all(site.programs)


@pytest.fixture
async def site(
    tmp_path: Path, temporal_address: str, postgres: PostgresDatabase, temporal_client: Client
) -> AsyncIterator[Site]:
    async with site_in(tmp_path, temporal_address, postgres, temporal_client) as site:
        yield site


@pytest.mark.parametrize("to_all", [False, True], ids=["to the worker", "to all processes"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_node_ends_and_then_everything_does(site: Site, number: signal.Signals, to_all: bool) -> None:
    worker = await site.worker(SLEEP_SECS="4")
    run = await site.run()
    # A control group (systemd's default) and a terminal signal all of them.
    for process in worker.family()[:-1] if to_all else []:
        process.send_signal(number)
    worker.process.send_signal(number)
    await asyncio.to_thread(worker.says, "Shutting down")
    assert await asyncio.to_thread(worker.ended) == 0
    completed = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    done = [event for event in await history(run.handle) if event.event_type == completed]
    assert len(done) == 3, worker.output  # plan, before_run and the node
    await site.nothing_is_left()
    await run.terminate("the test is over")


async def test_after_the_grace_period_the_query_is_cancelled_and_another_worker_may_try_again(site: Site) -> None:
    worker = await site.worker(WORKER_GRACEFUL_SHUTDOWN_SECS="1")
    run = await site.run()
    worker.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.ended) == 0
    assert "running nodes may end within 1 seconds" in worker.output
    await site.nothing_is_left()
    failures = [
        event.activity_task_failed_event_attributes.failure
        for event in await history(run.handle)
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
    ]
    assert [failure.message for failure in failures] == ["the worker was shut down before the activity ended"]
    await site.worker(SLEEP_SECS="0")
    assert (await run.outcome()).ending is Ending.COMPLETED


async def test_a_second_signal_ends_at_once(site: Site) -> None:
    worker = await site.worker()
    run = await site.run()
    worker.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(worker.says, "Shutting down")
    worker.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.ended) == 128 + signal.SIGTERM
    await site.nothing_is_left()
    await run.terminate("the test is over")


async def test_a_killed_worker_leaves_no_process_and_no_query(site: Site) -> None:
    worker = await site.worker()
    run = await site.run()
    worker.process.kill()
    await site.nothing_is_left()
    await run.terminate("the test is over")


async def test_the_next_attempt_ends_the_query_of_a_worker_that_was_lost_with_all_its_processes(site: Site) -> None:
    write_files(site.folder / "pg", {"dbt_temporal.yml": SOON_LOST})
    worker = await site.worker(WORKER_STICKY_QUEUE_TIMEOUT_SECS="2")
    run = await site.run()
    # As when a machine goes, or a container with all that is in it: nobody is left to end the query.
    family = worker.family()
    for process in family:
        process.suspend()
    for process in family:
        process.kill()
    await site.eventually(lambda: not any(desk.processes() for desk in site.desks), "no process is left")
    assert site.count(SLEEPERS) == 1, "the database does not notice by itself"
    await site.worker(SLEEP_SECS="0")
    assert (await run.outcome()).ending is Ending.COMPLETED
    assert site.count(SLEEPERS) == 0
    waited = _seconds_waited_for_the_lost_worker(await history(run.handle))
    assert waited
    # By default 10 seconds.
    assert all(1.5 < seconds < 10 for seconds in waited), waited


def _seconds_waited_for_the_lost_worker(events: Sequence[HistoryEvent]) -> list[float]:
    """How long workflow tasks lay in the queue of the worker that had the run in memory."""
    scheduled_at = {event.event_id: event.event_time.ToDatetime() for event in events}
    return [
        (event.event_time.ToDatetime() - scheduled_at[scheduled_id]).total_seconds()
        for event in events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
        and (scheduled_id := event.workflow_task_timed_out_event_attributes.scheduled_event_id)
    ]
