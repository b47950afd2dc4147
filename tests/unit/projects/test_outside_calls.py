"""Calls that may never come back: limits, places, and threads that hold nothing up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from dbt_temporal.adapters import outside_calls
from dbt_temporal.adapters.outside_calls import OutsideCalls
from dbt_temporal.application.log_context import current_fields, log_fields

LEAVES_WHILE_A_CALL_HANGS = """
import asyncio, threading
from dbt_temporal.adapters.outside_calls import OutsideCalls

async def main():
    try:
        await OutsideCalls("calls", 1)(threading.Event().wait, 0.05)
    except TimeoutError as error:
        print(error)

asyncio.run(main())
"""


def _fails() -> None:
    raise ValueError("no")


async def test_a_call_gives_what_the_function_gives_or_raises() -> None:
    calls = OutsideCalls("calls", 1)
    assert await calls(lambda: 3, 60) == 3
    with pytest.raises(ValueError, match="no"):
        await calls(_fails, 60)
    assert await calls(lambda: 4, 60) == 4


async def test_a_call_has_the_log_fields_of_its_caller() -> None:
    with log_fields(project="shop"):
        assert (await OutsideCalls("calls", 1)(current_fields, 60))["project"] == "shop"


async def test_a_call_that_hangs_keeps_its_place_until_it_comes_back() -> None:
    calls, gate = OutsideCalls("calls", 1), threading.Event()
    for _ in range(2):  # the second one waits for the place
        with pytest.raises(TimeoutError, match=r"there was no answer within 0\.05 seconds"):
            await calls(gate.wait, 0.05)
    assert await OutsideCalls("others", 1)(lambda: 5, 60) == 5
    gate.set()
    assert await calls(lambda: 6, 60) == 6


async def test_a_caller_that_has_gone_is_not_told() -> None:
    calls, gate = OutsideCalls("calls", 1), threading.Event()
    task = asyncio.create_task(calls(gate.wait, 60))
    await asyncio.sleep(0)
    task.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await calls(lambda: 7, 60) == 7


async def test_calls_one_after_another_share_a_thread_and_those_at_once_do_not() -> None:
    calls, gate = OutsideCalls("calls", 2), threading.Event()
    first = await calls(threading.get_ident, 60)
    assert await calls(threading.get_ident, 60) == first
    waiting = asyncio.create_task(calls(lambda: gate.wait() and threading.get_ident(), 60))
    await asyncio.sleep(0)
    other = await calls(threading.get_ident, 60)
    gate.set()
    assert other != await waiting == first


async def test_a_thread_that_has_rested_for_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside_calls, "REST_SECS", 0.01)
    calls = OutsideCalls("calls", 1)
    thread = await calls(threading.current_thread, 60)
    thread.join(60)
    assert not thread.is_alive()
    assert await calls(lambda: 8, 60) == 8


def test_a_process_ends_although_a_call_hangs() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEAVES_WHILE_A_CALL_HANGS], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "there was no answer within 0.05 seconds\n"), ended.stderr
