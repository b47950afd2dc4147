"""What probes of a worker that runs are told: ready, healthy, or not, and when."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.servers import free_port, temporal_dev_server, wait_for
from tests.integration.worker.test_program import environ, worker
from tests.unit.entrypoints.test_health import ask

__all__ = ["environ"]


class OwnServer:
    """A Temporal server that a test may end, and start again with what it knew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._running = ExitStack()
        self.start()

    def start(self) -> None:
        """Starts it."""
        server = temporal_dev_server(
            self._folder / "server.log", port=self._port, db_file=self._folder / "temporal.sqlite"
        )
        self.address = self._running.enter_context(server)

    def end(self) -> None:
        """Ends it."""
        self._running.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    server = OwnServer(tmp_path)
    yield server
    server.end()


async def answers(port: int, path: str, status: int, within: float = 60.0) -> str:
    """Waits until a path is answered with a status; returns the text."""

    async def does() -> str | None:
        answered, text = await ask(port, path)
        return text if answered == status else None

    return str(await wait_for(does, within=within, what=f"{path} is {status}"))


async def test_an_outage_of_temporal_makes_a_worker_unready_not_unhealthy_and_its_run_goes_on_afterwards(
    environ: dict[str, str], own_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    environ |= {"HEALTH_PORT": str(port), "TEMPORAL_ADDRESS": own_server.address}
    engine = FakeEngine(plan(node("a"), node("b", "a")))
    engine.gates["model.shop.a"] = asyncio.Event()
    async with worker(environ, engine) as started:
        assert "the worker polls" in await answers(port, "/ready", 200)
        assert (await ask(port))[0] == 200
        client = await connect(ConnectionSettings(address=own_server.address))
        run = await TemporalRunGateway(client, environ["TEMPORAL_TASK_QUEUE"]).submit({}, "through-an-outage")
        following = asyncio.create_task(run.outcome())

        async def begun() -> bool:
            return bool(engine.executed)

        await wait_for(begun, within=60, what="the node has begun")
        await asyncio.to_thread(own_server.end)
        assert "Temporal cannot be asked" in await answers(port, "/ready", 503)
        started.health_file.unlink()

        async def touched() -> bool:
            return started.health_file.exists()

        await wait_for(touched, within=60, what="the file is touched again, without a server")
        assert (await ask(port))[0] == 200
        assert not started.task.done()

        await asyncio.to_thread(own_server.start)
        await answers(port, "/ready", 200)
        engine.gates["model.shop.a"].set()
        assert (await asyncio.wait_for(following, 120)).ending is Ending.COMPLETED
        assert engine.executed == ["model.shop.a", "model.shop.b"]
        told = [record.getMessage() for record in caplog.records if record.name.endswith("readiness")]
        assert [text.split(":")[0] for text in told][:3] == ["ready", "not ready", "ready"]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(started.task, 60)


async def test_while_projects_are_loaded_a_worker_answers_that_it_is_not_ready(environ: dict[str, str]) -> None:
    port = free_port()
    environ["HEALTH_PORT"] = str(port)
    engine = FakeEngine(plan(node("a")))
    loading, go_on = asyncio.Event(), asyncio.Event()
    load = engine.load_project

    async def slow(*arguments: object) -> object:
        loading.set()
        await go_on.wait()
        return await load(*arguments)  # type: ignore[arg-type]

    engine.load_project = slow  # type: ignore[method-assign, assignment]

    async def look() -> tuple[int, str]:
        await loading.wait()
        answer = await ask(port, "/ready")
        go_on.set()
        return answer

    looking = asyncio.create_task(look())
    async with worker(environ, engine):
        assert await looking == (503, "not ready: projects are being loaded\n")
        await answers(port, "/ready", 200)


async def test_an_engine_that_does_not_answer_makes_a_worker_unhealthy(environ: dict[str, str]) -> None:
    port = free_port()
    environ["HEALTH_PORT"] = str(port)
    engine = FakeEngine(plan(node("a")))
    engine.stuck = True
    async with worker(environ, engine, healthy=False) as started:
        await answers(port, "/ready", 200)
        assert (await ask(port))[0] == 503
        assert not started.health_file.exists()
