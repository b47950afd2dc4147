"""The worker process of `dbt-temporal dev`: it reads edited files at every plan, so one worker serves to the end."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dbt_temporal.adapters.output_lines import output_lines
from dbt_temporal.entrypoints.dev.changes import ProjectFiles
from dbt_temporal.entrypoints.dev.processes import end_process, kill_session, start_process

PROGRAM = (sys.executable, "-m", "dbt_temporal")
KEPT_LINES = 200
END_SECS = 20.0
"""A worker that has not ended by then is killed; its own grace for running nodes is shorter (see dev)."""
READY_LOOK_SECS = 0.05


@dataclass
class DevWorker:
    """One worker at a time, in a process of its own.

    Attributes:
        health_file: tells that it is ready; nobody else may write it.
        files: those by which its projects load or do not.
        show: gets its output, line by line.
        say: tells the user something.
        output: its last lines, for error messages.
        loaded: whether the last one that was started became ready.
        known: the files as they were when it was started.
    """

    environ: Mapping[str, str]
    health_file: Path
    files: ProjectFiles
    show: Callable[[str], None]
    say: Callable[[str], None]
    command: Sequence[str] = (*PROGRAM, "worker")
    output: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    loaded: bool = False
    known: Mapping[str, str] = field(default_factory=dict)
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Future[None] | None = None

    async def start(self) -> bool:
        """Starts the worker and waits until it takes work. False where it ended instead: a project does not load."""
        self.known = await self.files.now()
        self.output.clear()
        self._process = await start_process(
            self.command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**self.environ, "HEALTH_FILE": str(self.health_file), "PYTHONUNBUFFERED": "1"},
        )
        self._reader = asyncio.ensure_future(self._read(self._process))
        self.loaded = False
        while self._process.returncode is None:
            if self.health_file.exists():
                self.loaded = True
                return True
            await asyncio.sleep(READY_LOOK_SECS)
        await self.stop()
        return False

    async def keep(self) -> None:
        """Starts the worker again when it has ended by itself, until this is cancelled.

        After one that did not load the next one is tried when files have changed.
        """
        while True:
            if self.loaded:
                assert self._process is not None
                code = await self._process.wait()
                self.say(f"The worker has ended by itself (exit code {code}); starting it again.")
                await self.stop()
            else:
                self.say("The project does not load; waiting for a change of its files.")
                now = await self.files.changed_since(self.known)
                self.say(f"{self.files.edited(self.known, now)} Loading the project again ...")
            if await self.start():
                self.say("The worker is ready.")

    async def stop(self) -> None:
        """Ends the worker in good order: it finishes or cancels what it runs, and ends its engine processes."""
        if self._process is not None and self._reader is not None:
            await end_process(self._process, END_SECS)
            await asyncio.wait([self._reader])
            self.health_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends the worker at once; its engine processes end with it."""
        if self._process is not None:
            kill_session(self._process)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in output_lines(process.stdout):
            self.output.append(line)
            self.show(line)
