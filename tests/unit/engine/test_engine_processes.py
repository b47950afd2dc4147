"""What the worker hears of its engine processes: their output, and their ends."""

from __future__ import annotations

import asyncio
import socket

import pytest

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.channel import Channel
from dbt_temporal.adapters.dbt_core.output import OutputTail
from dbt_temporal.adapters.dbt_core.template import Forker
from dbt_temporal.adapters.output_lines import output_lines
from dbt_temporal.domain.errors import DbtTemporalError


@pytest.mark.parametrize("fed_at_once", [True, False], ids=["at once", "in parts"])
async def test_lines_of_any_length_are_read_whole(fed_at_once: bool) -> None:
    lines = ["short", "x" * 1_000_000, "", "y" * 64, "z" * 70_000]
    text = "\n".join(lines).encode()
    stream = asyncio.StreamReader(limit=64)

    async def feed() -> None:
        step = len(text) if fed_at_once else 9_973
        for start in range(0, len(text), step):
            stream.feed_data(text[start : start + step])
            await asyncio.sleep(0)
        stream.feed_eof()

    feeding = asyncio.create_task(feed())
    assert [line async for line in output_lines(stream)] == lines
    await feeding


async def test_the_end_of_a_process_that_is_told_before_its_number_is_known() -> None:
    ours, theirs = socket.socketpair()
    forker = Forker(await Channel.over(ours), OutputTail())

    def fork_what_dies_at_once() -> None:
        message, fds = wire.receive(theirs)
        assert message is not None
        for fd in fds:
            socket.socket(fileno=fd).close()
        exited = {"event": "exited", "pid": 4711, "status": 3}
        theirs.sendall(wire.encode(exited) + wire.encode({"id": message["id"], "ok": {"pid": 4711}}))

    _, process = await asyncio.gather(asyncio.to_thread(fork_what_dies_at_once), forker.fork("fork_host"))
    with pytest.raises(DbtTemporalError, match="exit status 3"):
        await process.channel.request("anything")
    await forker.channel.close()
    theirs.close()


async def test_a_process_whose_connection_is_known_to_be_lost_is_taken_for_no_further_request() -> None:
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    known = asyncio.Event()
    settled = asyncio.Event()

    async def wait_for_how_it_ended() -> None:
        known.set()
        await settled.wait()

    channel.settle_end = wait_for_how_it_ended
    theirs.close()
    await known.wait()
    assert not channel.alive
    assert not channel.closed.is_set()
    settled.set()
    await channel.closed.wait()
    await channel.close()


async def test_a_request_with_descriptors_to_a_process_that_has_gone_marks_it_as_gone() -> None:
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    theirs.close()
    with pytest.raises(DbtTemporalError, match="has ended"):
        channel.start("fork_host", fds=[0])
    assert not channel.alive
    await channel.close()


def test_an_answer_to_a_worker_that_has_gone_is_no_error_and_the_next_request_tells() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        wire.answer(ours, {"event": "exited", "pid": 4711, "status": 0})
        assert wire.receive(ours) == (None, [])
