"""Runs of a project that writes a row per execution, while something dies: what they say must be what is there.

What comes when follows from one seed (docs/reliability.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.gateway import TemporalRun, TemporalRunGateway
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import NodeExecutionResult
from tests.faults.databases.own_server import OwnPostgres
from tests.integration.engine_driver import write_files
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase, postgres_env
from tests.integration.programs import Desk, Program
from tests.integration.servers import free_port, temporal_dev_server

LEVELS, WIDTH = 3, 3
WORKERS = 2
RUN_SECS = 240.0
"""A run that takes longer, with its fault, hangs."""
HEARTBEAT_SECS = 4
UNKNOWN = "nobody has heard how attempt"


def _model(level: int, number: int) -> str:
    above = [f"{{{{ ref('m_{level - 1}_{each}') }}}}" for each in range(WIDTH)] if level else []
    rows = " ".join(f"cross join (select 1 from {each} limit 1) as p{place}" for place, each in enumerate(above))
    return (
        "{{ config(materialized='incremental', incremental_strategy='append') }}\n"
        f"select '{{{{ invocation_id }}}}'::text as run, clock_timestamp() as at "
        f"from pg_sleep({0.1 * (number + 1):.1f}) as nap {rows}"
    )


MODELS = [f"m_{level}_{number}" for level in range(LEVELS) for number in range(WIDTH)]
PROJECT = {
    **POSTGRES_PROJECT,
    **{f"models/m_{level}_{number}.sql": _model(level, number) for level in range(LEVELS) for number in range(WIDTH)},
    "dbt_temporal.yml": json.dumps(
        {
            "timeouts": {"node_heartbeat_secs": HEARTBEAT_SECS, "hook_heartbeat_secs": HEARTBEAT_SECS},
            "retry": {"max_attempts": 6, "initial_interval_secs": 0.2},
        }
    ),
}


Fault = Callable[["Soak"], Awaitable[None]]


@dataclass
class Soak:
    """The servers, the workers, and what went wrong so far."""

    folder: Path
    postgres: OwnPostgres
    random: random.Random
    tell: Callable[[str], None]
    port: int = field(default_factory=free_port)
    task_queue: str = field(default_factory=lambda: f"soak-{uuid4().hex[:8]}")
    workers: list[Program] = field(default_factory=list)
    started: int = 0
    wrong: list[str] = field(default_factory=list)
    _server: contextlib.ExitStack | None = None

    @property
    def database(self) -> PostgresDatabase:
        """Where the runs write."""
        return self.postgres.database

    async def __aenter__(self) -> Soak:
        write_files(self.folder / "pg", PROJECT)
        await asyncio.to_thread(self.start_server)
        await self.staff()
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.signal(signal.SIGKILL)
                worker.ended()
        self.stop_server()

    def start_server(self) -> None:
        """Starts Temporal, with what it knew before."""
        self._server = contextlib.ExitStack()
        server = temporal_dev_server(
            self.folder / "server.log", port=self.port, db_file=self.folder / "temporal.sqlite"
        )
        self._server.enter_context(server)

    def stop_server(self) -> None:
        """Ends it."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def client(self) -> Client:
        """A connection to the server."""
        return await connect(ConnectionSettings(address=f"127.0.0.1:{self.port}"), patience_secs=60)

    async def staff(self) -> None:
        """Replaces the workers that have ended."""
        self.workers = [each for each in self.workers if each.process.poll() is None]
        while len(self.workers) < WORKERS:
            self.started += 1
            desk = Desk(self.folder / f"worker{self.started}")
            desk.env |= {
                **postgres_env(self.database, "PG"),
                "TEMPORAL_ADDRESS": f"127.0.0.1:{self.port}",
                "TEMPORAL_TASK_QUEUE": self.task_queue,
                "DBT_PROJECT_DIR": str(self.folder / "pg"),
                "DBT_TEMPORAL_CACHE_DIR": str(self.folder / "cache"),  # the machine's, which outlives its workers
                "WORKER_STICKY_QUEUE_TIMEOUT_SECS": "2",
                # Whether a run has several executions is decided by whoever plans it.
                "DBT_TEMPORAL_CONTINUE_AS_NEW_EVENTS": "25" if self.started % 2 else "15000",
            }
            worker = Program(["worker"], desk.env, desk.folder)
            self.workers.append(worker)
            await asyncio.to_thread(worker.says, "Working on task queue")

    async def one_run(self, fault: Fault) -> None:
        """A run with a fault, and the look at what it has left."""
        await self.staff()
        gateway = TemporalRunGateway(await self.client(), self.task_queue)
        run = await gateway.submit({"command": "run"}, f"soak-{uuid4().hex}")
        pause = self.random.uniform(0, 4)
        await asyncio.sleep(pause)
        what = f"{fault.__name__} after {pause:.1f} s"
        began = time.monotonic()
        await fault(self)
        await self.staff()
        found = await self._verdict(run)
        self.tell(f"{what}, {time.monotonic() - began:.0f} s more: {found or 'as it should be'}")
        if found:
            self.wrong.append(f"{what}: {found} ({run.workflow_id})")

    async def _verdict(self, run: TemporalRun) -> str:
        try:
            outcome = await asyncio.wait_for(run.outcome(), RUN_SECS)
        except TimeoutError:
            return f"the run has not ended after {RUN_SECS:g} seconds"
        if outcome.output is None:
            return f"the run has no results: {outcome.ending} {outcome.message}"
        rows = await asyncio.to_thread(self._rows, outcome)
        results = {each.unique_id.rpartition(".")[2]: each for each in outcome.output.node_results}
        wrong = [text for name in MODELS if (text := _wrong(name, results.get(name), rows[name]))]
        if outcome.ending is Ending.COMPLETED and not wrong and set(results) != set(MODELS):
            wrong = [f"results of {sorted(results)} alone"]
        return "; ".join(wrong)

    def _rows(self, outcome: Outcome) -> dict[str, int]:
        assert outcome.output is not None
        there = {
            str(name) for (name,) in self.database.query("select tablename from pg_tables where schemaname='main'")
        }
        query = "select count(*) from main.{} where run = '{}'"
        invocation_id = outcome.output.invocation_id
        return {
            name: int(str(self.database.query(query.format(name, invocation_id))[0][0])) if name in there else 0
            for name in MODELS
        }

    def family(self) -> list[psutil.Process]:
        """A worker with its engine processes; the worker comes last."""
        return self.random.choice(self.workers).family()


def _wrong(name: str, result: NodeExecutionResult | None, rows: int) -> str:
    status = result.status if result is not None else "no result"
    if status == "success":
        return "" if rows == 1 else f"{name} is a success with {rows} rows"
    if status == "error" and result is not None and UNKNOWN in (result.message or ""):
        return "" if rows <= 1 else f"{name} has {rows} rows, and nobody knows of it"
    if status == "skipped":
        return "" if rows == 0 else f"{name} is skipped with {rows} rows"
    return f"{name} has {rows} rows and the status {status}: {result and result.message}"


async def kill_worker(soak: Soak) -> None:
    """The engine's processes see that their worker has gone."""
    _signal([soak.family()[-1]], signal.SIGKILL)


async def kill_engine_process(soak: Soak) -> None:
    """Template, parent or host."""
    processes = soak.family()[:-1]
    if processes:
        _signal([soak.random.choice(processes)], signal.SIGKILL)


async def kill_all_of_a_worker(soak: Soak) -> None:
    """As with its container; what they ran in the database goes on."""
    family = soak.family()
    _signal(family, signal.SIGSTOP)
    _signal(family, signal.SIGKILL)


async def stop_worker_for_a_while(soak: Soak) -> None:
    """For less or for more than its heartbeats' timeout, alone or with its engine's processes."""
    family = soak.family()
    stopped = soak.random.choice([family, family[-1:]])
    _signal(stopped, signal.SIGSTOP)
    await asyncio.sleep(soak.random.uniform(0.5, 3 * HEARTBEAT_SECS))
    _signal(stopped[::-1], signal.SIGCONT)


async def end_worker_in_good_order(soak: Soak) -> None:
    """As a deployment does."""
    _signal([soak.family()[-1]], signal.SIGTERM)


async def restart_temporal(soak: Soak) -> None:
    """It is away for a while, and knows all that it knew."""
    await asyncio.to_thread(soak.stop_server)
    await asyncio.sleep(soak.random.uniform(0, 4 * HEARTBEAT_SECS))
    await asyncio.to_thread(soak.start_server)


async def cut_sessions(soak: Soak) -> None:
    """The database ends all sessions that run something, as at a fail-over."""
    query = (
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        " and pid <> pg_backend_pid() and query like '%pg_sleep%' and state = 'active'"
    )
    await asyncio.to_thread(soak.database.query, query)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def crash_database(soak: Soak) -> None:
    """It ends all sessions, and starts again."""
    await asyncio.to_thread(soak.postgres.crash)


async def freeze_database(soak: Soak) -> None:
    """It stands still for a while, and nobody is told."""
    with soak.postgres.frozen():
        await asyncio.sleep(soak.random.uniform(0.5, 3 * HEARTBEAT_SECS))


async def stay_without_temporal(soak: Soak) -> None:
    """For one minute, or for five."""
    await asyncio.to_thread(soak.stop_server)
    await asyncio.sleep(soak.random.choice([60, 300]))
    await asyncio.to_thread(soak.start_server)


async def nothing(soak: Soak) -> None:
    """The comparison."""
    del soak


FAULTS: list[Fault] = [
    kill_worker,
    kill_engine_process,
    kill_all_of_a_worker,
    stop_worker_for_a_while,
    end_worker_in_good_order,
    restart_temporal,
    cut_sessions,
    crash_database,
    freeze_database,
    nothing,
]
LONG_FAULTS: list[Fault] = [stay_without_temporal]
"""They take minutes."""
