"""Names of what keeps leases, and what its activity is asked. Imported by workflow code."""

from __future__ import annotations

from pydantic import BaseModel

from dbt_temporal.domain.leases.messages import Claimant
from dbt_temporal.domain.limits import fit_name

LEASE_WORKFLOW_TYPE = "dbt_lease"
LOOK_ACTIVITY = "look_for_closed_runs"
GRANTED_SIGNAL = "lease_granted"
"""What a run that waits is told."""


class Claimants(BaseModel):
    """Runs that have a lease, or wait for one."""

    claimants: list[Claimant]


def lease_workflow_id(task_queue: str, scope: str) -> str:
    """The id of the workflow that keeps the leases of a scope, for the runs of a task queue."""
    return fit_name(f"{LEASE_WORKFLOW_TYPE}/{task_queue}/{scope}")
