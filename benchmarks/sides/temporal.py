"""A Temporal server, and a worker that polls it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from benchmarks.sides.processes import BIN, START_TIMEOUT_SECS, BenchmarkError, running_process, tail

TASK_QUEUE = "dbt-tasks"
COMMANDS_TO_WORKERS = ("frontend.WorkerCommandsEnabled=true", "system.enableCancelActivityWorkerCommand=true")
"""Dynamic configuration by which a server tells workers of cancels by itself."""

QUEUE_READS = "history.transferProcessorMaxPollRPS=1000"
"""As `dbt-temporal dev` and `make services` have it (docs/operations.md): by default a shard's queue of tasks is read
20 times a second, and each step of a run that its worker is not handed at once waits for such a read."""

RunHandle = WorkflowHandle[Any, dict[str, Any]]


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
        project: Path, environment: Mapping[str, str], server: Server, folder: Path
    ) -> AsyncIterator[Worker]:
        """Starts `dbt-temporal worker` for the project, with its cache and store in the folder; stops it at the end."""
        environment = {
            "TEMPORAL_TASK_QUEUE": TASK_QUEUE,
            **environment,
            "TEMPORAL_ADDRESS": server.address,
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

    async def submit(self, request: Mapping[str, Any]) -> RunHandle:
        """Starts a workflow `dbt_run` with that input."""
        return await self.client.start_workflow(
            "dbt_run",
            request,
            id=f"bench-{uuid.uuid4()}",
            task_queue=self.environment["TEMPORAL_TASK_QUEUE"],
            result_type=dict[str, Any],
        )

    async def outcome(self, handle: RunHandle) -> dict[str, Any]:
        """What the run answers.

        Raises:
            BenchmarkError: where it did not succeed, or as soon as the worker is gone.
        """
        task = asyncio.ensure_future(handle.result())
        while True:
            done, _ = await asyncio.wait([task], timeout=2)
            if done:
                return self._succeeded(task)
            if self.process.poll() is not None:
                task.cancel()
                raise BenchmarkError(f"the worker ended with {self.process.returncode}:\n{tail(self.log)}")

    def _succeeded(self, finished: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
        try:
            output = finished.result()
        except WorkflowFailureError as error:
            why = f"the run failed: {error.cause}\nThe worker's log ends:\n{tail(self.log)}"
            raise BenchmarkError(why) from error
        if output["success"] is not True:
            raise BenchmarkError(f"the run ended without success. The worker's log ends:\n{tail(self.log)}")
        return output


@asynccontextmanager
async def temporal_server(
    folder: Path, dynamic_config: Sequence[str] = (QUEUE_READS,), search_attributes: Sequence[str] = ()
) -> AsyncIterator[Server]:
    """A Temporal dev server that keeps everything in memory."""
    port = free_port()
    command = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    for setting in dynamic_config:
        command += ["--dynamic-config-value", setting]
    for name in search_attributes:
        command += ["--search-attribute", f"{name}=Keyword"]
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


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
