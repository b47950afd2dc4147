"""Processes that are measured: how they are started, and what they use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_TIMEOUT_SECS = 120.0
SETTLE_SECS = 0.5
SETTLED_CPU_SECS = 0.05
MAX_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that `ru_maxrss` counts in."""


class BenchmarkError(Exception):
    """Something that was to be measured did not work; the message holds its output."""


@dataclass(frozen=True)
class Used:
    """What a command took: wall and CPU (user and system) in seconds, memory (most RSS) in bytes."""

    wall: float
    cpu: float
    memory: int


@contextmanager
def running_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that prints into a log, in the log's folder; stopped at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=log.parent
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def waited_for(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path | None = None) -> Used:
    """Runs a command in a folder to its end, and says what it took, with all the processes that it waited for.

    Raises:
        BenchmarkError: where its exit code is not 0.
    """
    log = log or folder / "command.log"
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} ended with {process.returncode}:\n{tail(log)}")
    return Used(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * MAX_RSS_UNIT)


async def at_rest(*processes: subprocess.Popen[bytes]) -> float:
    """The CPU time of processes and all below them once they rest, so that what a run leaves to do counts."""
    used = sum(map(tree_cpu, processes))
    while True:
        await asyncio.sleep(SETTLE_SECS)
        now = sum(map(tree_cpu, processes))
        if now - used < SETTLED_CPU_SECS:
            return now
        used = now


def own_cpu(process: subprocess.Popen[bytes]) -> float:
    """User and system time of a process alone."""
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def tree_cpu(process: subprocess.Popen[bytes]) -> float:
    """User and system time of a process and all below it, those that ended and were waited for included."""
    root = psutil.Process(process.pid)
    total = 0.0
    for member in (root, *root.children(recursive=True)):
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended just now: its parent's times have it
        total += times.user + times.system + times.children_user + times.children_system
    return total


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])
