"""Child processes that never outlive their parent, and end in good order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import IO, Any

from dbt_temporal.adapters.parent_death import die_with_parent


async def start_process(
    command: Sequence[str],
    *,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Starts a child with nothing to read. On Linux it is told to end (SIGTERM) when this process is killed."""
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=env,
        # A session of its own keeps the terminal's Ctrl-C away: we pass signals on in the order that suits.
        start_new_session=True,
        preexec_fn=partial(die_with_parent, signal.SIGTERM),
    )


def signal_process(process: asyncio.subprocess.Process, number: int) -> None:
    """Sends a signal to a child; nothing happens where it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


def kill_session(process: asyncio.subprocess.Process) -> None:
    """Kills a child and all of its process group at once."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def end_process(process: asyncio.subprocess.Process, grace_secs: float) -> None:
    """Asks a child to end (SIGTERM), and kills it with its process group where it has not after `grace_secs`."""
    signal_process(process, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_secs):
            await process.wait()
    kill_session(process)
    await process.wait()
