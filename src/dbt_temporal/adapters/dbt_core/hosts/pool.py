"""Run hosts: one process per run that executes its nodes; made on demand, ended at the run's end or when idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.dbt_core.keyed_locks import KeyedLocks
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.parents.pool import ParentPool, ProjectParent
from dbt_temporal.adapters.dbt_core.template import ForkedProcess
from dbt_temporal.application.log_context import log_fields
from dbt_temporal.application.ports.references import ArtifactReferences
from dbt_temporal.application.ports.telemetry import HostsCounted, NoTelemetry, Telemetry
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.invocation import DbtInvocation

logger = logging.getLogger("dbt_temporal.engine")

_REAP_EVERY_SECS = 5.0
_REFERENCES = ("state_manifest_ref", "defer_manifest_ref", "retry_from")


@dataclass
class RunHost:
    """A host as the worker sees it.

    Attributes:
        process: the process and the channel to it.
        parent: where it came from, held until the host ends.
        settings, invocation: what it was made for.
        sessions: by request, what identifies the database sessions that it has.
        users: requests under way.
        served: requests that it has ended.
        last_used: when the last request ended (monotonic seconds).
    """

    process: ForkedProcess
    parent: ProjectParent
    settings: ParseSettings
    invocation: DbtInvocation
    sessions: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    users: int = 0
    served: int = 0
    last_used: float = field(default_factory=time.monotonic)

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return not self.process.channel.closed.is_set()

    def memory_bytes(self) -> int:
        """Memory of its own, without what it still shares with its project; 0 where the process has gone."""
        return self.process.memory_bytes()

    def kill(self) -> None:
        """Kills the process; its channel then reports the end."""
        self.process.kill()


_HostKey = tuple[str, str]


class HostPool:
    """Finds or makes the host of a run."""

    def __init__(
        self,
        parents: ParentPool,
        work_dir: Path,
        limits: EngineLimits,
        references: ArtifactReferences | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._parents = parents
        self._work_dir = work_dir
        self._limits = limits
        self._references = references
        self._telemetry = telemetry or NoTelemetry()
        self._hosts: dict[_HostKey, RunHost] = {}
        self._leaving: list[RunHost] = []  # take no further requests, and end with their last one
        self._opening = 0
        self._room = asyncio.Event()
        self._locks = KeyedLocks()
        self._left_sessions: dict[str, list[dict[str, Any]]] = {}
        self._reaper: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def using(self, settings: ParseSettings, invocation: DbtInvocation) -> AsyncIterator[RunHost]:
        """The run's host, which is not retired meanwhile."""
        host = await self._get(settings, invocation)
        try:
            yield host
        finally:
            await self._let_go(host)

    async def end_run(self, invocation_id: str) -> None:
        """Ends the hosts of a run and removes its files."""
        for key in [key for key in self._hosts if key[0] == invocation_id]:
            await self._retire(key)
        for session in self._left_sessions.pop(invocation_id, []):
            logger.warning("a database session of a host that died may still run: %s", session)
        await asyncio.to_thread(shutil.rmtree, self._run_dir(invocation_id), True)

    async def close(self) -> None:
        """Ends all hosts."""
        if self._reaper is not None:
            self._reaper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reaper
            self._reaper = None
        for invocation_id in {key[0] for key in self._hosts}:
            await self.end_run(invocation_id)
        while self._leaving:
            await self._end(self._leaving.pop())

    async def clean_up_after(self, host: RunHost) -> None:
        """Ends the database sessions that a host has left behind by dying, by a new host of the run."""
        if host in self._leaving:  # its place is needed by the host that ends its sessions
            self._leaving.remove(host)
            self._room.set()
            await self._end(host)
        self._keep_sessions(host)
        # Many requests end with the host. The first one does this, and none is told as failed before it is done.
        if self._left_sessions.get(host.invocation.invocation_id):
            async with self.using(host.settings, host.invocation):
                pass

    def _keep_sessions(self, host: RunHost) -> None:
        """Takes note of what a dead host has left in the database."""
        left = [session for sessions in host.sessions.values() for session in sessions]
        host.sessions.clear()
        if left:
            self._left_sessions.setdefault(host.invocation.invocation_id, []).extend(left)

    async def _get(self, settings: ParseSettings, invocation: DbtInvocation) -> RunHost:
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().create_task(self._reap(), context=Context())  # no run's
        key = (invocation.invocation_id, settings.key)
        async with self._locks.holding(key):
            host = await self._found(key)
            if host is None:
                host = await self._open_in_turn(settings, invocation)
                host.users += 1
                self._hosts[key] = host
                self._count_hosts()
            try:
                await self._end_left_sessions(host, key[0])
                await self._retire_strangers(key)
            except BaseException:
                await self._let_go(host)
                raise
            return host

    async def _found(self, key: _HostKey) -> RunHost | None:
        """The host that the run has, counted as used; None where it has none that may take another request."""
        host = self._hosts.get(key)
        if host is None:
            return None
        if not host.alive:
            self._keep_sessions(host)
            await self._retire(key)
            return None
        host.users += 1
        try:
            too_large = host.served > 0 and await self._is_too_large(host)
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

    async def _let_go(self, host: RunHost) -> None:
        host.users -= 1
        host.served += 1
        host.last_used = time.monotonic()
        self._room.set()
        if host.users == 0 and host in self._leaving:
            self._leaving.remove(host)
            self._count_hosts()
            await self._end(host)

    async def _open_in_turn(self, settings: ParseSettings, invocation: DbtInvocation) -> RunHost:
        """Opens a host as soon as there may be one more. Hosts between requests make way, the longest unused first."""
        limit = self._limits.max_hosts
        while limit is not None and self._count() + self._opening >= limit:
            unused = [key for key, host in self._hosts.items() if host.users == 0]
            if unused:
                await self._retire(min(unused, key=lambda key: self._hosts[key].last_used))
            else:
                self._room.clear()
                await self._room.wait()
        self._opening += 1
        try:
            return await self._open(settings, invocation)
        finally:
            self._opening -= 1
            self._room.set()

    async def _open(self, settings: ParseSettings, invocation: DbtInvocation) -> RunHost:
        parent = await self._parents.acquire(settings)
        if not parent.forkable:
            self._parents.release(parent)
            parent = await self._parents.load(settings)
            parent.users = 1
        try:
            with log_fields(invocation_id=invocation.invocation_id, project=invocation.project):
                process = await parent.forker.fork_host("fork_host" if parent.forkable else "become_host")
        except BaseException:
            self._parents.release(parent)
            raise
        host = RunHost(process, parent, settings, invocation)
        run_dir = self._run_dir(invocation.invocation_id) / settings.key
        try:
            here = await self._with_local_references(invocation, run_dir)
            await process.channel.request("open", invocation=here.model_dump(mode="json"), run_dir=str(run_dir))
        except BaseException:
            await self._end(host)
            raise
        return host

    async def _with_local_references(self, invocation: DbtInvocation, run_dir: Path) -> DbtInvocation:
        """The invocation, with the artifacts of earlier runs that it names copied to this machine."""
        if self._references is None:
            return invocation
        found = {}
        for name in _REFERENCES:
            reference = getattr(invocation.input, name)
            if reference:
                found[name] = await self._references.fetch(name, reference, run_dir / "references" / name)
        return invocation.model_copy(update={"input": invocation.input.model_copy(update=found)})

    async def _end_left_sessions(self, host: RunHost, invocation_id: str) -> None:
        """Ends the statements that a killed host has left running, before anything else runs."""
        left = self._left_sessions.get(invocation_id, [])
        while left:
            session = left[0]  # it stays there for the next caller, should this one be cancelled
            try:
                await host.process.channel.request("end_sessions", sessions=[session])
            except DbtTemporalError as error:
                logger.warning("could not end the database session %s: %s", session, error)
            if session in left:
                left.remove(session)
        self._left_sessions.pop(invocation_id, None)

    async def _retire_strangers(self, key: _HostKey) -> None:
        """Ends the run's hosts with another environment: it changed when pre_run hooks had spoken."""
        for other in [other for other, host in self._hosts.items() if other[0] == key[0] and other != key]:
            if self._hosts[other].users == 0:
                await self._retire(other)

    async def _retire(self, key: _HostKey) -> None:
        host = self._hosts.pop(key, None)
        if host is not None:
            self._room.set()
            self._count_hosts()
            await self._end(host)

    async def _end(self, host: RunHost) -> None:
        try:
            await host.process.channel.close()
        finally:
            self._parents.release(host.parent)

    def _count_hosts(self) -> None:
        self._telemetry.record(HostsCounted(self._count()))

    def _count(self) -> int:
        return len(self._hosts) + len(self._leaving)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(_REAP_EVERY_SECS, self._limits.host_idle_secs))
            for key in [key for key, host in self._hosts.items() if self._is_idle(host)]:
                async with self._locks.holding(key):  # another host of the run waits until the folder is free
                    await self._retire_idle(key)

    async def _retire_idle(self, key: _HostKey) -> None:
        """Ends a host and removes its files: the run may have ended on another worker, which cannot tell this one."""
        host = self._hosts.get(key)
        if host is None or not self._is_idle(host):
            return
        await self._retire(key)
        run_dir = self._run_dir(key[0])
        if not any(other.invocation.invocation_id == key[0] for other in self._leaving):
            await asyncio.to_thread(shutil.rmtree, run_dir / key[1], True)
            with contextlib.suppress(OSError):  # hosts with another environment have files there, too
                run_dir.rmdir()

    def _is_idle(self, host: RunHost) -> bool:
        unused_for = time.monotonic() - host.last_used
        return host.users == 0 and (not host.alive or unused_for > self._limits.host_idle_secs)

    async def _is_too_large(self, host: RunHost) -> bool:
        limit = self._limits.host_memory_bytes
        return limit is not None and await asyncio.to_thread(host.memory_bytes) > limit

    def _run_dir(self, invocation_id: str) -> Path:
        return self._work_dir / "runs" / invocation_id
