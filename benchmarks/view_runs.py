"""One run over a project of views, by a workflow or by the dbt CLI, and what each part of it costs."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from temporalio.client import WorkflowHandle

from databases import Database
from histories import read_history
from measuring import BIN, TASK_QUEUE, BenchmarkError, Worker, at_rest, tail, tree_cpu, unless_it_ends

CHAINS = 50
"""How many views refer to none; below each of them hangs a chain."""
SAMPLE_SECS = 0.2
MAX_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that `ru_maxrss` counts in."""


@dataclass(frozen=True)
class Run:
    """One run: CPU is user and system time in seconds, memory the most RSS at once in bytes; None is not there."""

    wall: float
    worker_cpu: float | None = None
    engine_cpu: float | None = None
    temporal_cpu: float | None = None
    postgres_cpu: float | None = None
    cli_cpu: float | None = None
    events: int | None = None
    history_bytes: int | None = None
    largest_payload: int | None = None
    worker_memory: int | None = None
    engine_memory: int | None = None
    cli_memory: int | None = None


@dataclass(frozen=True)
class Project:
    """A project of views on disk, and the database that they are built in."""

    folder: Path
    database: Database

    def write(self, views: int, threads: int) -> None:
        """Writes `views` models: the first ones stand alone, and each other one refers to the one CHAINS before it."""
        models = self.folder / "models"
        models.mkdir(parents=True)
        for number in range(views):
            origin = f" from {{{{ ref('{name_of(number - CHAINS)}') }}}}" if number >= CHAINS else ""
            (models / f"{name_of(number)}.sql").write_text(f"select {number} as n{origin}\n")
        output = {**self.database.output(), "threads": threads}
        profiles = {"views": {"target": "dev", "outputs": {"dev": output}}}
        # JSON is YAML.
        (self.folder / "profiles.yml").write_text(json.dumps(profiles))
        (self.folder / "dbt_project.yml").write_text(
            json.dumps({"name": "views", "version": "1.0", "profile": "views"})
        )

    def check(self, views: int) -> None:
        """Fails where there are not so many views in the database."""
        built = self.database.count_views()
        if built != views:
            raise BenchmarkError(f"{self.folder.name}: {built} views were built instead of {views}")


@dataclass
class Peak:
    """The most memory (RSS, bytes) that was seen at once."""

    worker: int = 0
    engine: int = 0

    def look(self, worker: Worker) -> None:
        """Takes what is in use now."""
        root = psutil.Process(worker.process.pid)
        self.worker = max(self.worker, _memory(root))
        self.engine = max(self.engine, sum(map(_memory, root.children(recursive=True))))


def name_of(number: int) -> str:
    """The name of one model."""
    return f"view_{number:05}"


async def run_by_workflow(worker: Worker, postgres: subprocess.Popen[bytes] | None, select: str | None = None) -> Run:
    """One `dbt_run` workflow with the command `run`, from submitting it to holding its result."""
    before = await _used(worker, postgres)
    async with _peak_memory(worker) as peak:
        began = time.perf_counter()
        handle: WorkflowHandle[Any, dict[str, Any]] = await worker.client.start_workflow(
            "dbt_run",
            {"command": "run", "select": select},
            id=f"bench-{uuid.uuid4()}",
            task_queue=TASK_QUEUE,
            result_type=dict[str, Any],
        )
        output = await unless_it_ends(worker, handle.result())
        wall = time.perf_counter() - began
    after = await _used(worker, postgres)
    if output["success"] is not True:
        raise BenchmarkError(f"the run ended without success. The worker's log ends:\n{tail(worker.log)}")
    history = await read_history(worker.client, handle.id, handle.first_execution_run_id)
    return Run(
        wall=wall,
        worker_cpu=after.worker - before.worker,
        engine_cpu=after.engine - before.engine,
        temporal_cpu=after.temporal - before.temporal,
        postgres_cpu=None if postgres is None else after.postgres - before.postgres,
        events=history.events,
        history_bytes=history.size,
        largest_payload=history.largest_payload,
        worker_memory=peak.worker,
        engine_memory=peak.engine,
    )


async def run_by_cli(
    project: Project, environment: dict[str, str], postgres: subprocess.Popen[bytes] | None, select: str | None = None
) -> Run:
    """One `dbt run`, artifacts and partial parse in the project's own target folder."""
    command = [str(BIN / "dbt"), "run", "--profiles-dir", str(project.folder)]
    if select is not None:
        command += ["--select", select]
    before = 0.0 if postgres is None else await at_rest(postgres)
    wall, used = _waited_for(command, environment, project.folder)
    return Run(
        wall=wall,
        cli_cpu=used.ru_utime + used.ru_stime,
        postgres_cpu=None if postgres is None else await at_rest(postgres) - before,
        cli_memory=used.ru_maxrss * MAX_RSS_UNIT,
    )


def _waited_for(command: list[str], environment: dict[str, str], folder: Path) -> tuple[float, resource.struct_rusage]:
    """How long a command took, in seconds, and what it used."""
    log = folder / "cli.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} ended with {process.returncode}:\n{tail(log)}")
    return wall, used


@dataclass(frozen=True)
class _Used:
    """CPU time until now, in seconds."""

    worker: float
    engine: float
    temporal: float
    postgres: float


async def _used(worker: Worker, postgres: subprocess.Popen[bytes] | None) -> _Used:
    """What was used until now, once all but the Temporal server rest: that one never does."""
    await at_rest(worker.process, *([] if postgres is None else [postgres]))
    times = psutil.Process(worker.process.pid).cpu_times()
    own = times.user + times.system
    return _Used(
        worker=own,
        engine=tree_cpu(worker.process) - own,
        temporal=tree_cpu(worker.server.process),
        postgres=0.0 if postgres is None else tree_cpu(postgres),
    )


@asynccontextmanager
async def _peak_memory(worker: Worker) -> AsyncIterator[Peak]:
    """Looks at the memory again and again while the block runs."""
    peak = Peak()

    async def watch() -> None:
        while True:
            peak.look(worker)
            await asyncio.sleep(SAMPLE_SECS)

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
