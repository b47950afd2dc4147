"""Runs that stand still in each of their phases until the test lets them go on."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowHandle

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from tests.faults.doors import Door, door_to
from tests.integration.buckets import S3
from tests.integration.engine_driver import write_files
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase
from tests.integration.programs import Program
from tests.integration.servers import wait_for
from tests.integration.worker.test_shutdown import Site, site_in

PLAN, START, NODE, END, STORE = "plan_project", "before_run", "model:adds", "after_run", "store_artifacts"
PHASES = (PLAN, START, NODE, END, STORE)
IN_DATABASE = (START, NODE, END)

# It sees rows that come while it waits, as each of its statements has a snapshot of its own.
HOLD = """
create function public.hold(run text, phase text) returns text language plpgsql volatile as $$
begin
  while not exists (select from public.free where free.run = hold.run and free.phase = hold.phase) loop
    perform pg_sleep(0.05);
  end loop;
  return run;
end $$
"""
HELD = (
    "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'"
    " and pid <> pg_backend_pid() and query like '%hold(''{run}'', ''{phase}''%'"
)


def _hook(phase: str) -> str:
    return f"insert into public.done select public.hold('{{{{ invocation_id }}}}', '{phase}'), '{phase}'"


PROJECT = {
    **POSTGRES_PROJECT,
    "dbt_project.yml": json.dumps(
        {
            "name": "pg",
            "version": "1.0",
            "profile": "pg",
            "on-run-start": [_hook(START)],
            "on-run-end": [_hook(END)],
        }
    ),
    "models/adds.sql": (
        "{{ config(materialized='incremental', incremental_strategy='append') }} "
        f"select public.hold('{{{{ invocation_id }}}}', '{NODE}') as run"
    ),
    "dbt_temporal.yml": "retry: {max_attempts: 2, initial_interval_secs: 0.1}\n",
}


class HeldRun:
    """A run that stands still in each phase; `let_go` lets it pass one."""

    def __init__(self, runs: HeldRuns, handle: WorkflowHandle[Any, Any]) -> None:
        assert handle.first_execution_run_id is not None
        self.id = handle.first_execution_run_id
        self.run = TemporalRun(handle)
        self.handle = handle
        self._runs = runs
        self._log = f"/{self.id}/log.txt ".encode()
        runs.door.keep_back(self._log)

    async def reaches(self, phase: str) -> None:
        """Lets the run go on until it stands still in a phase."""
        for earlier in PHASES[: PHASES.index(phase)]:
            await self.let_go(earlier)

        async def there() -> bool:
            if phase == PLAN:
                return await self._is_started(PLAN)
            if phase == STORE:
                return self._log in self._runs.door.held
            return await self._is_in_database(phase)

        await wait_for(there, what=f"the run is in {phase}")

    async def let_go(self, phase: str) -> None:
        """Lets the run pass a phase. What holds a plan is `standing_still`."""
        if phase in IN_DATABASE:
            self._runs.site.database.execute(f"insert into public.free values ('{self.id}', '{phase}')")
        if phase == STORE:
            await self._runs.door.let_through(self._log)

    async def has_left(self, phase: str) -> None:
        """Waits until nothing of a phase runs in the database."""

        async def left() -> bool:
            return not await self._is_in_database(phase)

        await wait_for(left, what=f"nothing of {phase} runs in the database")

    def rows(self) -> dict[str, int]:
        """How many rows the run has added, by phase; those of a model whose table is not there are none."""
        count, there = self._runs.site.count, "select count(*) from pg_tables where tablename = 'adds'"
        return {
            START: count(f"select count(*) from public.done where run = '{self.id}' and phase = '{START}'"),
            NODE: count(f"select count(*) from main.adds where run = '{self.id}'") if count(there) else 0,
            END: count(f"select count(*) from public.done where run = '{self.id}' and phase = '{END}'"),
        }

    async def statuses(self) -> dict[str, str]:
        """What the stored artifacts say, by unique_id, when they are there and whole."""

        async def stored() -> dict[str, Any] | None:
            try:
                return await asyncio.to_thread(self._runs.artifacts, self.id)
            except self._runs.missing:
                return None

        results = await wait_for(stored, what="the artifacts are stored")
        return {each["unique_id"]: each["status"] for each in results["results"]}

    async def _is_in_database(self, phase: str) -> bool:
        return bool(await asyncio.to_thread(self._runs.site.count, HELD.format(run=self.id, phase=phase)))

    async def _is_started(self, activity: str) -> bool:
        started = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        pending = (await self.handle.describe()).raw_description.pending_activities
        return any(each.activity_type.name == activity and each.state == started for each in pending)


class HeldRuns:
    """A worker whose runs stand still in each phase, and what they store."""

    def __init__(self, site: Site, client: Client, bucket: S3, door: Door) -> None:
        self.site = site
        self.client = client
        self.bucket = bucket
        self.door = door
        self.missing = bucket.missing
        site.database.execute(
            "create table public.free (run text, phase text)", "create table public.done (run text, phase text)", HOLD
        )

    async def worker(self, **env: str) -> Program:
        """A worker that stores artifacts through the door."""
        environ = {**self.bucket.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.door.port}"}
        return await self.site.worker(
            WRITE_ARTIFACTS="true", ARTIFACT_STORE=self.bucket.url, DBT_TEMPORAL_TIDY_SECS="1", **environ, **env
        )

    async def begin(self, within: timedelta | None = None) -> HeldRun:
        """A run, which Temporal ends when it has not ended `within` that time."""
        handle = await self.client.start_workflow(
            "dbt_run",
            {"command": "run"},
            id=f"run-{uuid4().hex}",
            task_queue=self.site.task_queue,
            execution_timeout=within,
        )
        return HeldRun(self, handle)

    def artifacts(self, invocation_id: str) -> dict[str, Any]:
        """run_results.json, where all artifacts are whole."""
        log, manifest, results = (
            self.bucket.get(f"{invocation_id}/{name}") for name in ("log.txt", "manifest.json", "run_results.json")
        )
        assert log
        assert json.loads(manifest)["metadata"]["invocation_id"] == invocation_id
        found: dict[str, Any] = json.loads(results)
        return found


@asynccontextmanager
async def held_runs(
    folder: Path, address: str, database: PostgresDatabase, client: Client, s3_endpoint: str
) -> AsyncIterator[HeldRuns]:
    """Runs on a project of their own."""
    port = urlsplit(s3_endpoint).port
    assert port is not None
    async with door_to(port) as door, site_in(folder, address, database, client) as site:
        (folder / "pg" / "models" / "sleeps.sql").unlink()
        write_files(folder / "pg", PROJECT)
        yield HeldRuns(site, client, S3(s3_endpoint), door)


@contextmanager
def standing_still(worker: Program) -> Any:
    """Its engine's processes do nothing meanwhile."""
    engine = worker.family()[:-1]
    for process in engine:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in engine:
            process.send_signal(signal.SIGCONT)


@pytest.fixture
async def runs(
    tmp_path: Path, temporal_address: str, postgres: PostgresDatabase, temporal_client: Client, s3_endpoint: str
) -> AsyncIterator[HeldRuns]:
    async with held_runs(tmp_path, temporal_address, postgres, temporal_client, s3_endpoint) as runs:
        yield runs
