"""Starting the two sides, and what one build of each costs."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from temporalio.client import Client, WorkflowFailureError

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TASK_QUEUE = "dbt-tasks"
START_TIMEOUT_SECS = 120.0
SETTLE_SECS = 0.5
SETTLED_CPU_SECS = 0.05


class BenchmarkError(Exception):
    """Something that was to be measured did not work; the message holds its output."""


@dataclass(frozen=True)
class Cost:
    """One build, in seconds. `cpu` is user and system time of all processes but the Temporal server."""

    wall: float
    cpu: float
    server_cpu: float
    nodes: int


@dataclass(frozen=True)
class Server:
    """A Temporal dev server of our own."""

    process: subprocess.Popen[bytes]
    address: str


@dataclass(frozen=True)
class Worker:
    """A worker that has the project loaded, with the server it polls and a client beside it."""

    process: subprocess.Popen[bytes]
    server: Server
    client: Client
    environment: dict[str, str]
    log: Path

    @staticmethod
    @asynccontextmanager
    async def started(
        project: Path, environment: dict[str, str], server: Server, folder: Path
    ) -> AsyncIterator[Worker]:
        """Starts `dbt-temporal worker` for the project; stops it at the end."""
        environment = {
            **environment,
            "TEMPORAL_ADDRESS": server.address,
            "TEMPORAL_TASK_QUEUE": TASK_QUEUE,
            "DBT_PROJECT_DIRS": str(project),
            "DBT_PROFILES_DIR": str(project),
            "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"),
            "WRITE_ARTIFACTS": "true",  # the CLI writes its artifacts too
            "ARTIFACT_STORE": str(folder / "artifacts"),
        }
        client = await Client.connect(server.address)
        log = folder / "worker.log"
        with running_process([str(BIN / "dbt-temporal"), "worker"], log, environment) as process:
            yield Worker(process, server, client, environment, log)


@asynccontextmanager
async def temporal_server(folder: Path) -> AsyncIterator[Server]:
    """A Temporal dev server that keeps everything in memory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    log = folder / "temporal.log"
    with running_process([str(BIN / "temporal"), *command], log) as process:
        server = Server(process, f"127.0.0.1:{port}")
        await _until_it_answers(server, log)
        yield server


async def _until_it_answers(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECS
    while True:
        try:
            await Client.connect(server.address)
            return
        except RuntimeError as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"the Temporal server does not answer: {error}\n{tail(log)}") from error
            await asyncio.sleep(0.1)


@contextmanager
def running_process(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that prints into a log, in the log's folder; stopped at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def build_by_workflow(worker: Worker) -> Cost:
    """One `dbt_run` workflow, from submitting it to holding its result."""
    before, server_before, own_before = await at_rest(worker.process), tree_cpu(worker.server.process), _own_cpu()
    began = time.perf_counter()
    run = worker.client.execute_workflow(
        "dbt_run", {"command": "build"}, id=f"bench-{uuid.uuid4()}", task_queue=TASK_QUEUE, result_type=dict[str, Any]
    )
    output = await unless_it_ends(worker, run)
    wall, own = time.perf_counter() - began, _own_cpu() - own_before
    cpu = await at_rest(worker.process) - before + own
    return Cost(wall, cpu, tree_cpu(worker.server.process) - server_before, len(output["node_results"]))


async def unless_it_ends(worker: Worker, run: Any) -> dict[str, Any]:
    """The run's output, or an error as soon as the worker is gone."""
    task = asyncio.ensure_future(run)
    while True:
        done, _ = await asyncio.wait([task], timeout=2)
        if done:
            return _output(task, worker)
        if worker.process.poll() is not None:
            task.cancel()
            raise BenchmarkError(f"the worker ended with {worker.process.returncode}:\n{tail(worker.log)}")


def _output(finished: asyncio.Future[dict[str, Any]], worker: Worker) -> dict[str, Any]:
    try:
        return finished.result()
    except WorkflowFailureError as error:
        raise BenchmarkError(f"the run failed: {error.cause}\nThe worker's log ends:\n{tail(worker.log)}") from error


async def build_by_command(worker: Worker) -> Cost:
    """One `dbt-temporal build`, the start of its Python included."""
    before, server_before, waited_before = await at_rest(worker.process), tree_cpu(worker.server.process), _waited_cpu()
    began = time.perf_counter()
    _checked([str(BIN / "dbt-temporal"), "build"], worker.environment, worker.log.parent)
    wall, waited = time.perf_counter() - began, _waited_cpu() - waited_before
    cpu = await at_rest(worker.process) - before + waited
    return Cost(wall, cpu, tree_cpu(worker.server.process) - server_before, 0)


def build_by_cli(project: Path, environment: dict[str, str]) -> Cost:
    """One `dbt build` in the project, artifacts and partial parse in its own target folder."""
    before = _waited_cpu()
    began = time.perf_counter()
    _checked([str(BIN / "dbt"), "build", "--profiles-dir", str(project)], environment, project)
    wall = time.perf_counter() - began
    results = json.loads((project / "target" / "run_results.json").read_text())["results"]
    return Cost(wall, _waited_cpu() - before, 0.0, len(results))


def _checked(command: list[str], environment: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


async def at_rest(*processes: subprocess.Popen[bytes]) -> float:
    """The CPU time of processes and all below them once they rest, so that what a run leaves to do counts."""
    used = sum(map(tree_cpu, processes))
    while True:
        await asyncio.sleep(SETTLE_SECS)
        now = sum(map(tree_cpu, processes))
        if now - used < SETTLED_CPU_SECS:
            return now
        used = now


def tree_cpu(process: subprocess.Popen[bytes]) -> float:
    """User and system time of a process and all below it, those that ended and were waited for included."""
    root = psutil.Process(process.pid)
    total = 0.0
    for member in (root, *root.children(recursive=True)):
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended just now: its parent's times have it
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _waited_cpu() -> float:
    """CPU time of the children that ended; the server and the worker are still running and not in it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
