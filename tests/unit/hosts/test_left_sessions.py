"""Sessions that dead hosts have left: ended by the next host, or kept in mind until that succeeds."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.adapters.dbt_core.channel import Channel
from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle
from dbt_temporal.adapters.dbt_core.hosts.left_sessions import LeftSessions
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.template import ForkedProcess
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

RUN = DbtInvocation(invocation_id="run", project="shop", started_at="2024-01-01T00:00:00Z", input=DbtRunInput())
OWNERS = [{"step": "model.shop.a"}, {"step": "model.shop.b"}]
AWAY = {"type": "Adapter", "message": "timeout expired", "retryable": True, "unreachable": True}
STAYS = {"type": "Adapter", "message": "one does not end", "retryable": True, "unreachable": False}


class AnsweringHost:
    """A host whose process answers by `errors`, of steps, and notes in `asked` what it is asked for.

    It goes in silence when it is asked for a step in `dies_at`.
    """

    def __init__(self) -> None:
        self.errors: dict[str, wire.Message] = {}
        self.asked: list[str] = []
        self.dies_at: str | None = None

    def serve(self, sock: socket.socket) -> None:
        with sock:
            while (message := wire.receive(sock)[0]) is not None:
                step = message["owner"]["step"]
                self.asked.append(step)
                if step == self.dies_at:
                    return
                error = self.errors.get(step)
                wire.answer(sock, {"id": message["id"], **({"error": error} if error else {"ok": None})})


@asynccontextmanager
async def answered_by(answering: AnsweringHost) -> AsyncIterator[HostHandle]:
    ours, theirs = socket.socketpair()
    channel = await Channel.over(ours)
    process = ForkedProcess(channel, 0, asyncio.get_running_loop().create_future(), asyncio.Event())
    thread = threading.Thread(target=answering.serve, args=[theirs])
    thread.start()
    try:
        yield HostHandle(process, cast(Any, None), ParseSettings("/shop", "/shop"), RUN)
    finally:
        await channel.close()
        await asyncio.to_thread(thread.join)


async def left_by_a_dead_host(pause_secs: float = 0.0) -> LeftSessions:
    left = LeftSessions(pause_secs)
    async with answered_by(AnsweringHost()) as dead:
        dead.owners.update(enumerate(OWNERS))
        left.take_from(dead)
    return left


async def test_a_host_ends_what_others_have_left_once() -> None:
    left, answering = await left_by_a_dead_host(), AnsweringHost()
    async with answered_by(answering) as host:
        await left.end_by(host)
        await left.end_by(host)
    assert answering.asked == ["model.shop.a", "model.shop.b"]
    assert not left.any_of("run")


async def test_what_could_not_be_ended_is_kept_until_it_has_and_the_host_goes_on() -> None:
    left, answering = await left_by_a_dead_host(), AnsweringHost()
    answering.errors = {"model.shop.a": STAYS}
    async with answered_by(answering) as host:
        await left.end_by(host)
        assert left.any_of("run")
        answering.errors = {}
        await left.end_by(host)
    assert answering.asked == ["model.shop.a", "model.shop.b", "model.shop.a"]
    assert not left.any_of("run")


async def test_a_database_that_is_away_is_asked_once_and_then_left_alone_for_a_while() -> None:
    left, answering = await left_by_a_dead_host(pause_secs=3600.0), AnsweringHost()
    answering.errors = {"model.shop.a": AWAY}
    async with answered_by(answering) as host:
        for _ in range(5):
            await left.end_by(host)
        assert answering.asked == ["model.shop.a"]
        host.owners[7] = {"step": "model.shop.c"}
        left.take_from(host)  # another one dies, and what it has left is not to wait
        answering.errors = {}
        await left.end_by(host)
    assert answering.asked[1:] == ["model.shop.a", "model.shop.b", "model.shop.c"]
    assert not left.any_of("run")


async def test_a_host_that_dies_meanwhile_leaves_the_rest_to_the_next_one() -> None:
    left, answering = await left_by_a_dead_host(), AnsweringHost()
    answering.dies_at = "model.shop.b"
    async with answered_by(answering) as host:
        await left.end_by(host)
    assert left.any_of("run")
    following = AnsweringHost()
    async with answered_by(following) as host:
        await left.end_by(host)
    assert following.asked == ["model.shop.b"]
    assert not left.any_of("run")


async def test_what_is_left_when_the_run_ends_is_said_of(caplog: pytest.LogCaptureFixture) -> None:
    left, answering = await left_by_a_dead_host(), AnsweringHost()
    answering.errors = {"model.shop.b": STAYS}
    async with answered_by(answering) as host:
        await left.end_by(host)
    with caplog.at_level(logging.WARNING):
        left.give_up("run")
    assert "statements of model.shop.b, whose host died, may still run" in caplog.text
    assert "statements of model.shop.a" not in caplog.text
    assert not left.any_of("run")
