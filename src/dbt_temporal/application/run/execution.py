"""What dbt runs between selection and artifacts: on-run-start, the nodes, on-run-end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from dbt_temporal.application.ports.runtime import RunPhase, StepFailedError
from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.ends.steps import RunSteps
from dbt_temporal.application.run.executions.carried import Progress
from dbt_temporal.application.run.nodes.steps import NodeSteps
from dbt_temporal.application.run.project_hooks import ProjectHookSteps
from dbt_temporal.application.shielding import shielded
from dbt_temporal.application.steps.messages import PlanProjectOutput, StoreArtifactsOutput
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.commands import COMMANDS

NOTHING_TO_DO = "Nothing to do"


class Execution:
    """That of one run.

    Args:
        context: the run.
        steps: stores the artifacts.
        tell_of_cancel: writes into the log that the run was cancelled.
        pack_plan: is called when a hand-over begins.
        pack: packs what the next execution has to know.
        carried: where an execution of the workflow before this one has begun it, how far it has come.

    Attributes:
        nodes: the nodes, once they may run.
        stored: where the artifacts lie, once they are stored.
        began: when it began.
    """

    def __init__(
        self,
        context: RunContext,
        steps: RunSteps,
        tell_of_cancel: Callable[[], None],
        pack_plan: Callable[[PlanProjectOutput], object],
        pack: Callable[[Execution], list[bytes]],
        carried: Progress | None = None,
    ) -> None:
        self.nodes: NodeSteps | None = None
        self.stored: StoreArtifactsOutput | None = None
        self.began: datetime = context.runtime.now() if carried is None else carried.executing_since
        self._context = context
        self._live = context.live
        self._steps = steps
        self._tell_of_cancel = tell_of_cancel
        self._pack_plan = pack_plan
        self._pack = pack
        self._carried = carried
        self._nodes_have_ended = False
        self._hooks = ProjectHookSteps(context)

    @property
    def open_nodes(self) -> NodeSteps | None:
        """The nodes, as long as an operator's word on them has a consequence; None before and after.

        Raises:
            DbtTemporalError: of type Configuration, while on-run-end runs: nobody would await a node that starts.
        """
        if self._live.state.phase != RunPhase.EXECUTING:
            return None
        if self._nodes_have_ended:
            raise configuration_error("the run has no nodes to operate on: they have ended, and on-run-end runs")
        return self.nodes

    def begin(self) -> None:
        """Packs the plan, for `HandOver`."""
        self._pack_plan(self._context.planned)

    def pack(self) -> list[bytes]:
        """Packs all of it."""
        return self._pack(self)

    async def run(self) -> None:
        """Runs all of it, and stores the artifacts.

        Raises:
            StepFailedError: dbt could not set the run up; no node has run.
        """
        context = self._context
        try:
            if not COMMANDS[context.run_input.command].executes:
                self._list()
            elif context.plan.nodes or not context.planned.nothing_to_do:
                # What is selected may be ephemeral models: dbt has no results of them, but runs the hooks.
                await self._execute_nodes()
            else:
                # dbt runs no hooks either where nothing is selected (dbt/task/runnable.py, run).
                if not any(NOTHING_TO_DO in message for message in context.planned.messages):  # dbt-core has said it
                    self._live.log.add(f"{NOTHING_TO_DO}. Try checking your model configs and model specification args")
        except asyncio.CancelledError:
            self._steps.cancelled = True
            self._tell_of_cancel()
            if self.nodes is not None:
                self.nodes.skip_cancelled()
            await shielded(self._conclude())
            raise
        # A cancel that comes now must not leave half of the artifacts; it takes effect after them.
        await shielded(self._conclude())
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError

    async def _execute_nodes(self) -> None:
        seen_by_on_run_end: list[NodeExecutionResult] = []
        if await self._may_run_nodes():
            assert self.nodes is not None
            await self.nodes.run()
            seen_by_on_run_end = self._live.state.results_as_dbt_has_them
        elif self.nodes is not None:
            # dbt gives on-run-end no results in this case (dbt/task/runnable.py, execute_with_hooks).
            self.nodes.skip_all()
        self._nodes_have_ended = True
        # Where an engine runs ahead, its process ends here, and that may fail.
        if self._context.plan.has_on_run_end or self._context.planned.runs_ahead:
            try:
                await self._hooks.after_run(seen_by_on_run_end)
            except StepFailedError as failure:
                self._live.state.problem("on-run-end", failure.error_type.value, failure.message)
                self._live.log.problem("on-run-end", failure.message)

    async def _may_run_nodes(self) -> bool:
        """Sets the run up, if that is not done."""
        carried = self._carried
        self.nodes = NodeSteps(self._context, self, None if carried is None else carried.nodes)
        if carried is None:
            return await self._hooks.before_run()
        if carried.keeper is not None:
            self._hooks.go_on(carried.keeper)
        return True

    def _list(self) -> None:
        for node in self._context.plan.nodes.values():
            line = node.listing or node.unique_id
            self._live.log.listed(line)
            self._live.state.node_ended(
                NodeExecutionResult(unique_id=node.unique_id, status="success", dbt_status="success", message=line)
            )

    async def _conclude(self) -> None:
        context = self._context
        elapsed = (context.runtime.now() - self.began).total_seconds()
        self._live.log.finished(len(self._live.state.node_results), elapsed, self._live.state.results)
        self._live.enter(RunPhase.FINALIZING)
        self.stored = await self._steps.store_artifacts(context.planned, elapsed)
