"""When a run gets another host, and which of them does a node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.hosts import crew as module
from dbt_temporal.adapters.dbt_core.hosts.crew import Crew, hosts_allowed
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType


class Channel:
    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.joined = asyncio.Event()
        self.joined.set()
        self.on_request: Callable[[], None] = lambda: None

    def notify(self, _op: str, **fields: Any) -> None:
        self.heard.append(fields)

    async def request(self, _op: str, **_fields: Any) -> None:
        self.on_request()
        await self.joined.wait()


def host(users: int = 0, *, worked_secs: float = 0.0, **facts: Any) -> Any:
    channel = Channel()
    return SimpleNamespace(
        users=users,
        alive=True,
        has_state=True,
        keeps_state=facts.get("keeps_state", False),
        holds_database=facts.get("holds_database", False),
        last_used=0.0,
        channel=channel,
        process=SimpleNamespace(channel=channel, worked_secs=lambda: worked_secs),
        invocation=SimpleNamespace(run_hosts=facts.get("run_hosts"), keeps_state=False),
        parent=SimpleNamespace(
            facts={"adapter_type": facts.get("adapter_type", "postgres")}, forkable=facts.get("forkable", True)
        ),
    )


class Opened:
    """Makes hosts, and notes which have ended."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.ended: list[Any] = []
        self.refuses = False
        self.joins_later = False
        self._asked = asyncio.Event()

    async def open(self) -> Any:
        if self.refuses:
            raise DbtTemporalError(ErrorType.ENGINE_CRASHED, "no memory")
        made = host()
        if self.joins_later:
            made.channel.joined.clear()
        made.channel.on_request = self._asked.set
        self.made.append(made)
        return made

    async def next(self) -> Any:
        """The next host that is asked to join."""
        await self._asked.wait()
        return self.made[-1]

    async def end(self, ended: Any) -> None:
        self.ended.append(ended)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    monkeypatch.setattr(module, "LOOK_EVERY_SECS", 0.0)
    return Opened()


async def settled(crew: Crew) -> None:
    if crew._opening is not None:
        await asyncio.wait([crew._opening])


@pytest.mark.parametrize(
    ("facts", "by_worker", "allowed"),
    [
        ({}, 4, 4),
        ({}, 1, 1),
        ({"run_hosts": 2}, 4, 2),
        ({"adapter_type": "snowflake"}, 4, 1),
        ({"adapter_type": "snowflake", "run_hosts": 3}, 4, 3),
        ({"adapter_type": "duckdb", "run_hosts": 3}, 4, 1),
        ({"keeps_state": True}, 4, 1),
        ({"holds_database": True}, 4, 1),
        ({"forkable": False}, 4, 1),
    ],
)
def test_how_many_hosts_a_run_may_have(facts: dict[str, Any], by_worker: int, allowed: int) -> None:
    assert hosts_allowed(host(**facts), by_worker) == allowed


@pytest.mark.parametrize(
    ("users", "worked_secs", "more"),
    [(2, 1e6, 1), (1, 1e6, 0), (4, 0.0, 0)],
    ids=["nodes wait for one that is busy", "there is but one node", "its nodes wait for the database"],
)
async def test_there_is_one_more_where_nodes_keep_those_that_there_are_busy(
    opened: Opened, users: int, worked_secs: float, more: int
) -> None:
    crew = Crew(opened.open, opened.end)
    crew.look(host(users, worked_secs=worked_secs), 2)
    await settled(crew)
    assert len(crew.others) == more


async def test_there_are_no_more_than_are_allowed(opened: Opened) -> None:
    crew = Crew(opened.open, opened.end)
    first = host(9, worked_secs=1e6)
    for _ in range(5):
        crew.look(first, 3)
        await settled(crew)
        crew._worked_secs = 0.0
    assert len(crew.others) == 2


async def test_a_node_goes_to_the_host_with_fewest(opened: Opened) -> None:
    first, idle, busy = host(2), host(0), host(3)
    crew = Crew(opened.open, opened.end, [busy, idle])
    assert crew.least_busy(first) is idle
    first.users = 1  # the node itself
    assert crew.least_busy(first) is first


async def test_one_that_gets_ready_hears_what_was_built_and_takes_no_nodes_yet(opened: Opened) -> None:
    crew = Crew(opened.open, opened.end)
    first = host(2, worked_secs=1e6)
    crew.tell(first, first, None, ["model.a"])

    opened.joins_later = True
    crew.look(first, 2)
    made = await opened.next()
    crew.tell(first, first, "changes", ["model.b"])
    assert crew.least_busy(first) is first
    assert not crew.unused
    made.channel.joined.set()
    await settled(crew)
    assert made.channel.heard == [
        {"relations": [], "built": ["model.a"]},
        {"relations": ["changes"], "built": ["model.b"]},
    ]
    assert crew.least_busy(first) is made


async def test_each_hears_of_the_others_and_none_of_itself(opened: Opened) -> None:
    first, other = host(), host()
    crew = Crew(opened.open, opened.end, [other])
    crew.tell(other, first, "one", ["model.a"])
    crew.tell(first, first, "two", [])
    crew.tell(first, first, None, [])
    assert first.channel.heard == [{"relations": ["one"], "built": ["model.a"]}]
    assert other.channel.heard == [{"relations": ["two"], "built": []}]


async def test_where_no_more_can_be_made_the_run_goes_on_and_it_is_not_tried_again(opened: Opened) -> None:
    opened.refuses = True
    crew = Crew(opened.open, opened.end)
    first = host(2, worked_secs=1e6)
    crew.look(first, 2)
    await settled(crew)
    opened.refuses = False
    crew.look(first, 2)
    await settled(crew)
    assert crew.others == opened.made == []
    assert crew.unused


async def test_all_end_with_the_run_also_one_that_gets_ready(opened: Opened) -> None:
    other = host()
    crew = Crew(opened.open, opened.end, [other])
    opened.joins_later = True
    crew.look(host(9, worked_secs=1e6), 3)
    made = await opened.next()
    await crew.close()
    assert len(opened.ended) == 2
    assert made in opened.ended
    assert other in opened.ended
    assert crew.all == []
