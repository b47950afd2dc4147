"""What hooks and nodes of runs leave in their processes, kept in the artifact store for other processes of the run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from functools import partial

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import EngineRun, StatePart
from dbt_temporal.application.shielding import shielded
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.run.invocation import DbtInvocation

MAX_GAP = 256
"""So many parts are never missing one after the other: no more nodes run at once, and may be lost with their worker."""

logger = logging.getLogger(__name__)


class KeptState:
    """The parts of all runs. One that could not be stored stays in memory, for processes of this worker."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._not_stored: dict[str, dict[int, StatePart]] = {}

    async def use_in(self, run: EngineRun, invocation: DbtInvocation, without: Collection[str] = ()) -> None:
        """Tells a run where its state is, if it keeps any."""
        if invocation.keeps_state:
            await run.use_state(partial(self.read, invocation), without)

    async def keep(self, invocation_id: str, part: StatePart | None) -> None:
        """Keeps a part. A cancel does not come between, since what it is the state of has been done."""
        if part is not None:
            await shielded(self._keep(invocation_id, part))

    async def keep_of_node(self, invocation: DbtInvocation, unique_id: str, part: StatePart | None) -> None:
        """Keeps what a node has left, where the run keeps state: else nobody would read it."""
        if part is not None and not invocation.keeps_state:
            logger.warning(
                "%s has changed Jinja's `graph`, which neither on-run-start nor the project's texts let expect: nodes "
                "that run in other processes do not see that",
                unique_id,
            )
            return
        await self.keep(invocation.invocation_id, part)

    async def read(self, invocation: DbtInvocation) -> list[StatePart]:
        """All parts of a run.

        Raises:
            DbtTemporalError: of type ArtifactStore; of type Configuration, where the store is not the one that the run
                was begun with.
        """
        parts = dict(self._not_stored.get(invocation.invocation_id, {}))
        first, last = 1, 0
        while first <= last + MAX_GAP:
            read = await asyncio.gather(*(self._read(invocation, first + each) for each in range(MAX_GAP)))
            parts |= {part.number: part for part in read if part is not None}
            last = max(parts, default=0)
            first += MAX_GAP
        if invocation.state_begun and 1 not in parts:
            raise configuration_error(
                "what on-run-start has left in Jinja's `graph` is not in the artifact store of this worker: workers "
                "that take over such runs from each other need the same ARTIFACT_STORE"
            )
        return list(parts.values())

    async def forget(self, invocation: DbtInvocation) -> None:
        """Deletes the parts of a run that has ended."""
        self._not_stored.pop(invocation.invocation_id, None)
        if invocation.keeps_state:
            try:
                await self._store.delete(f"{invocation.invocation_id}/state")
            except DbtTemporalError as error:
                logger.warning("the state of run %s could not be deleted: %s", invocation.invocation_id, error.message)

    async def _keep(self, invocation_id: str, part: StatePart) -> None:
        try:
            await self._store.write(_path(invocation_id, part.number), part.content)
        except DbtTemporalError as error:
            self._not_stored.setdefault(invocation_id, {})[part.number] = part
            logger.warning("no other worker can go on with run %s, which keeps state: %s", invocation_id, error.message)

    async def _read(self, invocation: DbtInvocation, number: int) -> StatePart | None:
        content = await self._store.read(_path(invocation.invocation_id, number))
        return None if content is None else StatePart(number, content)


def _path(invocation_id: str, number: int) -> str:
    return f"{invocation_id}/state/{number}"
