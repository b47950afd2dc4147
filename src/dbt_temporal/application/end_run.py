"""Frees what this worker holds for a run."""

from __future__ import annotations

from dbt_temporal.application.messages import EndRunInput, EndRunOutput
from dbt_temporal.application.ports.engine import DbtEngine


class EndRun:
    """The use case behind `end_run`. Hosts of the run on other workers end by themselves when idle."""

    def __init__(self, engine: DbtEngine) -> None:
        self._engine = engine

    async def __call__(self, request: EndRunInput) -> EndRunOutput:
        """Ends the run's engine host, if this worker has one."""
        await self._engine.end_run(request.invocation)
        return EndRunOutput()
