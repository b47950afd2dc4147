"""The worker's hold on the template process, which has imported dbt and forks project parents."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from contextvars import Context
from typing import Any

import psutil

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.channel import Channel, EventHandler
from dbt_temporal.adapters.dbt_core.output import OutputTail
from dbt_temporal.domain.errors import DbtTemporalError

_MODULE = "dbt_temporal.adapters.dbt_core.process.parent"
_EXIT_NEWS_SECS = 1.0
_END_SECS = 15.0
"""Longer than the template waits for what it forked (`process.forking.CHILDREN_SECS`)."""


class ForkedProcess:
    """A process that another engine process forked, and the channel to it."""

    def __init__(self, channel: Channel, pid: int, exited: asyncio.Future[int], forker_gone: asyncio.Event) -> None:
        self.channel = channel
        self.pid = pid
        self.exited = exited
        """Its exit status, once it has ended. Never there where the process that forked it ended first."""
        self._forker_gone = forker_gone

    def memory_bytes(self) -> int:
        """Memory that it shares with no other process; 0 where it has gone."""
        try:
            return int(psutil.Process(self.pid).memory_full_info().uss)
        except psutil.Error:
            return 0

    def worked_secs(self) -> float:
        """The processor time that it has used; 0 where it has gone."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    async def end(self) -> None:
        """Orders the process to end and waits until it has, as the files that it holds are locked until then.

        One that takes too long is killed.
        """
        await self.channel.close()
        gone = asyncio.ensure_future(self._forker_gone.wait())  # what it forked ends with it
        try:
            news: list[asyncio.Future[Any]] = [self.exited, gone]
            ended, _ = await asyncio.wait(news, timeout=_END_SECS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if not ended:
            self.kill()

    def kill(self) -> None:
        """Kills the process; its channel then reports the end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Forker:
    """The worker's end of a fork server: asks for forks, and hears how they ended."""

    def __init__(self, channel: Channel, output: OutputTail) -> None:
        self.channel = channel
        self.output = output
        self.ready = False
        self._statuses: dict[int, asyncio.Future[int]] = {}
        self.on_event: EventHandler = lambda _: None
        """Hears of all other events."""
        channel.on_event = self._hear

    async def fork(self, op: str) -> ForkedProcess:
        return await self._fork(op, self.output)

    async def fork_host(self, op: str) -> ForkedProcess:
        """The same for a process of the run that goes on here: what it prints is read apart."""
        output = OutputTail()
        async with output.of_host() as printed:
            return await self._fork(op, output, printed)

    async def _fork(self, op: str, output: OutputTail, *fds: int) -> ForkedProcess:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                _, answer = self.channel.start(op, fds=[theirs.fileno(), *fds])
            pid = (await answer)["pid"]
        except BaseException:
            ours.close()
            raise
        channel = await Channel.over(ours)
        status = self._status(pid)
        status.add_done_callback(lambda _: self._statuses.pop(pid, None))
        news: list[asyncio.Future[Any]] = [status] if output.reading is None else [status, output.reading]
        channel.settle_end = lambda: _wait_briefly(asyncio.gather(*news, return_exceptions=True))
        channel.describe_end = lambda: _describe(status.result() if status.done() else None, output)
        return ForkedProcess(channel, pid, status, self.channel.closed)

    def _status(self, pid: int) -> asyncio.Future[int]:
        return self._statuses.setdefault(pid, asyncio.get_running_loop().create_future())

    def _hear(self, message: wire.Message) -> None:
        if message.get("event") == "exited":
            # It may come before whoever asked for the process has read its number, and then waits for them.
            status = self._status(message["pid"])
            if not status.done():
                status.set_result(message["status"])
        else:
            self.on_event(message)


class Template:
    """The template process; started on first use, and again after it has died.

    Attributes:
        preparation: what it is told once it has imported dbt: `shortcuts`, whether to take them, and `schemas`, the
            folder that keeps dbt's JSON schemas, None for nowhere.
    """

    def __init__(self, python: str, environ: Mapping[str, str]) -> None:
        self.preparation: Mapping[str, Any] = {"shortcuts": True, "schemas": None}
        self._python = python
        self._environ = environ
        self._output = OutputTail()
        self._lock = asyncio.Lock()
        self._forker: Forker | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._has_forked = False

    async def begin(self) -> None:
        """Starts the process, where there is none, and does not wait until it has imported dbt."""
        async with self._lock:
            await self._begin_once()

    async def start(self) -> None:
        """Starts the process, where there is none. Returns when it has imported dbt."""
        async with self._lock:
            await self._start_once()

    async def fork_parent(self) -> tuple[ForkedProcess, Forker]:
        """A new project parent, and the forker through which it forks hosts."""
        async with self._lock:
            await self._start_once()
            assert self._forker is not None
            self._has_forked = True
            parent = await self._forker.fork("fork_parent")
        return parent, Forker(parent.channel, self._output)

    async def ping(self) -> None:
        """Waits for an answer of the template, where there is one. One that has died is replaced on the next use."""
        forker = self._forker
        if forker is not None and forker.ready:
            with contextlib.suppress(DbtTemporalError):
                await forker.channel.request("hello")

    async def close(self) -> None:
        async with self._lock:
            await self._stop()

    async def _start_once(self) -> None:
        await self._begin_once()
        assert self._forker is not None
        if not self._forker.ready:  # whoever began it may have been cancelled meanwhile
            await self._forker.channel.request("prepare", **self.preparation)
            self._forker.ready = True

    async def _begin_once(self) -> None:
        if self._forker is None or not self._forker.channel.alive:
            await self._begin()

    async def _begin(self) -> None:
        await self._stop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                self._python,
                "-m",
                _MODULE,
                str(theirs.fileno()),
                str(os.getpid()),
                pass_fds=[theirs.fileno()],
                env={**self._environ, "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal reaches the worker alone, which then ends these
            )
        assert self._process.stdout is not None
        self._reading = asyncio.get_running_loop().create_task(
            self._output.read(self._process.stdout),
            context=Context(),  # no run's: run hosts print elsewhere
        )
        channel = await Channel.over(ours)
        process = self._process
        channel.settle_end = lambda: _wait_briefly(process.wait())
        channel.describe_end = lambda: _describe(process.returncode, self._output)
        self._forker = Forker(channel, self._output)
        self._has_forked = False

    async def _stop(self) -> None:
        if self._forker is not None:
            await self._forker.channel.close()
            self._forker = None
        if self._process is not None:
            if self._has_forked:  # else there is nothing that it could have to wait for
                with contextlib.suppress(asyncio.TimeoutError):
                    async with asyncio.timeout(_END_SECS):
                        await self._process.wait()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
            self._reading = None


def _describe(status: int | None, output: OutputTail) -> str:
    if status is None:
        ended = "its connection closed"
    elif status < 0:
        ended = f"killed by signal {-status}"
    else:
        ended = f"exit status {status}"
    tail = output.text()
    return f"{ended}; its last output:\n{tail}" if tail and status not in (0, None) else ended


async def _wait_briefly(what: Any) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        async with asyncio.timeout(_EXIT_NEWS_SECS):
            await asyncio.shield(what)
