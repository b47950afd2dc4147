"""Processes of a worker that stands still."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import psutil
import pytest

from dbt_temporal.adapters.dbt_v2.processes import guard as guard_module
from dbt_temporal.adapters.dbt_v2.processes.guard import Guard

GUARDED = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); print(flush=True); signal.pause()"
"""A program that ends at the signal, also where tests run in the background of a shell, which ignores it."""
WORKER = f"""
import asyncio, sys
from dbt_temporal.adapters.dbt_v2.processes import guard

async def work():
    guard.BEAT_SECS = 0.05
    guarded = guard.Guard()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", {GUARDED!r}, stdout=-1)
    await process.stdout.readline()
    guarded.watch(process.pid, 1.5)
    await asyncio.sleep(2)
    print(process.pid, process.returncode, flush=True)
    await process.wait()

asyncio.run(work())
"""


async def test_a_process_is_interrupted_when_its_worker_stands_still_and_not_before() -> None:
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    pid, code = (await worker.stdout.readline()).split()
    assert code == b"None"
    worker.send_signal(signal.SIGSTOP)
    try:
        await asyncio.to_thread(_wait_for_end, psutil.Process(int(pid)))
    finally:
        worker.send_signal(signal.SIGCONT)
    assert await worker.wait() == 0


def _wait_for_end(process: psutil.Process) -> None:
    """Of a child of one that stands still, which does not hear of it."""
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def guards() -> set[int]:
    """The processes that guard for this one."""
    return {
        each.pid
        for each in psutil.Process().children()
        if each.is_running() and guard_module.__name__ in _command(each)
    }


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _wait_for_another_than(first: int) -> int:
    while guards() <= {first}:
        time.sleep(0.01)
    return (guards() - {first}).pop()


async def _interrupted_by(guard: Guard, process: asyncio.subprocess.Process) -> None:
    guard.watch(process.pid, 0.0)
    assert await process.wait() == -signal.SIGINT
    guard.forget(process.pid)
    await guard.close()


async def test_a_guard_that_was_killed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "BEAT_SECS", 0.01)
    guard = Guard()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", GUARDED, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    guard.watch(process.pid, 600.0)
    first = await asyncio.to_thread(_wait_for_another_than, 0)
    os.kill(first, signal.SIGKILL)
    await asyncio.to_thread(_wait_for_another_than, first)
    await _interrupted_by(guard, process)


async def test_what_has_ended_is_guarded_no_more() -> None:
    guard = Guard()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", GUARDED, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    await _interrupted_by(guard, process)
    guard.forget(process.pid)
    guard.forget(process.pid)
    await guard.close()
