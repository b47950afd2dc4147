"""The workflow `dbt_lease`: who has which lease of one scope, and who waits for it. Workflow code."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError, FailureError

from dbt_temporal.adapters.temporal.leases.messages import (
    GRANTED_SIGNAL,
    LEASE_WORKFLOW_TYPE,
    LOOK_ACTIVITY,
    Claimants,
)
from dbt_temporal.domain.leases.messages import KeptTable, LeaseAnswer, LeaseRequest
from dbt_temporal.domain.leases.table import LeaseTable

LOOK_SECS = 10.0
"""How often it is looked whether the runs that wait are still there, and those for which they wait."""
LOOK_LIMIT_SECS = 30.0


@workflow.defn(name=LEASE_WORKFLOW_TYPE, sandboxed=False)
class DbtLeaseWorkflow:
    """The leases of one scope. It is there while somebody has one, and nobody needs to start it.

    A run's signal ends its lease. That of a run which is closed without one is found by looking, while another waits.
    """

    @workflow.init
    def __init__(self, kept: KeptTable | None = None) -> None:
        self._table = LeaseTable(kept)
        self._changed = True
        self._look_at = workflow.now()

    @workflow.run
    async def run(self, kept: KeptTable | None = None) -> None:  # noqa: ARG002 -- see __init__
        """Ends when there are no claims any more."""
        while True:
            await self._news()
            self._changed = False
            if self._table.waiting and workflow.now() >= self._look_at:
                await self._look()
            await self._tell()
            if self._changed or not workflow.all_handlers_finished():
                continue
            if self._table.empty:
                return
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(self._table.kept())

    @workflow.update
    def take(self, request: LeaseRequest) -> LeaseAnswer:
        """Takes a request up, and says at once how it stands. Who waits is signalled when it is granted."""
        self._changed = True
        return self._table.ask(request, workflow.now().isoformat())

    @workflow.signal
    def give_back(self, owner: str) -> None:
        """Ends the lease of a run, or its wait."""
        self._changed = True
        self._table.drop([owner])

    @workflow.query
    def claims(self) -> list[dict[str, Any]]:
        """All claims in the order in which they were made."""
        return [claimant.model_dump() for claimant in self._table.claimants()]

    async def _news(self) -> None:
        if self._changed:
            return
        pause = max((self._look_at - workflow.now()).total_seconds(), 0.01) if self._table.waiting else None
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._changed, timeout=pause)

    async def _look(self) -> None:
        those = self._table.to_look_at()
        with suppress(ActivityError):  # it is looked again
            closed: Claimants = await workflow.execute_activity(
                LOOK_ACTIVITY,
                Claimants(claimants=those),
                result_type=Claimants,
                start_to_close_timeout=timedelta(seconds=LOOK_LIMIT_SECS),
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=f"whether {len(those)} runs are closed",
            )
            self._table.drop_closed(closed.claimants)
        self._look_at = workflow.now() + timedelta(seconds=LOOK_SECS)

    async def _tell(self) -> None:
        for claimant in self._table.to_tell():
            # The run that is now under this id, also where it was reset.
            run = workflow.get_external_workflow_handle(claimant.workflow_id)
            try:
                await run.signal(GRANTED_SIGNAL)
                self._table.told(claimant.owner)
            except FailureError:
                # It is closed, without having said so.
                self._table.drop([claimant.owner])
                self._changed = True


@workflow.defn(name=LEASE_WORKFLOW_TYPE, sandboxed=False, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class VersionedLeaseWorkflow(DbtLeaseWorkflow):
    """The same for workers that have a version: it may go on for ever, and must not keep an old version of them."""

    @workflow.init
    def __init__(self, kept: KeptTable | None = None) -> None:
        super().__init__(kept)

    @workflow.run
    async def run(self, kept: KeptTable | None = None) -> None:
        """As of workers without a version, which the server lets have no such behavior."""
        await super().run(kept)
