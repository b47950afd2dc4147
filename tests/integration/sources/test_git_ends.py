"""Fetching from git that does not come to its end by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tests.integration.servers import wait_for
from tests.integration.sources.sources import Worker


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path / "cache")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes requests and does not answer them; its URL."""
    release = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release.wait(60)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/r"
    finally:
        release.set()
        server.shutdown()
        server.server_close()


async def test_a_server_that_does_not_answer_is_given_up(worker: Worker, silent_server: str) -> None:
    problem = await worker.problem(f"git+{silent_server}#main", DBT_TEMPORAL_SOURCE_TIMEOUT_SECS="0.5")
    assert "could not be fetched within 0.5 seconds; is the server reachable from here?" in problem


def helps_git(process: psutil.Process) -> bool:
    """Whether it is a helper of git's that still is there."""
    try:
        return process.name().startswith("git-remote")
    except psutil.Error:
        return False


async def test_a_cancel_ends_git_with_its_helpers_and_leaves_nothing(worker: Worker, silent_server: str) -> None:
    async def helpers() -> list[psutil.Process]:
        processes = psutil.Process().children(recursive=True)
        return [process for process in processes if helps_git(process)]

    fetching = asyncio.create_task(worker.locate(f"git+{silent_server}#main"))
    (helper,) = await wait_for(helpers, what="git talks to the server")
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    helper.wait(20)
    assert await helpers() == []
    assert worker.copies() == []


async def test_a_machine_without_git_is_told(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "needs the program git, which is not on the PATH" in await worker.problem("git+file:///somewhere#main")
