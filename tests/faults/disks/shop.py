"""A worker of a project on DuckDB files, each run with a file of its own choice."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from temporalio.client import Client

from dbt_temporal.adapters.temporal.gateway import TemporalRun, TemporalRunGateway
from dbt_temporal.application.ports.runs import Outcome
from dbt_temporal.domain.results import NodeExecutionResult
from tests.integration.engine_driver import write_files
from tests.integration.programs import Desk, Program, end_all

BIG_ROWS = 400_000
SHOP = {
    "dbt_project.yml": "{name: shop, version: '1.0', profile: shop}",
    "profiles.yml": """
shop: {target: dev, outputs: {dev: {type: duckdb, path: "{{ env_var('SHOP_DB', 'no.duckdb') }}"}}}
""",
    "models/small.sql": (
        "{{ config(materialized='incremental', incremental_strategy='append') }} select '{{ invocation_id }}' as run"
    ),
    "models/big.sql": (
        "{{ config(materialized='table') }} select md5(range::text) as word, (select count(*) from {{ ref('small') }}) "
        f"as small from range({BIG_ROWS})"
    ),
    "dbt_temporal.yml": "retry: {max_attempts: 2, initial_interval_secs: 0.1}\ntimeouts: {store_artifacts_secs: 20}\n",
}


class Shop:
    """The worker, and what its runs leave."""

    def __init__(self, folder: Path, address: str, client: Client) -> None:
        self.project = folder / "shop"
        write_files(self.project, SHOP)
        self._task_queue = f"shop-{uuid4().hex[:12]}"
        self._gateway = TemporalRunGateway(client, self._task_queue)
        self._desk = Desk(folder)
        self._desk.env |= {
            "TEMPORAL_ADDRESS": address,
            "TEMPORAL_TASK_QUEUE": self._task_queue,
            "DBT_PROJECT_DIR": str(self.project),
        }
        self.workers: list[Program] = []

    async def worker(self, **env: str) -> Program:
        """A worker that takes runs."""
        program = Program(["worker"], self._desk.env | env, self._desk.folder)
        self.workers.append(program)
        await asyncio.to_thread(program.says, "Working on task queue")
        return program

    async def begin(self, database: Path, **run_input: Any) -> TemporalRun:
        """A run on a database file."""
        given = {"command": "run", "env": {"SHOP_DB": str(database)}, **run_input}
        return await self._gateway.submit(given, f"run-{uuid4().hex}")

    async def run(self, database: Path, **run_input: Any) -> Outcome:
        """A run on a database file, to its end."""
        return await (await self.begin(database, **run_input)).outcome()


@asynccontextmanager
async def shop_in(folder: Path, address: str, client: Client) -> AsyncIterator[Shop]:
    """A shop whose workers end with the block."""
    shop = Shop(folder, address, client)
    try:
        yield shop
    finally:
        end_all(shop.workers)
        for program in shop.workers:
            print(program.output)


def results(outcome: Outcome) -> dict[str, NodeExecutionResult]:
    """Results by name of the model."""
    assert outcome.output is not None, outcome.message
    return {each.unique_id.rsplit(".", 1)[-1]: each for each in outcome.output.node_results}


def rows(database: Path, outcome: Outcome | None = None) -> dict[str, int]:
    """How many rows each table of the file has, those of `small` by the run alone where one is given."""
    of_run = f" where run = '{outcome.output.invocation_id}'" if outcome is not None and outcome.output else ""
    with contextlib.closing(duckdb.connect(str(database), read_only=True)) as connection:
        names = [name for (name,) in connection.execute("select table_name from information_schema.tables").fetchall()]
        counts = {}
        for name in names:
            found = connection.execute(f"select count(*) from {name}{of_run if name == 'small' else ''}").fetchone()
            counts[name] = int(found[0]) if found else 0
        return counts


HOLDS = "import duckdb, sys, time; held = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(600)"


@contextmanager
def held_by_another_process(database: Path) -> Iterator[None]:
    """Somebody else has the file open."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(database)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
    finally:
        process.kill()
        process.communicate()
