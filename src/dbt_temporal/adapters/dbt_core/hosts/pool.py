"""Run hosts: one process per run that executes its nodes; made on demand, ended at the run's end or when idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextvars import Context
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_core.hosts.crew import Crew, hosts_allowed
from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle, HostKey
from dbt_temporal.adapters.dbt_core.hosts.left_sessions import LeftSessions
from dbt_temporal.adapters.dbt_core.hosts.opener import HostOpener
from dbt_temporal.adapters.dbt_core.keyed_locks import KeyedLocks
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.parents.pool import ParentPool
from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.application.ports.telemetry import HostsCounted, NoTelemetry, Telemetry
from dbt_temporal.domain.run.invocation import DbtInvocation

logger = logging.getLogger("dbt_temporal.engine")

_REAP_EVERY_SECS = 5.0


class HostPool:
    def __init__(
        self,
        parents: ParentPool,
        work_dir: Path,
        limits: EngineLimits,
        references: ArtifactReferences | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._opener = HostOpener(parents, work_dir, references)
        self._limits = limits
        self._telemetry = telemetry or NoTelemetry()
        self._hosts: dict[HostKey, HostHandle] = {}
        self._crews: dict[HostKey, Crew] = {}  # of those that have worked for a while
        self._leaving: list[HostHandle] = []  # take no further requests, and end with their last one
        self._opening = 0
        self._waiting = 0  # runs for which there is no place
        self._room = asyncio.Event()
        self._locks = KeyedLocks()
        self._left_sessions = LeftSessions()
        self._reaper: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Future[None]] = set()

    @contextlib.asynccontextmanager
    async def using(self, settings: ParseSettings, invocation: DbtInvocation) -> AsyncIterator[HostHandle]:
        """The run's host, which is not retired meanwhile."""
        with self._opener.references_by_name(settings, invocation):
            host = await self._get(settings, invocation)
            try:
                yield host
            finally:
                await self._let_go(host)

    @contextlib.asynccontextmanager
    async def using_any(self, settings: ParseSettings, invocation: DbtInvocation) -> AsyncIterator[HostHandle]:
        """That of the run's hosts which has least to do."""
        with self._opener.references_by_name(settings, invocation):
            counted = [await self._get(settings, invocation)]
            try:
                yield await self._of_crew(counted)
            finally:
                for host in counted:
                    await self._let_go(host)

    def shares(self, host: HostHandle) -> bool:
        """Whether the run may have other hosts, which are to hear what this one does."""
        return hosts_allowed(host, self._limits.hosts_of_a_run) > 1

    def tell(self, host: HostHandle, relations: str | None, built: list[str]) -> None:
        """Lets the run's other hosts here hear what one has done: changes of its relation cache, and built nodes."""
        crew = self._crews.get(_key(host))
        if crew is not None:
            crew.tell(host, self._hosts.get(_key(host)), relations, built)

    def hosts_of(self, invocation_id: str) -> list[HostHandle]:
        """Those that a run has here, whatever its environment was when they were made."""
        return [host for host in self._all() if host.invocation.invocation_id == invocation_id]

    async def end_run(self, invocation_id: str) -> None:
        for key in [key for key in self._keys() if key[0] == invocation_id]:
            await self._retire(key)
        self._left_sessions.give_up(invocation_id)
        await self._opener.remove_run(invocation_id)

    async def close(self) -> None:
        if self._reaper is not None:
            self._reaper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reaper
            self._reaper = None
        leaving, self._leaving = self._leaving, []
        await asyncio.gather(
            *(self.end_run(invocation_id) for invocation_id in {key[0] for key in self._keys()}),
            *(self._opener.end(host) for host in leaving),
            *self._under_way,
        )

    async def clean_up_after(self, host: HostHandle) -> None:
        """Ends the database sessions that a host has left behind by dying, by a new host of the run."""
        if host in self._leaving:  # its place is needed by the host that ends its sessions
            self._leaving.remove(host)
            self._room.set()
            await self._opener.end(host)
        self._left_sessions.take_from(host)
        # Many requests end with the host. The first one does this, and none is told as failed before it is done.
        if self._left_sessions.any_of(host.invocation.invocation_id):
            async with self.using(host.settings, host.invocation):
                pass

    async def _get(self, settings: ParseSettings, invocation: DbtInvocation) -> HostHandle:
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().create_task(self._reap(), context=Context())  # no run's
        key = (invocation.invocation_id, settings.key)
        async with self._locks.holding(key):
            host = await self._usable(key)
            if host is None:
                host = await self._open_in_turn(settings, invocation)
                host.users += 1
                self._hosts[key] = host
                self._count_hosts()
            try:
                await self._left_sessions.end_by(host)
                await self._retire_strangers(key)
            except BaseException:
                await self._let_go(host)
                raise
            return host

    async def _usable(self, key: HostKey) -> HostHandle | None:
        """The host that the run has, counted as used; None where it has none that may take another request."""
        host = self._hosts.get(key)
        if host is None:
            return None
        while not host.alive:
            self._left_sessions.take_from(host)
            crew = self._crews.get(key)
            if crew is None or not crew.others:
                await self._retire(key)
                return None
            dead, host = host, crew.others.pop(0)
            self._hosts[key] = host
            await self._surely(self._opener.end(dead))
        host.users += 1
        try:
            too_large = host.may_be_replaced() and await self._is_too_large(host)
        except BaseException:
            await self._let_go(host)
            raise
        if not too_large:
            return host
        logger.info("a run host holds more than DBT_TEMPORAL_HOST_MEMORY_MB, and a new one takes its place")
        if self._hosts.get(key) is host:
            del self._hosts[key]
            self._leaving.append(host)
        await self._let_go(host)
        return None

    async def _of_crew(self, counted: list[HostHandle]) -> HostHandle:
        """A host for a node: the run's first, or one beside it that has less to do.

        Args:
            counted: the hosts that count the node among their users: at first the run's first, and then the host that
                is given back.
        """
        (first,) = counted
        limit = hosts_allowed(first, self._limits.hosts_of_a_run)
        if limit == 1 or self._waiting:  # then those beside the first make way as soon as their nodes have ended
            return first
        crew = self._crew(first)
        dead = crew.take_dead()
        for host in dead:  # whoever takes the run's host next ends what they have left in the database
            self._left_sessions.take_from(host)
        if dead:
            await self._surely(self._end_all(dead))
        max_hosts = self._limits.max_hosts
        if max_hosts is None or self._count() + self._opening < max_hosts:
            crew.look(first, limit)
        host = crew.least_busy(first)
        if host is first:
            return first
        host.users += 1
        counted.append(host)
        if host.may_be_replaced() and await self._is_too_large(host):
            # Another one takes its place, if there is still need of it.
            if host in crew.others:
                crew.others.remove(host)
                self._leaving.append(host)
            counted.remove(host)
            await self._let_go(host)
            return first
        counted.remove(first)
        await self._let_go(first)
        return host

    def _crew(self, first: HostHandle) -> Crew:
        async def one_more() -> HostHandle:
            host = await self._opener.open(first.settings, first.invocation)
            self._count_hosts()
            return host

        key = _key(first)
        if key not in self._crews:
            self._crews[key] = Crew(one_more, self._opener.end).begin(first)
        return self._crews[key]

    async def _end_all(self, hosts: Iterable[HostHandle]) -> None:
        await _all_of(*(self._opener.end(host) for host in hosts))

    async def _let_go(self, host: HostHandle) -> None:
        host.users -= 1
        host.served += 1
        host.last_used = time.monotonic()
        self._room.set()
        if host.users == 0 and host in self._leaving:
            self._leaving.remove(host)
            self._count_hosts()
            await self._opener.end(host)

    async def _open_in_turn(self, settings: ParseSettings, invocation: DbtInvocation) -> HostHandle:
        """Opens a host as soon as there may be one more. Hosts between requests make way, the longest unused first, and
        last those that hold their run's database."""
        limit = self._limits.max_hosts
        while limit is not None and self._count() + self._opening >= limit:
            idle_secs = self._limits.host_idle_secs
            unused = [
                (host.holds_database, host.last_used, key)
                for key, host in self._hosts.items()
                if host.may_make_way(idle_secs) and self._crew_is_unused(key)
            ]
            if await self._end_one_beside():
                continue
            if unused:
                await self._retire(min(unused)[-1])
            else:
                self._room.clear()
                self._waiting += 1
                try:
                    await self._room.wait()
                finally:
                    self._waiting -= 1
        self._opening += 1
        try:
            return await self._opener.open(settings, invocation)
        finally:
            self._opening -= 1
            self._room.set()

    async def _end_one_beside(self) -> bool:
        """Ends a host that a run has beside its first, if there is one that does nothing."""
        for crew in self._crews.values():
            for host in crew.others:
                if host.users == 0:
                    crew.others.remove(host)
                    await self._surely(self._opener.end(host))
                    return True
        return False

    def _crew_is_unused(self, key: HostKey) -> bool:
        crew = self._crews.get(key)
        return crew is None or crew.unused

    async def _retire_strangers(self, key: HostKey) -> None:
        """Ends the run's hosts with another environment: it changed when pre_run hooks had spoken."""
        for other in [other for other, host in self._hosts.items() if other[0] == key[0] and other != key]:
            if self._hosts[other].users == 0 and self._crew_is_unused(other):
                await self._retire(other)

    async def _retire(self, key: HostKey) -> None:
        host, crew = self._hosts.pop(key, None), self._crews.pop(key, None)
        if host is None and crew is None:
            return
        self._room.set()
        self._count_hosts()
        ending = [] if host is None else [self._opener.end(host)]
        await self._surely(_all_of(*ending, *([] if crew is None else [crew.close()])))

    async def _surely(self, work: Coroutine[Any, Any, None]) -> None:
        """Does work that goes on if whoever waits for it is cancelled."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.shield(task)

    def _count_hosts(self) -> None:
        self._telemetry.record(HostsCounted(self._count()))

    def _count(self) -> int:
        return len(self._all()) + sum(crew.begun for crew in self._crews.values())

    def _keys(self) -> set[HostKey]:
        return {*self._hosts, *self._crews}

    def _all(self) -> list[HostHandle]:
        beside = [host for crew in self._crews.values() for host in crew.all]
        return [*self._hosts.values(), *beside, *self._leaving]

    async def _reap(self) -> None:
        idle_secs = self._limits.host_idle_secs
        while True:
            await asyncio.sleep(min(_REAP_EVERY_SECS, idle_secs))
            for key in [key for key in self._keys() if self._is_idle(key)]:
                async with self._locks.holding(key):  # another host of the run waits until the folder is free
                    await self._retire_idle(key)
            self._room.set()  # with time, further ones may make way
            if not self._opening:
                await self._opener.remove_abandoned({host.invocation.invocation_id for host in self._all()})

    async def _retire_idle(self, key: HostKey) -> None:
        """Ends a host and removes its files: the run may have ended on another worker, which cannot tell this one."""
        if not self._is_idle(key):
            return
        await self._retire(key)
        if not any(other.invocation.invocation_id == key[0] for other in self._leaving):
            await self._opener.remove_files(key)

    def _is_idle(self, key: HostKey) -> bool:
        """Whether all that a run has here has been idle for long; a crew without a first host is not needed."""
        host = self._hosts.get(key)
        return (host is None or host.is_idle(self._limits.host_idle_secs)) and self._crew_is_unused(key)

    async def _is_too_large(self, host: HostHandle) -> bool:
        limit = self._limits.host_memory_bytes
        return limit is not None and await asyncio.to_thread(host.process.memory_bytes) > limit


async def _all_of(*work: Coroutine[Any, Any, None]) -> None:
    await asyncio.gather(*work)


def _key(host: HostHandle) -> HostKey:
    return host.invocation.invocation_id, host.settings.key
