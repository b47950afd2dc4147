"""The steps at the two ends of a run: planning, taking its lease, storing artifacts, and freeing what the run held."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from dbt_temporal.application.fitting import fit_log, step_results_in_turns
from dbt_temporal.application.ports.runtime import RunRuntime, Step, StepFailedError
from dbt_temporal.application.run.context import step_priority
from dbt_temporal.application.run.in_turns import in_turns
from dbt_temporal.application.run.keeping import Keeping
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.application.run.retries import RetryRule, with_retries
from dbt_temporal.application.steps.messages import (
    EndRunInput,
    PlanProjectInput,
    PlanProjectOutput,
    StoreArtifactsInput,
    StoreArtifactsOutput,
    TakeLeaseInput,
    TakeLeaseOutput,
)
from dbt_temporal.application.steps.table import END_RUN, PLAN_PROJECT, STORE_ARTIFACTS, TAKE_LEASE
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.leases.messages import Lease
from dbt_temporal.domain.lineage.model import RunEnded
from dbt_temporal.domain.project_config import TimeoutsConfig
from dbt_temporal.domain.report.model import ReportFacts
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.domain.run.input import DbtRunInput

SETUP_RETRIES = RetryRule()
"""Of planning and storing, which the project's `retry` does not speak of."""

Output = TypeVar("Output", bound=BaseModel)


class RunSteps:
    def __init__(self, runtime: RunRuntime, keeping: Keeping, live: LiveState, invocation_id: str) -> None:
        self._runtime = runtime
        self._keeping = keeping
        self._live = live
        self._invocation_id = invocation_id
        self.ended_at: datetime | None = None
        """When the run was ended from outside, where it was: its artifacts are stored later than other runs'."""
        self.cancelled = False
        """Whether the run was cancelled, for its report."""
        self.planned: PlanProjectOutput | None = None
        """The last plan of the run, of which a further one has the dates."""
        self._asked: DbtRunInput | None = None
        self._artifacts_stored = False
        self._log_lines_stored = 0

    async def plan(self, run_input: DbtRunInput, started_at: datetime) -> PlanProjectOutput:
        """Plans the run.

        Raises:
            DbtTemporalError: the run could not be planned; the outcome is published as failed.
        """
        try:
            planned = await self.plan_again(run_input, started_at)
        except StepFailedError as failure:
            self._live.log.problem("Planning", failure.message)
            self._live.state.problem("planning", failure.error_type.value, failure.message)
            self._live.set_outcome("failed")
            raise as_error(failure) from failure
        self._live.state.plan_known(planned.plan)
        return planned

    async def plan_again(self, run_input: DbtRunInput, started_at: datetime) -> PlanProjectOutput:
        """A plan of the run on the project as it is now. Raises StepFailedError.

        Args:
            run_input: as it was given at first, or that of a plan before, which holds its dates.
            started_at: when the run began.
        """
        if self.planned is None:
            self._asked = run_input
        before = None if run_input is self._asked else self.planned
        argument = PlanProjectInput(
            takes_marks=True,
            invocation_id=self._invocation_id,
            started_at=started_at.isoformat(),
            input=run_input,
            scheduled=self._runtime.scheduled,
            is_filled=before is not None,
            dates=None if before is None else before.invocation.dates,
        )
        step = Step(
            kind=PLAN_PROJECT,
            argument=argument,
            limits=PLAN_PROJECT.limits(TimeoutsConfig()),
            summary=f"dbt {run_input.command}",
        )
        self.planned = planned = await self._retried(step)
        return planned

    async def take_lease(
        self, planned: PlanProjectOutput, lease: Lease, instead_of: str | None = None
    ) -> TakeLeaseOutput:
        """Asks for a lease, in place of another one where the run has that, or how the request for it stands.

        Raises:
            StepFailedError: nobody answers.
        """
        argument = TakeLeaseInput(
            invocation_id=self._invocation_id,
            lease=lease,
            waits=planned.config.concurrency.if_taken == "wait",
            instead_of=instead_of,
        )
        step = Step(
            kind=TAKE_LEASE,
            argument=argument,
            limits=TAKE_LEASE.limits(planned.config.timeouts),
            summary=f"have {lease.what} for itself",
            priority=step_priority(planned, 1),
        )
        return await self._retried(step)

    async def store_artifacts(self, planned: PlanProjectOutput, elapsed: float) -> StoreArtifactsOutput | None:
        """Stores the artifacts. That they could not be stored fails the run: who reads them must not miss it."""
        if not planned.plan.write_artifacts:
            return None
        about = self._about(planned)
        limit = self._runtime.budget.step_results_bytes
        work = step_results_in_turns(self._live.state.results_as_dbt_has_them, limit)
        results = await in_turns(work, self._runtime, planned)
        argument = StoreArtifactsInput(
            invocation=planned.invocation,
            results=results,
            unrecorded=self._live.state.unrecorded,
            behind=self._live.state.behind,
            behind_if_failed=self._live.state.behind_if_failed,
            elapsed_time=elapsed,
            fail_fast=self._live.state.fail_fast,
            latest=None if self.ended_at is not None else about,
            about=about,
            ended_at=None if self.ended_at is None else self.ended_at.isoformat(),
            run_log=self._log_text() if planned.write_run_log else None,
            report=self._report_facts(planned, elapsed) if planned.write_report else None,
        )
        try:
            stored = await self._store(planned, argument, "store artifacts")
            self._artifacts_stored = True
            self._tell_unstored(stored.unstored)
            self._tell_problem("Making the report of the run", stored.report_problem)
            self._tell_problem("Storing the SQL of the run's nodes (sql.zip)", stored.sql_problem)
            self._tell_problem("Storing the run as the latest of its target", stored.latest_problem)
            self._live.ephemerals_failed(stored.failed_ephemerals)
            return stored
        except StepFailedError as failure:
            self._live.state.problem("storing artifacts", failure.error_type.value, failure.message)
            self._live.log.problem("Storing artifacts", failure.message)
            self._live.changed()
            return None

    def _about(self, planned: PlanProjectOutput) -> LatestRun | None:
        if planned.target is None:
            return None
        return LatestRun(
            invocation_id=self._invocation_id,
            project=planned.invocation.project,
            target=planned.target,
            command=planned.invocation.input.command,
            success=self._live.state.success and not self.cancelled,
            ended_at=(self.ended_at or self._runtime.now()).isoformat(),
            engine=planned.engine,
            dbt_version=planned.dbt_version,
            revision=planned.invocation.revision,
        )

    def _tell_problem(self, what: str, problem: str | None) -> None:
        if problem is not None:
            self._live.log.problem(what, problem)
            self._live.changed()

    def _report_facts(self, planned: PlanProjectOutput, elapsed: float) -> ReportFacts:
        began = datetime.fromisoformat(planned.invocation.started_at)
        ended = round((self._runtime.now() - began).total_seconds(), 3)
        return ReportFacts(
            target=planned.target,
            threads=planned.threads,
            executing_since=max(round(ended - elapsed, 3), 0.0),
            ended=ended,
            success=self._live.state.success and not self.cancelled,
            cancelled=self.cancelled,
            engine=" ".join(filter(None, (planned.engine, planned.dbt_version))) or None,
        )

    def _tell_unstored(self, nodes: list[str]) -> None:
        if nodes:
            some = ", ".join(nodes[:5]) + (", ..." if len(nodes) > 5 else "")
            message = f"the artifacts have less of {len(nodes)} nodes, whose records were not in the store: {some}"
            self._live.log.problem("Storing artifacts", message)
            self._live.changed()

    async def store_log(self, planned: PlanProjectOutput) -> StoreArtifactsOutput | None:
        """Stores the log where it has grown since it was stored, or was not stored yet. A failure is only told.

        Returns:
            Where it lies, or None where nothing was stored.
        """
        keeps_log = planned.plan.write_artifacts and planned.write_run_log
        if not keeps_log or len(self._live.log) == self._log_lines_stored:
            return None
        about = None if self._artifacts_stored else self._about(planned)
        argument = StoreArtifactsInput(
            invocation=planned.invocation, run_log=self._log_text(), log_only=True, about=about
        )
        try:
            return await self._store(planned, argument, "store the run log")
        except StepFailedError as failure:
            self._live.log.problem("Storing the run log", failure.message)
            self._live.changed()
            # Nobody tries again for the lines that say so, only for what comes after them.
            self._log_lines_stored = len(self._live.log)
            return None

    async def _store(
        self, planned: PlanProjectOutput, argument: StoreArtifactsInput, summary: str
    ) -> StoreArtifactsOutput:
        lines = len(self._live.log)
        step = Step(
            kind=STORE_ARTIFACTS,
            argument=argument,
            limits=STORE_ARTIFACTS.limits(planned.config.timeouts),
            summary=summary,
            priority=step_priority(planned, 1),
        )
        stored = await self._retried(step)
        self._log_lines_stored = lines
        self._live.stored(stored)
        return stored

    async def end_run(self, planned: PlanProjectOutput, lease_scope: str | None) -> None:
        """Frees what the run held, as well as that goes: what remains are idle processes, which end by themselves, and
        a lease of which is found that its run is over.
        """
        step = Step(
            kind=END_RUN,
            argument=EndRunInput(
                invocation=planned.invocation,
                has_artifacts=self._artifacts_stored,
                lease_scope=lease_scope,
                ended=self._ended(),
            ),
            limits=END_RUN.limits(planned.config.timeouts),
            summary="free what the run held",
        )
        try:
            await self._keeping.run_last_step(step)
        except StepFailedError as failure:
            self._live.log.problem("Freeing what the run held", failure.message)

    def _ended(self) -> RunEnded | None:
        outcome = self._live.facts.outcome
        if outcome is None:
            return None
        at = (self.ended_at or self._runtime.now()).isoformat()
        message = self._live.state.failure_message() if outcome == "failed" else None
        return RunEnded.model_validate({"outcome": outcome, "at": at, "message": message})

    def _log_text(self) -> str:
        return fit_log(self._live.log.text(), self._runtime.budget.log_bytes)

    async def _retried(self, step: Step[Output]) -> Output:
        def note(attempt: int, reason: str) -> None:
            self._live.log.retried_step(step.summary or step.name, attempt, SETUP_RETRIES.max_attempts, reason)
            self._live.changed()

        return await with_retries(
            self._runtime,
            SETUP_RETRIES,
            lambda number, _lost: self._keeping.run_last_step(_numbered(step, number)),
            on_retry=note,
            what=step.summary or step.name,
        )


def _numbered(step: Step[Output], attempt: int) -> Step[Output]:
    return replace(step, argument=step.argument.model_copy(update={"attempt": attempt}))


def as_error(failure: StepFailedError) -> DbtTemporalError:
    """A step's failure as the error of the run; it has been retried as often as it may be."""
    return DbtTemporalError(failure.error_type, failure.message, retryable=False, result=failure.result)
