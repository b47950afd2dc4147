"""Finding runs that were ended from outside, and having them tidied up: once each, whoever asks for it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.closed_runs.messages import TIDY_WORKFLOW_TYPE, TidiedRun, TidyInput
from dbt_temporal.adapters.temporal.closed_runs.workflow import DbtTidyWorkflow
from dbt_temporal.adapters.temporal.listing import runs_of

SETTLED_AFTER = timedelta(seconds=60)
"""The activities of a workflow that was ended learn of it with their next heartbeat, and then end their statements.
Who looks more often than that waits for as long as between two looks."""
NOTICED_WITHIN = timedelta(days=1)
"""How far back a worker looks by itself. `dbt-temporal tidy` looks as far back as it is told."""

logger = logging.getLogger(__name__)


class ClosedRuns:
    """The runs of one task queue that were terminated, or ran into a timeout of their workflow."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def find(self, since: datetime, until: datetime) -> list[TidyInput]:
        """Those that were ended between two times, tidied up or not. Raises RPCError."""
        query = (
            f"{runs_of(self._task_queue)} AND ExecutionStatus IN ('Terminated', 'TimedOut') "
            f"AND CloseTime BETWEEN '{since.isoformat()}' AND '{until.isoformat()}'"
        )
        return [
            TidyInput(workflow_id=found.id, run_id=found.run_id) async for found in self._client.list_workflows(query)
        ]

    async def run_of(self, workflow_id: str) -> TidyInput:
        """The newest run of a workflow. Raises RPCError."""
        description = await self._client.get_workflow_handle(workflow_id).describe()
        return TidyInput(workflow_id=workflow_id, run_id=description.run_id)

    async def tidy(self, which: TidyInput) -> WorkflowHandle[DbtTidyWorkflow, TidiedRun]:
        """Has a worker tidy up after a run, if none has done or does so; its result is that. Raises RPCError."""
        tidy_id = f"{TIDY_WORKFLOW_TYPE}/{which.run_id}"
        try:
            return await self._client.start_workflow(
                DbtTidyWorkflow.run,
                which,
                id=tidy_id,
                task_queue=self._task_queue,
                # A second time, what the run had kept for its artifacts is gone.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary=f"artifacts of {which.workflow_id}"[:200],
            )
        except WorkflowAlreadyStartedError:
            return self._client.get_workflow_handle_for(DbtTidyWorkflow.run, tidy_id)


async def notice(runs: ClosedRuns, every_secs: float) -> None:
    """Looks for such runs again and again, and has each tidied up. Ends when cancelled."""
    settled_after = min(SETTLED_AFTER, timedelta(seconds=every_secs))
    known: set[str] = set()
    while True:
        await asyncio.sleep(every_secs)
        until = datetime.now(UTC) - settled_after
        try:
            for which in await runs.find(until - NOTICED_WITHIN, until):
                if which.run_id not in known:
                    await runs.tidy(which)
                    known.add(which.run_id)
        except RPCError as error:
            logger.warning("cannot look for runs that were ended from outside: %s", error.message)
