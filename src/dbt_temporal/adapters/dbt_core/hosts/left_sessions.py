"""What dead hosts have left in the database: statements that may still run, which the run's next host ends."""

from __future__ import annotations

import logging
from typing import Any

from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle
from dbt_temporal.domain.errors import DbtTemporalError

logger = logging.getLogger("dbt_temporal.engine")


class LeftSessions:
    """The database sessions of hosts that died, by run."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[dict[str, Any]]] = {}

    def take_from(self, host: HostHandle) -> None:
        left = [session for sessions in host.sessions.values() for session in sessions]
        host.sessions.clear()
        if left:
            self._sessions.setdefault(host.invocation.invocation_id, []).extend(left)

    def any_of(self, invocation_id: str) -> bool:
        return bool(self._sessions.get(invocation_id))

    async def end_by(self, host: HostHandle) -> None:
        """Ends the statements that other hosts of the run have left running, before anything else runs."""
        invocation_id = host.invocation.invocation_id
        left = self._sessions.get(invocation_id, [])
        while left:
            session = left[0]  # it stays there for the next caller, should this one be cancelled
            try:
                await host.process.channel.request("end_sessions", sessions=[session])
            except DbtTemporalError as error:
                logger.warning("could not end the database session %s: %s", session, error)
            if session in left:
                left.remove(session)
        self._sessions.pop(invocation_id, None)

    def give_up(self, invocation_id: str) -> None:
        """Says of which sessions nobody knows how they end, now that the run has ended."""
        for session in self._sessions.pop(invocation_id, []):
            logger.warning("a database session of a host that died may still run: %s", session)
