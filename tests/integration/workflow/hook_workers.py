"""The hook workers of examples/hooks as processes of their own, with the files and the receiver that they deal with."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.client import Client

from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from tests.integration.servers import wait_for

EXAMPLES = Path(__file__).parents[3] / "examples" / "hooks"
STARTED_WITHIN_SECS = 120.0
"""The TypeScript worker compiles and bundles its workflows first, which takes seconds on an idle machine."""


@dataclass
class HookWorker:
    """A running worker of the example hooks.

    Attributes:
        task_queue: what it serves.
        folder: its loads.json, credentials.json and archive/.
        messages: what it has posted to NOTIFY_URL, in order.
    """

    task_queue: str
    folder: Path
    messages: list[str] = field(default_factory=list)

    def newest_load_was(self, age: timedelta) -> None:
        """Says when the newest source was loaded."""
        loads = {"raw_orders": (datetime.now(UTC) - age).isoformat(), "raw_stores": "2020-01-01T00:00:00+00:00"}
        (self.folder / "loads.json").write_text(json.dumps(loads))

    def credentials_are(self, by_target: Mapping[str, Mapping[str, str]]) -> None:
        """Says what resolve_credentials finds."""
        (self.folder / "credentials.json").write_text(json.dumps(by_target))

    def archived(self, invocation_id: str, event: str) -> dict[str, Any]:
        """A payload as the worker's language read it and wrote it again."""
        payload: dict[str, Any] = json.loads((self.folder / "archive" / f"{invocation_id}-{event}.json").read_text())
        return payload


@contextmanager
def serving_hooks(command: Sequence[str], cwd: Path, folder: Path, address: str) -> Iterator[HookWorker]:
    """Runs a hook worker until the end of the block; it has begun to poll when the block begins."""
    worker = HookWorker(f"hooks-{uuid4().hex[:8]}", folder)
    log = folder / "worker.log"
    with receiver(worker.messages) as url, log.open("wb") as output:
        env = os.environ | {
            "TEMPORAL_ADDRESS": address,
            "TASK_QUEUE": worker.task_queue,
            "LOADS_FILE": str(folder / "loads.json"),
            "CREDENTIALS_FILE": str(folder / "credentials.json"),
            "ARCHIVE_DIR": str(folder / "archive"),
            "NOTIFY_URL": url,
        }
        # A session of its own: npm does not pass signals on to what its scripts start.
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            asyncio.run(_polls(worker, address, process, log))
            yield worker
        finally:
            _end_group(process)


async def _polls(worker: HookWorker, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    gateway = TemporalRunGateway(await Client.connect(address), worker.task_queue)

    async def polls() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the hook worker ended at once: {_end_of(log)}")
        return await gateway.has_workers()

    await wait_for(polls, within=STARTED_WITHIN_SECS, what=f"the hook worker polls; its log is {log}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def receiver(messages: list[str]) -> Iterator[str]:
    """An HTTP server that keeps the `text` of what is posted to it; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            messages.append(json.loads(body)["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def installed_typescript_example(into: Path, example: Path = EXAMPLES / "typescript") -> Path:
    """A copy of an example, that of the hooks by default, with its npm packages.

    Raises:
        AssertionError: Node.js or npm is missing, or the packages cannot be installed; with what to do.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise AssertionError(f"`{program}` is missing: the TypeScript examples need Node.js 20.3 or newer, and npm")
    copy = into / "typescript"
    shutil.copytree(example, copy, ignore=shutil.ignore_patterns("node_modules", "lib"))
    _npm(copy, "install", "--no-progress")
    return copy


def _npm(cwd: Path, *arguments: str) -> None:
    done = subprocess.run(["npm", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"`npm {' '.join(arguments)}` failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def python_example_command() -> list[str]:
    """Starts the Python example with the running interpreter."""
    return [sys.executable, str(EXAMPLES / "python" / "hooks.py")]
