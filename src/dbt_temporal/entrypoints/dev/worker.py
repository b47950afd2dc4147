"""The worker process of `dbt-temporal dev`."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbt_temporal.entrypoints.dev.processes import end_process, kill_session, start_process

PROGRAM = (sys.executable, "-m", "dbt_temporal")
KEPT_LINES = 200
END_SECS = 20.0
"""A worker that has not ended by then is killed; its own grace for running nodes is shorter (see dev)."""
LOOK_SECS = 0.05


@dataclass
class DevWorker:
    """A worker of ours. Its output goes line by line to `on_line`; the last lines are kept for error messages."""

    process: asyncio.subprocess.Process
    health_file: Path
    on_line: Callable[[str], None]
    output: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    _reader: asyncio.Future[None] = field(init=False)

    def __post_init__(self) -> None:
        self._reader = asyncio.ensure_future(self._read())

    @property
    def exit_code(self) -> int | None:
        """None while the worker runs."""
        return self.process.returncode

    async def ready(self) -> bool:
        """Waits until the worker has loaded its projects and takes work. False where it ended instead."""
        while self.process.returncode is None:
            if self.health_file.exists():
                return True
            await asyncio.sleep(LOOK_SECS)
        await self._reader
        return False

    async def stop(self) -> None:
        """Ends the worker in good order: it finishes or cancels what it runs, and ends its engine processes."""
        await end_process(self.process, END_SECS)
        await self._reader
        self.health_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends the worker at once; its engine processes end with it."""
        kill_session(self.process)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while raw := await self.process.stdout.readline():
            line = raw.decode(errors="replace").rstrip("\n")
            self.output.append(line)
            self.on_line(line)


async def start_worker(environ: Mapping[str, str], health_file: Path, on_line: Callable[[str], None]) -> DevWorker:
    """Starts a worker with an environment. It tells that it is ready by `health_file`, which must not exist yet."""
    process = await start_process(
        [*PROGRAM, "worker"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**environ, "HEALTH_FILE": str(health_file), "PYTHONUNBUFFERED": "1"},
    )
    return DevWorker(process, health_file, on_line)
