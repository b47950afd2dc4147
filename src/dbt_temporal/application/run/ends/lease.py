"""The lease of a run: what it has for itself alone before anything of it runs, and how it waits for that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from dbt_temporal.application.ports.runtime import RunRuntime, StepFailedError
from dbt_temporal.application.run.ends.steps import RunSteps, as_error
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.application.steps.messages import PlanProjectOutput, TakeLeaseOutput
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.leases.messages import Claimant, Lease
from dbt_temporal.domain.project_config import ConcurrencyConfig

ASK_AGAIN_SECS = 300.0
"""Whoever waits is told when it is his turn; he asks by himself in case that whoever would tell him has forgotten."""

PlanAgain = Callable[[], Awaitable[PlanProjectOutput]]


class LeaseTakenError(Exception):
    """Another run has what this one wants, and the project says that it is skipped then; the message says who."""


class RunLease:
    """What one run has for itself alone, or waits for."""

    def __init__(self, runtime: RunRuntime, steps: RunSteps, live: LiveState) -> None:
        self._runtime = runtime
        self._steps = steps
        self._live = live
        self._lease: Lease | None = None
        self.scope: str | None = None
        """Where the run has a lease, or waits for one."""

    async def have(self, planned: PlanProjectOutput, plan_again: PlanAgain) -> PlanProjectOutput:
        """Takes the lease that the plan asks for.

        Where the run had to wait, it is planned again: the project, and what the selection went by, may have changed.
        Where it writes something else then, it asks for that, behind all who asked before.

        Returns:
            The plan that holds.

        Raises:
            LeaseTakenError: it is another run's, and this one is skipped for that.
            DbtTemporalError: of type Configuration, where this one fails for that; what planning raises.
        """
        while planned.lease is not None and not (self._lease and self._lease.includes(planned.lease)):
            began = self._runtime.now()
            try:
                has_waited = await self._take(planned, planned.lease, began)
            except DbtTemporalError as error:
                self._live.state.problem("the lease", error.error_type.value, error.message)
                self._live.log.problem("The lease", error.message)
                raise
            self._lease = planned.lease
            if has_waited:
                self._tell(
                    f"The run has {planned.lease.what} for itself after {self._seconds_since(began):.0f} s, and is "
                    "planned again",
                    None,
                )
                planned = await plan_again()
        return planned

    async def _take(self, planned: PlanProjectOutput, lease: Lease, began: datetime) -> bool:
        """Whether it has waited."""
        config = planned.config.concurrency
        instead_of = self.scope if self.scope != lease.scope else None
        self._lease, self.scope = None, lease.scope
        try:
            answer = await self._steps.take_lease(planned, lease, instead_of)
        except StepFailedError as failure:
            raise as_error(failure) from failure
        if answer.granted:
            return False
        who = _in_the_way(answer)
        if config.if_taken == "skip":
            raise LeaseTakenError(f"{lease.what}: {who}")
        if config.if_taken == "fail":
            raise configuration_error(f"{lease.what}: {who} (dbt_temporal.yml: concurrency.if_taken is fail)")
        limit = "" if config.wait_secs is None else f" for up to {config.wait_secs:g} s (concurrency.wait_secs)"
        self._live.log.add(f"The run waits{limit} to have {lease.what} for itself: {who}")
        while not answer.granted:
            self._notice(f"Waits since {began:%H:%M:%S} UTC to have {lease.what} for itself: {who}")
            await self._runtime.wait_for_word(self._longest(config, began, lease, who))
            try:
                answer = await self._steps.take_lease(planned, lease)
                who = _in_the_way(answer)
            except StepFailedError as failure:
                self._live.log.problem("Asking for the lease", failure.message)
        return True

    def _longest(self, config: ConcurrencyConfig, began: datetime, lease: Lease, who: str) -> float:
        if config.wait_secs is None:
            return ASK_AGAIN_SECS
        left = config.wait_secs - self._seconds_since(began)
        if left <= 0:
            limit = f"{config.wait_secs:g} s (dbt_temporal.yml: concurrency.wait_secs)"
            self._notice(None)
            raise configuration_error(f"{lease.what}: {who}; the run has waited for {limit}")
        return min(ASK_AGAIN_SECS, left)

    def _tell(self, line: str, notice: str | None) -> None:
        self._live.log.add(line)
        self._notice(notice)

    def _notice(self, notice: str | None) -> None:
        self._live.state.notice = notice
        self._live.changed()

    def _seconds_since(self, instant: datetime) -> float:
        return (self._runtime.now() - instant).total_seconds()


def _in_the_way(answer: TakeLeaseOutput) -> str:
    if not answer.behind:
        return "nobody has it any more"
    first, more = answer.behind[0], answer.count - 1
    if not more:
        return _named(first)
    return f"{_named(first)}, and {more} more {'run is' if more == 1 else 'runs are'} before this one"


def _named(claimant: Claimant) -> str:
    since = f"{datetime.fromisoformat(claimant.since):%Y-%m-%d %H:%M:%S} UTC"
    if claimant.granted:
        return f"the run {claimant.workflow_id!r} has it, which asked at {since}"
    return f"the run {claimant.workflow_id!r} waits for it since {since}"
