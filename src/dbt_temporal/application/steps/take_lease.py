"""Takes the lease of a run."""

from __future__ import annotations

from datetime import UTC, datetime

from dbt_temporal.application.ports.engine import Progress, no_progress
from dbt_temporal.application.ports.leases import Leases
from dbt_temporal.application.steps.messages import TakeLeaseInput, TakeLeaseOutput
from dbt_temporal.domain.leases.messages import Lease, LeaseAnswer, LeaseRequest
from dbt_temporal.domain.leases.table import LeaseTable


class TakeLease:
    """The use case behind `take_lease`."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def __call__(self, request: TakeLeaseInput, _progress: Progress = no_progress) -> TakeLeaseOutput:
        """Asks for the lease.

        Raises:
            DbtTemporalError: of type Adapter, where nobody answers.
        """
        if request.instead_of is not None:
            # First: who waits must have nothing that others wait for.
            await self._leases.give_back(request.instead_of, request.invocation_id)
        answer = await self._leases.take(request.invocation_id, request.lease, waits=request.waits)
        return TakeLeaseOutput(**dict(answer))


class LeasesOfThisProcess:
    """Implements `Leases` for the runs of one process. They give back what they have, however they end."""

    def __init__(self) -> None:
        self._tables: dict[str, LeaseTable] = {}

    async def take(self, owner: str, lease: Lease, *, waits: bool) -> LeaseAnswer:
        table = self._tables.setdefault(lease.scope, LeaseTable())
        request = LeaseRequest(owner=owner, workflow_id=owner, lease=lease, waits=waits)
        return table.ask(request, datetime.now(UTC).isoformat())

    async def give_back(self, scope: str, owner: str) -> None:
        table = self._tables.get(scope)
        if table is not None:
            table.drop([owner])
            if table.empty:
                del self._tables[scope]
