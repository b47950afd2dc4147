"""Hosts of a run that are counted, replaced, lost and ended, one beside the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dbt_temporal.adapters.dbt_core.hosts import crew as crew_module
from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle
from dbt_temporal.adapters.dbt_core.hosts.pool import HostPool
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation

RUN = DbtInvocation(invocation_id="run", project="shop", started_at="2024-01-01T00:00:00Z", input=DbtRunInput())
SETTINGS: Any = SimpleNamespace(key="as it is")


class Channel:
    def __init__(self) -> None:
        self.alive = True

    def notify(self, op: str, **fields: Any) -> None:
        """Hears."""

    async def request(self, op: str, **fields: Any) -> None:
        """Answers."""


class Opener:
    """Makes hosts without processes. They are always busy; `sizes` says how much memory each has."""

    def __init__(self) -> None:
        self.made: list[HostHandle] = []
        self.ended: list[HostHandle] = []
        self.sizes: dict[int, int] = {}
        self.refuses = False

    @contextlib.contextmanager
    def references_by_name(self, *_: Any) -> Iterator[None]:
        yield

    async def open(self, settings: Any, invocation: DbtInvocation) -> HostHandle:
        await asyncio.sleep(0)
        if self.refuses:
            raise DbtTemporalError(ErrorType.ENGINE_CRASHED, "no memory")
        number = len(self.made)
        process = SimpleNamespace(
            channel=Channel(), memory_bytes=lambda: self.sizes.get(number, 0), worked_secs=lambda: 1e9 * len(self.made)
        )
        parent = SimpleNamespace(facts={"adapter_type": "postgres"}, forkable=True)
        host = HostHandle(cast(Any, process), cast(Any, parent), settings, invocation)
        self.made.append(host)
        return host

    async def end(self, host: HostHandle) -> None:
        await asyncio.sleep(0)
        self.ended.append(host)

    async def remove_run(self, invocation_id: str) -> None:
        """Nothing is on disk."""


class Pool:
    def __init__(self, folder: Path, max_hosts: int | None = None) -> None:
        self.opener = Opener()
        self.pool = HostPool(cast(Any, None), folder, EngineLimits(run_hosts=2, host_memory_mb=1, max_hosts=max_hosts))
        self.pool._opener = cast(Any, self.opener)

    @contextlib.asynccontextmanager
    async def node(self) -> AsyncIterator[HostHandle]:
        async with self.pool.using_any(SETTINGS, RUN) as host:
            yield host

    async def with_two_hosts(self) -> tuple[HostHandle, HostHandle]:
        """Has two nodes at once until there is another host."""
        while not self.crew or not self.crew.others:
            async with self.node(), self.node():
                await asyncio.sleep(0)
        return self.opener.made[0], self.opener.made[1]

    @property
    def crew(self) -> Any:
        return self.pool._crews.get(("run", SETTINGS.key))

    def users(self) -> list[int]:
        return [host.users for host in self.opener.made]


@pytest.fixture(autouse=True)
def always_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "LOOK_EVERY_SECS", 0.0)
    monkeypatch.setattr(crew_module, "BUSY_SHARE", -1.0)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


async def test_nodes_are_shared_out_and_none_is_counted_when_all_have_ended(pool: Pool) -> None:
    first, other = await pool.with_two_hosts()
    async with pool.node() as a, pool.node() as b, pool.node() as c:
        assert {a.name, b.name, c.name} == {first.name, other.name}
        assert sorted(pool.users()) == [1, 2]
    assert pool.users() == [0, 0]
    await pool.pool.end_run("run")
    assert len(pool.opener.ended) == 2
    await pool.pool.close()


async def test_where_no_other_can_be_made_the_run_is_idle_when_its_nodes_have_ended(pool: Pool) -> None:
    async with pool.node():
        pool.opener.refuses = True
        async with pool.node():
            await asyncio.wait([pool.crew._opening])
    assert pool.pool._crew_is_unused(("run", SETTINGS.key))
    await pool.pool.close()
    assert pool.opener.ended == pool.opener.made


async def test_another_host_takes_the_place_of_a_first_one_that_has_died(pool: Pool) -> None:
    first, other = await pool.with_two_hosts()
    async with pool.node(), pool.node():
        first.process.channel.alive = False
        async with pool.node() as host:
            assert host is other
    assert first in pool.opener.ended
    assert other not in pool.opener.ended
    await pool.pool.close()
    assert other in pool.opener.ended


async def test_a_host_beside_the_first_that_has_died_is_ended(pool: Pool) -> None:
    first, other = await pool.with_two_hosts()
    pool.opener.refuses = True
    other.process.channel.alive = False
    async with pool.node() as host:
        assert host is first
    assert pool.opener.ended == [other]
    await pool.pool.close()


@pytest.mark.parametrize("which", [0, 1], ids=["the first", "another"])
async def test_a_host_that_is_too_large_ends_when_its_nodes_have(pool: Pool, which: int) -> None:
    two = await pool.with_two_hosts()
    async with pool.node(), pool.node():
        pool.opener.sizes[which] = 2**30
        async with pool.node(), pool.node() as host:
            assert host is not two[which]
        assert two[which] not in pool.opener.ended
    assert two[which] in pool.opener.ended
    assert set(pool.users()) == {0}
    await pool.pool.close()
    assert len(pool.opener.ended) == len(pool.opener.made)


async def test_a_crew_whose_first_host_has_gone_and_has_no_successor_ends_with_its_run(pool: Pool) -> None:
    _, other = await pool.with_two_hosts()
    pool.opener.sizes[0] = 2**30
    pool.opener.refuses = True
    with pytest.raises(DbtTemporalError):
        async with pool.node():
            pass
    await pool.pool.end_run("run")
    assert other in pool.opener.ended
    assert pool.pool._all() == []
    await pool.pool.close()


async def test_a_host_beside_the_first_makes_way_for_another_run_although_its_run_is_busy(tmp_path: Path) -> None:
    pool = Pool(tmp_path, max_hosts=2)
    first, other = await pool.with_two_hosts()
    async with contextlib.AsyncExitStack() as nodes:
        for _ in range(3):
            await nodes.enter_async_context(pool.node())
        assert other.users == 1
        waits = pool.pool.using(SETTINGS, RUN.model_copy(update={"invocation_id": "another"}))
        waiting = asyncio.ensure_future(waits.__aenter__())
        await asyncio.sleep(0)
        for _ in range(3):
            host = await nodes.enter_async_context(pool.node())
            assert host is first
        assert not waiting.done()
    await waiting
    assert pool.opener.ended == [other]
    await waits.__aexit__(None, None, None)
    await pool.pool.close()


async def test_a_node_that_is_cancelled_while_it_gets_a_host_is_counted_nowhere(pool: Pool) -> None:
    await pool.with_two_hosts()

    async def node() -> None:
        async with pool.node():
            await asyncio.Event().wait()

    for steps in range(40):
        busy, late = asyncio.create_task(node()), asyncio.create_task(node())
        for _ in range(steps):
            await asyncio.sleep(0)
        late.cancel()
        busy.cancel()
        await asyncio.wait([busy, late])
        assert set(pool.users()) == {0}
    await pool.pool.close()


async def test_a_run_whose_end_is_cancelled_ends_all_the_same(pool: Pool) -> None:
    await pool.with_two_hosts()
    ending = asyncio.create_task(pool.pool.end_run("run"))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    await pool.pool.close()
    assert len(pool.opener.ended) == len(pool.opener.made)
