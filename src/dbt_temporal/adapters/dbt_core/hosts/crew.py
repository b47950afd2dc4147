"""Further hosts of a run, beside its first: dbt's work is Python, of which a process does one thing at a time.

There are more where the run's nodes keep those that it has busy, and wait for one another there. Each hears what the
others have built, so that dbt's relation cache is right in all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle
from dbt_temporal.application.shielding import shielded

logger = logging.getLogger("dbt_temporal.engine")

SEVERAL_PROCESSES = frozenset({"postgres", "redshift"})
"""Adapters whose databases several processes may work in, as nobody has to say."""
ONE_PROCESS = frozenset({"duckdb"})
"""Those that lock their database for the process that has it."""

LOOK_EVERY_SECS = 0.5
BUSY_SHARE = 0.6
"""Of one processor, on average over the hosts that there are: above it nodes wait for the interpreter."""


def hosts_allowed(host: HostHandle, by_worker: int) -> int:
    """How many hosts a run may have, as its first host knows it."""
    by_project = host.invocation.run_hosts
    adapter_type = host.parent.facts["adapter_type"]
    may_be_several = adapter_type in SEVERAL_PROCESSES or (by_project is not None and adapter_type not in ONE_PROCESS)
    in_this_process = host.holds_database or host.keeps_state or host.invocation.keeps_state
    if not may_be_several or in_this_process or not host.parent.forkable:
        return 1
    return by_worker if by_project is None else by_project


@dataclass
class Crew:
    """The hosts of one run on one worker beside its first.

    Attributes:
        open: makes one more.
        end: ends one.
        others: those that there are.
        built: the nodes that any of the run's hosts here has built.
    """

    open: Callable[[], Awaitable[HostHandle]]
    end: Callable[[HostHandle], Awaitable[None]]
    others: list[HostHandle] = field(default_factory=list)
    built: dict[str, None] = field(default_factory=dict)
    _opening: asyncio.Task[None] | None = None
    _joining: HostHandle | None = None
    _gave_up: bool = False
    _looked_at: float = field(default_factory=time.monotonic)
    _worked_secs: float = 0.0

    @property
    def all(self) -> list[HostHandle]:
        """Those that there are, and the one that gets ready."""
        return self.others if self._joining is None else [*self.others, self._joining]

    @property
    def unused(self) -> bool:
        """Whether none of them does anything."""
        return all(host.users == 0 for host in self.all) and not self._opens

    @property
    def begun(self) -> int:
        """How many are being made that are not among `all` yet."""
        return int(self._opens and self._joining is None)

    @property
    def _opens(self) -> bool:
        return self._opening is not None and not self._opening.done()

    def begin(self, first: HostHandle) -> Crew:
        """Counts from here on what the run's first host does."""
        self._looked_at, self._worked_secs = time.monotonic(), _worked_secs([first])
        return self

    def take_dead(self) -> list[HostHandle]:
        """Those that have died, which are none of the crew any more."""
        dead = [host for host in self.others if not host.alive]
        self.others = [host for host in self.others if host.alive]
        return dead

    def least_busy(self, first: HostHandle) -> HostHandle:
        """The host for a node: `first` counts the node itself among its users."""
        best = min(self.others, key=lambda host: host.users, default=first)
        return best if best.users < first.users - 1 else first

    def look(self, first: HostHandle, limit: int) -> None:
        """Has one more host made, where those that there are have more to do than they can."""
        now = time.monotonic()
        seconds = now - self._looked_at
        hosts = [first, *self.others]
        if seconds < LOOK_EVERY_SECS or len(hosts) >= limit or self._opens or self._gave_up:
            return
        worked = _worked_secs(hosts)
        share, self._looked_at, self._worked_secs = (worked - self._worked_secs) / seconds, now, worked
        if share / len(hosts) > BUSY_SHARE and sum(host.users for host in hosts) > len(hosts):
            self._opening = asyncio.create_task(self._open_one(first))

    def tell(self, teller: HostHandle, first: HostHandle | None, relations: str | None, built: list[str]) -> None:
        """Lets the other hosts hear what one has done."""
        self.built.update(dict.fromkeys(built))
        if relations is None and not built:
            return
        for host in [first, *self.all]:
            if host is not None and host is not teller:
                host.process.channel.notify("hear", relations=[relations] if relations else [], built=built)

    async def close(self) -> None:
        """Ends all of them."""
        ending = [self.end(host) for host in self.others]
        self.others = []
        if self._opening is not None and self._opens:
            self._opening.cancel()
            ending.append(_end_of(self._opening))
        await asyncio.gather(*ending)

    async def _open_one(self, first: HostHandle) -> None:
        try:
            host = await self.open()
            # From here on it hears what the others do: so it lacks nothing when it has filled its cache.
            self._joining = host
            try:
                host.process.channel.notify("hear", relations=[], built=list(self.built))
                await host.process.channel.request("join", others_are_here=first.has_state)
            except BaseException:
                await shielded(self.end(host))
                raise
            finally:
                self._joining = None
        except Exception as error:
            self._gave_up = True
            logger.warning("the run goes on with the hosts that it has: %s", error)
            return
        host.has_state, host.last_used = first.has_state, time.monotonic()
        self.others.append(host)
        self._looked_at, self._worked_secs = time.monotonic(), _worked_secs([first, *self.others])


async def _end_of(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


def _worked_secs(hosts: list[HostHandle]) -> float:
    return sum(host.process.worked_secs() for host in hosts)
