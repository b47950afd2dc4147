"""What dead hosts have left in the database: statements that may still run, which the run's next host ends."""

from __future__ import annotations

import logging
import time
from typing import Any

from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle
from dbt_temporal.domain.errors import DbtTemporalError

PAUSE_SECS = 30.0
"""After a try that has failed, the run goes on for so long without another: each may wait for the database."""

logger = logging.getLogger("dbt_temporal.engine")


class LeftSessions:
    """Whose sessions hosts that died may have left in the database (`SessionOwner`), by run.

    An owner is forgotten when its sessions have ended, or when the run has.
    """

    def __init__(self, pause_secs: float = PAUSE_SECS) -> None:
        self._pause_secs = pause_secs
        self._owners: dict[str, list[dict[str, Any]]] = {}
        self._not_before: dict[str, float] = {}

    def take_from(self, host: HostHandle) -> None:
        left = list(host.owners.values())
        host.owners.clear()
        if left:
            invocation_id = host.invocation.invocation_id
            self._owners.setdefault(invocation_id, []).extend(left)
            self._not_before.pop(invocation_id, None)

    def any_of(self, invocation_id: str) -> bool:
        return bool(self._owners.get(invocation_id))

    async def end_by(self, host: HostHandle) -> None:
        """Ends the statements that other hosts of the run have left running, before anything else runs.

        Where that fails, the run goes on and it is tried again later. Another attempt at the same step does not run
        beside them anyway: it ends them before its first statement, or fails.
        """
        invocation_id = host.invocation.invocation_id
        if time.monotonic() < self._not_before.get(invocation_id, 0.0):
            return
        left = self._owners.get(invocation_id, [])
        for owner in list(left):  # each stays there for the next caller, should this one be cancelled
            try:
                await host.process.channel.request("end_sessions", owner=owner)
            except DbtTemporalError as error:
                logger.warning("could not end the database sessions of %s yet: %s", owner["step"], error)
                self._not_before[invocation_id] = time.monotonic() + self._pause_secs
                if error.unreachable or not host.alive:
                    return  # the others would come to the same, each after a while
            else:
                if owner in left:
                    left.remove(owner)
        if not self.any_of(invocation_id):
            self._forget(invocation_id)

    def give_up(self, invocation_id: str) -> None:
        """Says of which sessions nobody knows how they end, now that the run has ended."""
        for owner in self._forget(invocation_id):
            logger.warning("statements of %s, whose host died, may still run in the database", owner["step"])

    def _forget(self, invocation_id: str) -> list[dict[str, Any]]:
        self._not_before.pop(invocation_id, None)
        return self._owners.pop(invocation_id, [])
