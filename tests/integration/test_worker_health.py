"""What probes of a worker that runs are told: ready, healthy, or not, and when."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.servers import free_port, temporal_dev_server, wait_for
from tests.integration.test_worker_program import environ, worker
from tests.unit.test_health import ask

__all__ = ["environ"]


class OwnServer:
    """A Temporal server that a test may end."""

    def __init__(self, stack: ExitStack, log: Path) -> None:
        self._stack = stack
        self.address = stack.enter_context(temporal_dev_server(log))

    def end(self) -> None:
        """Ends it."""
        self._stack.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    with ExitStack() as stack:
        yield OwnServer(stack, tmp_path / "server.log")


async def answers(port: int, path: str, status: int, within: float = 30.0) -> str:
    """Waits until a path is answered with a status; returns the text."""

    async def does() -> str | None:
        answered, text = await ask(port, path)
        return text if answered == status else None

    return str(await wait_for(does, within=within, what=f"{path} is {status}"))


async def test_a_worker_is_ready_when_it_polls_and_an_outage_of_temporal_makes_it_unready_not_unhealthy(
    environ: dict[str, str], own_server: OwnServer
) -> None:
    port = free_port()
    environ |= {"HEALTH_PORT": str(port), "TEMPORAL_ADDRESS": own_server.address}
    async with worker(environ, FakeEngine(plan(node("a")))) as started:
        assert "the worker polls" in await answers(port, "/ready", 200)
        assert (await ask(port))[0] == 200

        await asyncio.to_thread(own_server.end)
        assert "not ready" in await answers(port, "/ready", 503)
        started.health_file.unlink()

        async def touched() -> bool:
            return started.health_file.exists()

        await wait_for(touched, within=40, what="the file is touched again, without a server")
        assert (await ask(port))[0] == 200
        assert not started.task.done()
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
