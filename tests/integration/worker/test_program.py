"""The worker program: from its environment to its end by a signal; against a real server."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from dependency_injector import providers
from rich.console import Console
from temporalio.client import Client

from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.entrypoints.worker.main import run_worker
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.servers import free_port, wait_for

A = "model.shop.a"


@dataclass
class Started:
    """A worker that runs in this process."""

    task: asyncio.Task[None]
    output: io.StringIO
    health_file: Path

    async def is_ready(self) -> bool:
        """Whether it says that it works; raises where it has ended instead."""
        if self.task.done():
            await self.task
        return self.health_file.exists()

    async def is_working(self) -> bool:
        """Whether it has told that it works."""
        return "Working on" in self.output.getvalue()


def make_project(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(f"name: {name}\n")


@pytest.fixture
def environ(temporal_address: str, task_queue: str, tmp_path: Path) -> dict[str, str]:
    make_project(tmp_path / "projects" / "shop", "shop")
    return {
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_TASK_QUEUE": task_queue,
        "DBT_PROJECTS_DIR": str(tmp_path / "projects"),
        "HEALTH_FILE": str(tmp_path / "health"),
        "WRITE_ARTIFACTS": "true",
        "ARTIFACT_STORE": str(tmp_path / "artifacts"),
        "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache"),
    }


@asynccontextmanager
async def worker(environ: dict[str, str], engine: FakeEngine, *, healthy: bool = True) -> AsyncIterator[Started]:
    container = WorkerContainer()
    container.dbt_engine.override(providers.Object(engine))
    output = io.StringIO()
    console = Console(file=output, width=200)
    settings = read_settings(environ)
    task = asyncio.create_task(run_worker(settings, environ, console=console, container=container))
    started = Started(task, output, Path(environ["HEALTH_FILE"]))
    try:
        await wait_for(started.is_ready if healthy else started.is_working)
        yield started
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_worker_serves_its_projects_and_ends_by_sigterm(
    environ: dict[str, str], temporal_client: Client, task_queue: str, tmp_path: Path
) -> None:
    engine = FakeEngine(plan(node("a")))
    async with worker(environ, engine) as started:
        run = await TemporalRunGateway(temporal_client, task_queue).submit({}, f"run-{task_queue}")
        outcome = await run.outcome()
        assert outcome.ending is Ending.COMPLETED
        assert outcome.output is not None
        assert "run_results.json" in os.listdir(tmp_path / "artifacts" / outcome.output.invocation_id)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(started.task, 60)
        assert not started.health_file.exists()
        assert f"source {tmp_path}/projects/shop, adapter duckdb, target dev" in started.output.getvalue()
        assert started.output.getvalue().endswith("Worker ended.\n")


async def test_a_node_that_runs_at_sigterm_may_end(
    environ: dict[str, str], temporal_client: Client, task_queue: str
) -> None:
    engine = FakeEngine(plan(node("a")))
    engine.gates[A] = asyncio.Event()
    async with worker(environ, engine) as started:
        run = await TemporalRunGateway(temporal_client, task_queue).submit({}, f"run-{task_queue}")

        async def begun() -> bool:
            return A in engine.executed

        await wait_for(begun)
        os.kill(os.getpid(), signal.SIGINT)

        async def told() -> bool:
            return "Shutting down" in started.output.getvalue()

        await wait_for(told)
        assert not started.task.done()
        engine.gates[A].set()
        await asyncio.wait_for(started.task, 60)
        assert engine.cancelled == []
        await run.terminate("the test is over")


async def test_a_signal_before_the_worker_is_ready_ends_it(environ: dict[str, str]) -> None:
    environ["TEMPORAL_ADDRESS"] = f"127.0.0.1:{free_port()}"
    output = io.StringIO()
    running = asyncio.create_task(run_worker(read_settings(environ), environ, console=Console(file=output)))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 60)
    assert output.getvalue().startswith(f"Connecting to Temporal at {environ['TEMPORAL_ADDRESS']}, namespace 'default'")
    assert output.getvalue().endswith("\nStopped before the worker was ready.\n")


async def test_two_projects_of_one_name_stop_the_worker_with_both_places(
    environ: dict[str, str], tmp_path: Path
) -> None:
    make_project(tmp_path / "other" / "shop", "shop")
    del environ["DBT_PROJECTS_DIR"]
    environ["DBT_PROJECT_DIRS"] = f"{tmp_path}/projects,{tmp_path}/other"
    with pytest.raises(DbtTemporalError) as caught:
        async with worker(environ, FakeEngine()):
            pass
    assert caught.value.message.startswith("two projects are named 'shop': ")
    assert f"{tmp_path}/projects/shop" in caught.value.message
    assert f"{tmp_path}/other/shop" in caught.value.message


async def test_a_wrong_dbt_temporal_yml_stops_the_worker_with_file_key_and_what_is_allowed(
    environ: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "projects" / "shop" / "dbt_temporal.yml"
    config.write_text("retry:\n  attempts: 5\n")
    with pytest.raises(DbtTemporalError) as caught:
        async with worker(environ, FakeEngine()):
            pass
    assert caught.value.message.startswith(f"invalid {config}: unknown field `retry.attempts` (allowed: ")
    assert "max_attempts" in caught.value.message


async def test_an_unknown_namespace_stops_the_worker_with_a_remedy(environ: dict[str, str]) -> None:
    environ["TEMPORAL_NAMESPACE"] = "nowhere"
    with pytest.raises(DbtTemporalError, match="has no namespace 'nowhere': correct TEMPORAL_NAMESPACE"):
        async with worker(environ, FakeEngine()):
            pass


async def test_a_wrong_environment_ends_the_program_with_every_problem_and_what_it_had_begun(
    environ: dict[str, str],
) -> None:
    wrong = {"WORKER_TUNER": "auto", "HEALTH_PORT": "http"}
    own = f"program-{uuid4()}"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "dbt_temporal", "worker"],
        env={**os.environ, **environ, **wrong, "PROGRAM_OF_TEST": own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "WORKER_TUNER='auto': must be fixed or resource-based" in done.stderr
    assert "HEALTH_PORT='http': must be a port number from 1 to 65535" in done.stderr
    assert "Traceback" not in done.stderr

    async def is_alone() -> bool:
        return not [each for each in psutil.process_iter() if _variable(each, "PROGRAM_OF_TEST") == own]

    await wait_for(is_alone)


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
