"""Frees what this worker holds for a run."""

from __future__ import annotations

from dbt_temporal.application.lineage.telling import LineageTelling
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import DbtEngine, Progress, no_progress
from dbt_temporal.application.ports.leases import Leases
from dbt_temporal.application.steps.messages import EndRunInput, EndRunOutput
from dbt_temporal.application.stored.kept_state import KeptState
from dbt_temporal.application.stored.late_writes import LateWrites
from dbt_temporal.application.stored.run_files import RunFiles


class EndRun:
    """The use case behind `end_run`. Hosts of the run on other workers end by themselves when idle."""

    def __init__(
        self,
        engine: DbtEngine,
        store: ArtifactStore,
        late: LateWrites,
        state: KeptState,
        leases: Leases,
        lineage: LineageTelling | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._late = late
        self._state = state
        self._leases = leases
        self._lineage = lineage or LineageTelling()

    async def __call__(self, request: EndRunInput, _progress: Progress = no_progress) -> EndRunOutput:
        """Ends the run's engine host, if this worker has one, gives its lease back, and deletes the records that its
        artifacts now hold.

        Not before: an attempt at storing artifacts that is made again needs them.
        """
        invocation_id = request.invocation.invocation_id
        self._lineage.run_ended(request.invocation, request.ended)
        await self._engine.end_run(invocation_id)
        if request.lease_scope is not None:
            await self._leases.give_back(request.lease_scope, invocation_id)
        await self._state.forget(request.invocation)
        if request.has_artifacts:
            await RunFiles(self._store, invocation_id, self._late).forget_records()
        return EndRunOutput()
