"""Ends processes of dbt v2 whose worker stands still: another one goes on soon, and they must not write beside it.

A process of ours does it, which hears of the worker all the time. A worker that has died needs none: its processes hear
of that from the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable

logger = logging.getLogger("dbt_temporal.engine")

BEAT_SECS = 1.0
"""The worker is heard of so often at least."""
BEATS_PER_SILENCE = 8
_READ_BYTES = 65_536


class Guard:
    """That of a worker; its process starts when there is something to guard."""

    def __init__(self) -> None:
        self._watched: dict[int, float] = {}
        self._changed = asyncio.Event()
        self._process: Process | None = None
        self._beating: asyncio.Task[None] | None = None

    def watch(self, pid: int, silence_secs: float) -> None:
        """Guards a process, which has SIGINT when its worker is silent for so long, or for what was said before, where
        that is less."""
        if self._watched.get(pid, float("inf")) <= silence_secs:
            return
        self._watched[pid] = silence_secs
        self._tell([pid])
        self._changed.set()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat())

    def forget(self, pid: int) -> None:
        """Guards a process no more: it has ended."""
        if self._watched.pop(pid, None) is not None:
            self._tell([pid])

    async def close(self) -> None:
        """Ends the guard."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    async def _beat(self) -> None:
        while self._watched:
            self._changed.clear()
            try:
                await self._start()
            except OSError as error:  # such as too many processes: they may be fewer soon
                logger.warning("what ends processes of dbt v2 whose worker stands still does not start: %s", error)
            self._tell(())
            shortest = min(self._watched.values(), default=BEAT_SECS * BEATS_PER_SILENCE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(BEAT_SECS, shortest / BEATS_PER_SILENCE)):
                    await self._changed.wait()

    async def _start(self) -> None:
        """Starts the process, which hears of all that is guarded, unless it runs: it may have been killed."""
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", __name__), stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
            )
            self._tell(self._watched)

    def _tell(self, pids: Iterable[int]) -> None:
        lines = [f"{pid} {self._watched.get(pid, '')}" for pid in pids]
        if self._process is not None and self._process.returncode is None and self._process.stdin is not None:
            self._process.stdin.write("".join(f"{line}\n" for line in lines or [""]).encode())


def main() -> None:
    """Reads what a worker tells, a line each: a process with its time, or without one where it has ended."""
    watched: dict[int, float] = {}
    heard_at, rest = time.monotonic(), b""
    while True:
        until = heard_at + min(watched.values(), default=float("inf"))
        wait = None if not watched else max(0.0, until - time.monotonic())
        if not select.select([0], [], [], wait)[0]:
            silence = time.monotonic() - heard_at
            for pid in [pid for pid, limit in watched.items() if silence >= limit]:
                del watched[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            continue
        told = os.read(0, _READ_BYTES)
        if not told:
            return
        heard_at = time.monotonic()
        *lines, rest = (rest + told).split(b"\n")
        for line in lines:
            number, _, limit = line.decode().partition(" ")
            if limit:
                watched[int(number)] = float(limit)
            elif number:
                watched.pop(int(number), None)


if __name__ == "__main__":
    main()
