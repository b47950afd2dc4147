"""Runs of a fake engine that write what their `select` names, and want it for themselves alone."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.adapters.temporal.leases.messages import lease_workflow_id
from dbt_temporal.domain.leases.messages import Lease, pack_keys
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

A = "model.shop.a"


class LeasedRuns:
    """Runs of one node, behind a gate, whose leases meet where their `select` has a word in common.

    Attributes:
        gate: the node of each run ends when it is set.
        keeper: the workflow that keeps their leases.
    """

    def __init__(self, runs: RunHarness, if_taken: str = "wait") -> None:
        self.runs = runs
        self.gate = asyncio.Event()
        self.scope = f"relations/fake/{uuid4().hex[:8]}"
        self.keeper = runs.client.get_workflow_handle(lease_workflow_id(runs.task_queue, self.scope))
        runs.config["concurrency"] = {"per": "relation", "if_taken": if_taken}
        runs.engine.run_plan = plan(node("a"))
        runs.engine.gates[A] = self.gate
        runs.engine.lease_of = self._lease

    def _lease(self, run_input: DbtRunInput) -> Lease | None:
        words = (run_input.select or "").split()
        return Lease(scope=self.scope, keys=pack_keys(words), what="the relations") if words else None

    async def holder(self, select: str = "a") -> TemporalRun:
        """A run that has its lease, and whose node runs."""
        before = len(self.runs.engine.executed)
        run = await self.runs.submit({"select": select})

        async def runs() -> bool:
            return len(self.runs.engine.executed) > before

        await wait_for(runs, what="the node runs")
        return run

    async def waiter(self, select: str = "a") -> TemporalRun:
        """A run that waits for its lease."""
        run = await self.runs.submit({"select": select})
        await self.waits(run)
        return run

    async def waits(self, run: TemporalRun) -> None:
        """Returns when a run waits."""

        async def has_said_so() -> bool:
            return any("The run waits" in line for line in await run.handle.query("run_log"))

        await wait_for(has_said_so, what="the run waits")

    async def claimants(self) -> list[tuple[str, bool]]:
        """The workflow ids of those who have a lease or wait for one, in order, and whether they have it."""
        try:
            claims = await self.keeper.query("claims")
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return []
        return [(claim["workflow_id"], claim["granted"]) for claim in claims]

    async def until_claimed_by(self, *runs: TemporalRun) -> None:
        """Returns when exactly these have a lease or wait for one."""

        async def so_it_is() -> bool:
            return [name for name, _ in await self.claimants()] == [run.workflow_id for run in runs]

        await wait_for(so_it_is, what=f"claims of {len(runs)} runs")


async def run_log(run: TemporalRun) -> str:
    """The log of a run."""
    return "\n".join(await run.handle.query("run_log"))
