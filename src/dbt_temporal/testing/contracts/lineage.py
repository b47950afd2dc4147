"""What every sender of lineage promises, as tests that each of them passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dbt_temporal.application.ports.lineage.sender import LineageSender
from dbt_temporal.domain.lineage.model import EventType, LineageEvent

Received = Callable[[], list[tuple[str, str]]]
"""The jobs and the types of the events that have arrived, in order."""


class LineageSenderContract:
    """Tests of a `LineageSender`, for a subclass called `Test...` and fixtures `sender` and `received`, which give the
    adapter and a `Received`: what tells of the other side.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_what_was_taken_is_sent_in_its_order(self, sender: LineageSender, received: Received) -> None:
        """`send`, and `close`, which waits for what was taken."""
        kinds = (EventType.START, EventType.COMPLETE)
        told = [(f"model.shop.{number}", kind) for number in range(20) for kind in kinds]
        for job, kind in told:
            sender.send(event(job, kind))
        await asyncio.to_thread(sender.close)
        assert received() == [(job, kind.value) for job, kind in told]

    async def test_after_its_end_nothing_is_taken_and_nothing_raised(
        self, sender: LineageSender, received: Received
    ) -> None:
        """`close`, and both again after it."""
        sender.send(event("model.shop.a"))
        await asyncio.to_thread(sender.close)
        sender.send(event("model.shop.late"))
        await asyncio.to_thread(sender.close)
        assert received() == [("model.shop.a", "START")]

    async def test_nothing_that_people_name_their_nodes_raises(self, sender: LineageSender, received: Received) -> None:
        """`send`, of strange names; whatever comes of them, the next one is sent."""
        for job in ("", "a" * 10_000, "test.shop.größe \n\0 \ud800"):
            sender.send(event(job))
        sender.send(event("model.shop.next"))
        await asyncio.to_thread(sender.close)
        assert received()[-1] == ("model.shop.next", "START")


def event(job: str, kind: EventType = EventType.START) -> LineageEvent:
    """An event of a job."""
    return LineageEvent(kind, "2026-01-01T06:00:00+00:00", "6e2f0d3c-0000-4000-8000-000000000001", job, "MODEL")
