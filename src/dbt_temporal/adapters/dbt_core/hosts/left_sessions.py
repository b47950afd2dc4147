"""What dead hosts have left in the database: statements that may still run, which the run's next host ends."""

from __future__ import annotations

import logging
from typing import Any

from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle
from dbt_temporal.domain.errors import DbtTemporalError

logger = logging.getLogger("dbt_temporal.engine")


class LeftSessions:
    """Whose sessions hosts that died may have left in the database (`SessionOwner`), by run."""

    def __init__(self) -> None:
        self._owners: dict[str, list[dict[str, Any]]] = {}

    def take_from(self, host: HostHandle) -> None:
        left = list(host.owners.values())
        host.owners.clear()
        if left:
            self._owners.setdefault(host.invocation.invocation_id, []).extend(left)

    def any_of(self, invocation_id: str) -> bool:
        return bool(self._owners.get(invocation_id))

    async def end_by(self, host: HostHandle) -> None:
        """Ends the statements that other hosts of the run have left running, before anything else runs."""
        invocation_id = host.invocation.invocation_id
        left = self._owners.get(invocation_id, [])
        while left:
            owner = left[0]  # it stays there for the next caller, should this one be cancelled
            try:
                await host.process.channel.request("end_sessions", owner=owner)
            except DbtTemporalError as error:
                logger.warning("could not end the database sessions of %s: %s", owner["step"], error)
            if owner in left:
                left.remove(owner)
        self._owners.pop(invocation_id, None)

    def give_up(self, invocation_id: str) -> None:
        """Says of which sessions nobody knows how they end, now that the run has ended."""
        for owner in self._owners.pop(invocation_id, []):
            logger.warning("statements of %s, whose host died, may still run in the database", owner["step"])
