"""The run: one dbt invocation from its input to its output, on whatever carries it.

The same code is the body of the Temporal workflow and of a run in this process, so it is deterministic: no clock but
the runtime's, no randomness, no sets of tasks, no I/O but by the runtime.

    plan -> take lease -> pre_run hooks -> before_run -> nodes -> after_run -> store artifacts -> other hooks
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Any

from dbt_temporal import __version__
from dbt_temporal.application.ports.runtime import RunPhase, RunRuntime, StepFailedError
from dbt_temporal.application.ports.telemetry import RunEnded
from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.ends.lease import LeaseTakenError, RunLease
from dbt_temporal.application.run.ends.output import cancelled_output, run_output
from dbt_temporal.application.run.ends.steps import RunSteps, as_error
from dbt_temporal.application.run.execution import Execution
from dbt_temporal.application.run.executions.carried import Progress
from dbt_temporal.application.run.executions.luggage import Luggage
from dbt_temporal.application.run.keeping import Keeping
from dbt_temporal.application.run.lifecycle_hooks import LifecycleHooks, PreRunOutcome
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.application.run.nodes.revision import take_revision
from dbt_temporal.application.run.nodes.steps import NodeSteps
from dbt_temporal.application.shielding import shielded
from dbt_temporal.application.steps.messages import PlanProjectOutput, StoreArtifactsOutput
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.log.run_log import RunLog
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.domain.run.plan import ExecutionPlan

CANCELLED_LINE = "The run was cancelled."


class DbtRun:
    """One run. `invocation_id` is the id that dbt reports everywhere."""

    def __init__(self, runtime: RunRuntime, invocation_id: str, *, goes_on: bool = False) -> None:
        self._runtime = runtime
        self.is_ready = not goes_on
        """Whether it knows all that an execution before this one has carried here."""
        self._invocation_id = invocation_id
        self._live = LiveState(runtime, invocation_id)
        self._keeping = Keeping(runtime)
        self._steps = RunSteps(runtime, self._keeping, self._live, invocation_id)
        self._lease = RunLease(runtime, self._steps, self._live)
        self._execution: Execution | None = None
        self.context: RunContext | None = None
        self._fail_fast_by_update: bool | None = None
        self._started_at: datetime | None = None
        self._stored_log: StoreArtifactsOutput | None = None
        self._luggage = Luggage(runtime)
        self._cancel_line = CANCELLED_LINE
        self._has_cancel_line = False
        self._hooks: LifecycleHooks | None = None
        self._cancelled_after: float | None = None

    async def execute(self, raw_input: object, carried: bytes | None = None) -> DbtRunOutput:
        """Runs to the end. A run in which nodes failed returns an output with `success` false.

        Args:
            raw_input: what to run.
            carried: how far the execution before this one has come, where the run goes on.

        Raises:
            DbtTemporalError: the run could not be planned or set up; its type says why.
            asyncio.CancelledError: the run was cancelled. Artifacts of what was done are stored by then.
        """
        self._started_at = self._runtime.now()
        run_input = parse_run_input(raw_input)
        try:
            output = await self._execute_input(run_input, carried)
        except asyncio.CancelledError:
            self._cancelled_after = self._elapsed()
            self._count(run_input, "cancelled")
            raise
        except Exception:
            # No `finally`: see `_execute_input`.
            self._count(run_input, "failed")
            raise
        self._count(run_input, "skipped" if output.skipped else "passed" if output.success else "failed")
        return output

    async def _execute_input(self, run_input: DbtRunInput, carried: bytes | None) -> DbtRunOutput:
        if carried is None:
            # An update may have come before the run began.
            self._take_fail_fast(run_input.fail_fast)
            self._live.log.header(__version__)
            self._live.asked(run_input)
            self._live.enter(RunPhase.PLANNING)
            self.is_ready = True
            planned, progress = await self._plan(run_input), None
        else:
            planned, progress = await self._restore(carried)
        try:
            output = await self._run_planned(planned, run_input, progress)
        except (asyncio.CancelledError, Exception) as error:
            # No `finally`: a runtime that throws the run away (a workflow that leaves the cache) must not start steps.
            await self._end_badly(planned, error)
            raise
        await shielded(self._steps.end_run(self._as_begun(planned), self._lease.scope))
        return output

    def run_status(self) -> dict[str, Any]:
        return self._live.state.run_status()

    def node_status(self) -> dict[str, str]:
        return dict(self._live.state.statuses)

    def run_log(self, since: int = 0) -> list[str]:
        """The answer to `run_log`: every line so far, or those after the first `since`, as many as an answer takes."""
        return self._live.log.part(since, self._runtime.budget.log_bytes)

    def cancelled_output(self) -> DbtRunOutput | None:
        """What a run that has ended as cancelled came to; None of any other, and where it was not planned."""
        planned, hooks = self._steps.planned, self._hooks
        if self._cancelled_after is None or planned is None or hooks is None:
            return None
        elapsed, limit = self._cancelled_after, self._runtime.budget.output_bytes
        return cancelled_output(planned, self._live, self.stored, hooks.errors, elapsed_time=elapsed, limit=limit)

    @property
    def log(self) -> RunLog:
        return self._live.log

    def failure_message(self) -> str:
        return self._live.state.failure_message()

    def was_ended(self, line: str, ended_at: datetime) -> None:
        """Says that the run's workflow was closed from outside: the cancel that follows tells of that in the run's log.

        Args:
            line: what has happened, for the log.
            ended_at: when. Other runs may have stored their results since.
        """
        self._cancel_line = line
        self._steps.ended_at = ended_at

    @property
    def plan(self) -> ExecutionPlan | None:
        """What was planned, as soon as it is."""
        return self._live.state.plan

    @property
    def stored(self) -> StoreArtifactsOutput | None:
        """Where the artifacts lie, once they are stored."""
        return (self._execution and self._execution.stored) or self._stored_log

    def set_fail_fast(self, value: bool) -> bool:
        """Turns fail-fast on or off, and returns what is in force. Turned on after a failure, it ends the run now."""
        self._fail_fast_by_update = value
        if value != self._live.state.fail_fast:
            self._live.state.fail_fast = value
            self._live.log.add(f"fail_fast is {'on' if value else 'off'} now")
        if self._execution is not None and self._execution.nodes is not None:
            self._execution.nodes.set_fail_fast(value)
        self._live.changed()
        return self._live.state.fail_fast

    @property
    def open_nodes(self) -> NodeSteps:
        """The nodes, as long as operators may do something about them.

        Raises:
            DbtTemporalError: of type Configuration, where there are none, or not any more.
        """
        nodes = None if self._execution is None else self._execution.open_nodes
        if nodes is None:
            raise configuration_error(f"the run has no nodes to operate on: its phase is {self._live.state.phase}")
        return nodes

    async def take_revision(self) -> str | None:
        """Has a run that is kept open go on with the project as it is now. Returns and raises as `revision` says."""
        nodes = self.open_nodes
        assert self.context is not None
        try:
            return await take_revision(self.context, nodes, self._steps.plan_again)
        except StepFailedError as failure:
            raise as_error(failure) from failure

    def _take_fail_fast(self, value: bool | None) -> None:
        if self._fail_fast_by_update is None:
            self._live.state.fail_fast = bool(value)

    async def _plan(self, run_input: DbtRunInput) -> PlanProjectOutput:
        assert self._started_at is not None
        planned = await self._steps.plan(run_input, self._started_at)
        if planned.fail_fast is not None:
            self._take_fail_fast(planned.fail_fast)
        self._live.describe(planned)
        return planned

    async def _run_planned(
        self, planned: PlanProjectOutput, asked: DbtRunInput, progress: Progress | None
    ) -> DbtRunOutput:
        hooks = self._hooks_of(planned)
        try:
            if progress is None:
                planned = await self._lease.have(planned, lambda: self._plan(asked))
                hooks = self._hooks_of(planned)
                self._live.enter(RunPhase.PRE_RUN_HOOKS)
                decision = await hooks.before(planned.invocation.input)
                if decision.skipped_by is not None:
                    return await self._skipped(
                        planned, hooks, f"by pre_run hook {decision.skipped_by}", decision.skip_reason
                    )
                if decision.aborted_by is not None:
                    error = decision.aborted_by
                    self._live.state.problem(f"pre_run hook {error.hook_workflow_type}", "Hook", error.error)
                    return await self._finish(planned, hooks)
                planned = await self._with_extra_env(planned, decision, hooks)
                self._live.enter(RunPhase.EXECUTING)
            else:
                hooks.errors += progress.hook_errors
            may_have_run = progress is not None and progress.may_have_run
            self.context = context = RunContext(self._runtime, self._live, self._keeping, planned, may_have_run)
            self._execution = execution = Execution(
                context,
                self._steps,
                self._tell_of_cancel,
                self._luggage.pack_plan,
                partial(self._pack, hooks=hooks),
                progress,
            )
            await execution.run()
            planned, hooks.plan = context.planned, context.plan
        except LeaseTakenError as taken:
            return await self._skipped(planned, hooks, "for another run (concurrency.if_taken)", str(taken))
        except StepFailedError as failure:
            self._live.state.problem("before_run", failure.error_type.value, failure.message)
            self._live.log.problem("Setting up the run", failure.message)
            await self._finish(planned, hooks)
            raise as_error(failure) from failure
        except DbtTemporalError:
            await self._finish(planned, hooks)
            raise
        return await self._finish(planned, hooks)

    def _pack(self, execution: Execution, hooks: LifecycleHooks) -> list[bytes]:
        """What another execution has to know to go on."""
        assert self.context is not None
        assert self._started_at is not None
        assert execution.nodes is not None
        progress = Progress(
            started_at=self._started_at,
            executing_since=execution.began,
            fail_fast_by_update=self._fail_fast_by_update,
            live=self._live.snapshot(),
            nodes=execution.nodes.snapshot(),
            keeper=self._keeping.keeper,
            lease_scope=self._lease.scope,
            hook_errors=hooks.errors,
            was_cut_off=self._luggage.was_cut_off or self._runtime.was_reset,
            may_have_run=self.context.may_have_run,
        )
        return self._luggage.packed(self.context.planned, self._live, progress)

    async def _restore(self, carried: bytes) -> tuple[PlanProjectOutput, Progress]:
        planned, progress = await self._luggage.unpack_into(self._live, carried)
        self._live.planned(planned)
        said = self._fail_fast_by_update
        self._started_at, self._lease.scope, self._steps.planned = progress.started_at, progress.lease_scope, planned
        self._fail_fast_by_update = progress.fail_fast_by_update
        if said is not None:  # by an update that came first
            self.set_fail_fast(said)
        self.is_ready = True
        return planned, progress

    async def _end_badly(self, planned: PlanProjectOutput, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            self._tell_of_cancel()
            self._live.set_outcome("cancelled")
        else:
            self._live.set_outcome("failed")
        await shielded(self._close(planned))

    def _tell_of_cancel(self) -> None:
        if not self._has_cancel_line:
            self._live.log.add(self._cancel_line)
        self._has_cancel_line = True

    async def _close(self, planned: PlanProjectOutput) -> None:
        await self._steps.store_log(planned)
        await self._steps.end_run(self._as_begun(planned), self._lease.scope)

    def _as_begun(self, planned: PlanProjectOutput) -> PlanProjectOutput:
        """The plan with what the run has in the memory of its process, where it has begun."""
        return planned if self.context is None else self.context.planned

    async def _with_extra_env(
        self, planned: PlanProjectOutput, decision: PreRunOutcome, hooks: LifecycleHooks
    ) -> PlanProjectOutput:
        """Plans again where a hook changed the environment: what is enabled, and where it goes, may depend on it."""
        run_input = planned.invocation.input
        env = run_input.env | decision.extra_env
        if env == run_input.env:
            return planned
        self._live.log.add(f"Planning again, because pre_run hooks set {', '.join(sorted(decision.extra_env))}")
        # The project by its name. Its files count as they are now, if they were edited meanwhile: nothing has run yet.
        again = run_input.model_copy(update={"env": env, "project": planned.plan.project})
        planned = await self._plan(again)
        hooks.plan = planned.plan
        planned = await self._lease.have(planned, lambda: self._plan(again))
        hooks.plan = planned.plan
        return planned

    def _hooks_of(self, planned: PlanProjectOutput) -> LifecycleHooks:
        self._hooks = LifecycleHooks(self._runtime, self._live, planned.hooks, self._invocation_id, planned.plan)
        return self._hooks

    async def _skipped(
        self, planned: PlanProjectOutput, hooks: LifecycleHooks, why: str, reason: str | None
    ) -> DbtRunOutput:
        self._live.log.add(f"The run is skipped {why}" + (f": {reason}" if reason else ""))
        self._live.enter(RunPhase.FINALIZING)
        self._live.facts.why_skipped = reason
        self._live.set_outcome("skipped")
        output = await self._output(planned, hooks)
        return output.model_copy(update={"success": True, "skipped": True, "skip_reason": reason})

    async def _finish(self, planned: PlanProjectOutput, hooks: LifecycleHooks) -> DbtRunOutput:
        self._live.enter(RunPhase.FINALIZING)
        if self.stored is None:
            # Nothing was executed, or its artifacts could not be stored: the log tells why.
            self._stored_log = await self._steps.store_log(planned)
        output = await hooks.after(planned.invocation.input, await self._output(planned, hooks))
        self._live.set_outcome("passed" if output.success else "failed")
        await self._steps.store_log(planned)
        return output

    async def _output(self, planned: PlanProjectOutput, hooks: LifecycleHooks) -> DbtRunOutput:
        elapsed, runtime = self._elapsed(), self._runtime
        return await run_output(planned, self._live, self.stored, hooks.errors, elapsed_time=elapsed, runtime=runtime)

    def _count(self, run_input: DbtRunInput, status: str) -> None:
        plan = self._live.state.plan
        # A name that the input gives is no label before a project of that name was found.
        project = plan.project if plan is not None else ""
        self._runtime.record(RunEnded(project, run_input.command, status, self._elapsed(), self._runtime.now()))

    def _elapsed(self) -> float:
        assert self._started_at is not None
        return (self._runtime.now() - self._started_at).total_seconds()
