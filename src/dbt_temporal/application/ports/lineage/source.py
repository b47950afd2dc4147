"""Where lineage is known."""

from __future__ import annotations

from typing import Protocol

from dbt_temporal.domain.lineage.model import LineageGraph


class LineageSource(Protocol):
    """A run on an engine, as far as lineage goes."""

    async def lineage(self) -> LineageGraph:
        """The nodes of the run that have lineage, and all that these read, once the run is planned.

        Raises:
            DbtTemporalError: the engine's processes do not answer, or do not have the run.
        """
