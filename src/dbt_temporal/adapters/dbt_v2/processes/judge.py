"""What a course asks of whoever knows what endings mean."""

from __future__ import annotations

from typing import Protocol

from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.processes.told import Told
from dbt_temporal.domain.errors import DbtTemporalError


class Judge(Protocol):
    """What endings mean."""

    def may_be_mended(self, told: Told) -> bool:
        """Whether another attempt may mend how a node has ended."""

    def failure_before_nodes(self, process: V2Process) -> DbtTemporalError | None:
        """Why a process that has ended has begun none of its nodes; None where it has, or nothing went wrong."""

    def is_locked_out(self, process: V2Process) -> bool:
        """Whether that is because another process has the database."""
