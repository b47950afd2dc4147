"""The worker's handle of a run host, a process that executes the nodes of one run."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.parents.pool import ParentHandle
from dbt_temporal.adapters.dbt_core.template import ForkedProcess
from dbt_temporal.domain.run.invocation import DbtInvocation

HostKey = tuple[str, str]
"""The id of the run, and the key of the parse that its environment asks for."""

HOLDING_IDLE_SECS = 3600.0
"""How long a host with a run's database in its memory may be without requests: with it the run's results go."""

TELL_EVERY_SECS = 2.0
"""How often a host hears that its worker is there, while it does something."""
TOLD_PER_SILENCE = 8
"""Where its patience is short, it hears so often meanwhile."""


@dataclass
class HostHandle:
    """A host as the worker sees it.

    Attributes:
        parent: where it came from, held until the host ends.
        owners: by request that is under way, whose its sessions in the database are (`SessionOwner`).
        attempts: requests for attempts at nodes that are under way, by the place of their outcome.
        users: requests under way.
        served: requests that it has ended.
        last_used: when the last request ended (monotonic seconds).
        name: its own, which no other host of any worker ever has.
        holds_database: whether what the run has built is in its memory alone.
        has_state: whether it has what hooks and nodes of the run have left for later ones.
        keeps_state: whether these leave anything, so that no two hosts may run nodes at once.
    """

    process: ForkedProcess
    parent: ParentHandle
    settings: ParseSettings
    invocation: DbtInvocation
    owners: dict[int, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[Path, tuple[int, asyncio.Future[Any]]] = field(default_factory=dict)
    users: int = 0
    served: int = 0
    last_used: float = field(default_factory=time.monotonic)
    name: str = field(default_factory=lambda: uuid4().hex[:12])
    holds_database: bool = False
    has_state: bool = False
    keeps_state: bool = False

    def has_prepared(self, answer: dict[str, Any]) -> None:
        """Takes note of what it has in its memory since it has done before_run."""
        self.holds_database = answer["held_by"] is not None
        self.has_state, self.keeps_state = True, answer["keeps_graph"] is not None

    async def answer_to(self, request: asyncio.Future[Any], silence_secs: float | None) -> Any:
        """The answer to a request; until it comes, the host is told that its worker is there.

        Args:
            request: the request that was made.
            silence_secs: how long the host goes on with it without hearing from its worker; None: for ever.
        """
        pause = None if silence_secs is None else min(TELL_EVERY_SECS, silence_secs / TOLD_PER_SILENCE)
        while not (await asyncio.wait([request], timeout=pause))[0]:
            self.process.channel.notify("here")
        return request.result()

    @property
    def alive(self) -> bool:
        return self.process.channel.alive

    def is_idle(self, idle_secs: float) -> bool:
        """Whether it has gone, or had no request for that long; a run's database is kept for longer."""
        if self.holds_database:
            idle_secs = max(idle_secs, HOLDING_IDLE_SECS)
        return self._is_idle(idle_secs)

    def may_be_replaced(self) -> bool:
        """Whether a new host may take the next request of its user, who is counted."""
        return self.served > 0 and not self.holds_database and not (self.keeps_state and self.users > 1)

    def may_make_way(self, idle_secs: float) -> bool:
        """Whether another run may have its place: with a database, only after that long without requests."""
        return self._is_idle(idle_secs if self.holds_database else 0.0)

    def _is_idle(self, idle_secs: float) -> bool:
        return self.users == 0 and (not self.alive or time.monotonic() - self.last_used > idle_secs)


def this_worker() -> str:
    """A name of this worker, for people and for telling it from others."""
    return f"{socket.gethostname()} (process {os.getpid()})"
