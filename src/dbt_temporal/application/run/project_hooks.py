"""dbt's own before_run and after_run as steps: on-run-start and on-run-end, with retries where the project asks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from dbt_temporal.application.fitting import step_results_in_turns
from dbt_temporal.application.ports.runtime import Step, StepFailedError, StepKind
from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.in_turns import in_turns
from dbt_temporal.application.run.nodes.attempts import retry_rule
from dbt_temporal.application.run.retries import Lost, attempt_summary, with_retries
from dbt_temporal.application.steps.messages import (
    AfterRunInput,
    BeforeRunInput,
    Keeper,
    ProjectHooksOutput,
    ResumeRunInput,
)
from dbt_temporal.application.steps.table import AFTER_RUN, BEFORE_RUN, RESUME_RUN
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.results import NodeExecutionResult

ON_RUN_START = "on-run-start"
ON_RUN_END = "on-run-end"

_HookStep = StepKind[Any, ProjectHooksOutput]
_HookInput = BeforeRunInput | AfterRunInput


class ProjectHookSteps:
    """Runs on-run-start and on-run-end and records their results.

    A hook may have had its effect before it failed, so hooks are tried once, unless `retry.project_hooks` says
    otherwise. What the database refused before the first hook began is retried like a node in any case.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._rule = retry_rule(context.config.retry)
        self._silent: set[int] = set()
        """Attempts of whose worker nothing was heard any more: an engine that runs ahead may have gone on to nodes."""

    async def before_run(self) -> bool:
        """Runs before_run; whether the nodes may run.

        Raises:
            StepFailedError: dbt could not set the run up.
        """
        context = self._context
        argument = BeforeRunInput(
            invocation=context.invocation,
            timeout_secs=context.config.timeouts.hook_secs,
            write_artifacts=context.plan.write_artifacts,
            repeatable=context.config.retry.project_hooks.on_run_start or not context.plan.has_on_run_start,
        )
        output = await self._run(BEFORE_RUN, argument, ON_RUN_START)
        context.may_have_run |= context.planned.runs_ahead and output.may_have_run
        context.keep(output)
        self._keep_to(output)
        return output.nodes_may_run

    async def after_run(self, results: list[NodeExecutionResult]) -> None:
        """Runs after_run, whose on-run-end hooks see `results`.

        Raises:
            StepFailedError: the hooks could not be run.
        """
        context = self._context
        work = step_results_in_turns(results, context.runtime.budget.step_results_bytes)
        argument = AfterRunInput(
            invocation=context.invocation,
            timeout_secs=context.config.timeouts.hook_secs,
            results=await in_turns(work, context.runtime, context.planned),
            unrecorded=context.live.state.unrecorded,
            behind=context.live.state.behind,
            behind_if_failed=context.live.state.behind_if_failed,
            write_artifacts=context.plan.write_artifacts,
            repeatable=context.config.retry.project_hooks.on_run_end,
        )
        await self._run(AFTER_RUN, argument, ON_RUN_END)

    def _keep_to(self, output: ProjectHooksOutput) -> None:
        """Sends the rest of the run to the worker that has done this, where its memory is needed."""
        database, log = output.database, self._context.live.log
        why = output.keeps_state or output.keeps_worker
        if database is not None:
            why = f"{database.name} is a database in its memory"
        if why is None:
            return
        where = "a worker" if output.worker is None else f"the worker {output.worker.name}"
        log.add(f"The run keeps to {where}: {why}")
        if output.worker is not None:
            self.go_on(output.worker)

    def go_on(self, keeper: Keeper) -> None:
        """Sends the steps of the run to the worker whose process it needs."""
        in_memory = self._context.planned.invocation.database is not None
        self._context.keeping.keep_to(keeper, None if in_memory else self._successor)

    async def _successor(self, lost: Keeper) -> Keeper:
        """Has another worker take over what hooks and nodes have left in the process of one that is lost."""
        context = self._context
        context.live.log.add(
            f"The worker {lost.name}, which the run kept to, takes nothing any more: another one goes on"
        )
        context.live.changed()
        statuses = context.live.state.statuses
        argument = ResumeRunInput(
            invocation=context.invocation,
            timeout_secs=context.config.timeouts.hook_secs,
            without=[unique_id for unique_id, status in statuses.items() if status == "running"],
            ended=context.live.state.ended if context.planned.runs_ahead else {},
            lost=context.lost_work(mark=lost.mark),
        )
        step = Step(
            kind=RESUME_RUN,
            argument=argument,
            limits=RESUME_RUN.limits(context.config.timeouts),
            summary="go on in place of a lost worker",
            priority=context.priority(1),
        )
        output = await with_retries(
            context.runtime,
            self._rule,
            lambda number, _lost: context.runtime.run_step(
                replace(step, argument=argument.model_copy(update={"attempt": number}))
            ),
            on_retry=partial(self._note_retry, "resume_run"),
            what=step.summary or step.name,
        )
        if output.worker is None:
            raise StepFailedError(
                ErrorType.CONFIGURATION, "the worker that took the run over takes no steps of its own"
            )
        context.live.log.add(f"The run keeps to the worker {output.worker.name}")
        context.may_have_run |= context.planned.runs_ahead and not output.knows_all
        return output.worker

    async def _run(self, kind: _HookStep, argument: _HookInput, what: str) -> ProjectHooksOutput:
        unrecorded: list[NodeExecutionResult] = []

        def why_again(output: ProjectHooksOutput) -> str | None:
            unrecorded[:] = output.results
            return _failed_hook(output) if argument.repeatable else None

        def on_retry(attempt: int, reason: str) -> None:
            said = "\n".join(result.messages for result in unrecorded if result.messages)
            unrecorded.clear()
            self._note_retry(what, attempt, reason, said or None)

        output = await with_retries(
            self._context.runtime,
            self._rule,
            partial(self._attempt, kind, argument, what),
            on_retry=on_retry,
            may_retry=lambda failure: failure.retryable and (argument.repeatable or _before_any_hook(failure)),
            why_again=why_again,
            what=what,
            look=partial(self._look, kind, argument, what) if self._context.planned.looks_at_hooks else None,
        )
        self._record(what, output)
        return output

    async def _attempt(
        self, kind: _HookStep, argument: _HookInput, what: str, number: int, lost: Lost
    ) -> ProjectHooksOutput:
        unheard = list(lost.attempts) if self._context.planned.looks_at_hooks else []
        asked: dict[str, Any] = {"attempt": number, "unheard": unheard}
        silent = [attempt for attempt in unheard if attempt in self._silent]
        if silent and isinstance(argument, BeforeRunInput):
            asked["lost"] = self._context.lost_work(silent)
        summary = attempt_summary(what, number, self._rule.max_attempts)
        try:
            return await self._step(kind, argument.model_copy(update=asked), summary)
        except StepFailedError as failure:
            if failure.timed_out:
                self._silent.add(number)
            raise

    async def _look(
        self, kind: _HookStep, argument: _HookInput, what: str, attempt: int, lost: Lost
    ) -> ProjectHooksOutput:
        """Finds out how hooks ended of which nobody has heard.

        Raises:
            StepFailedError: nothing is known of them, and so they have failed.
        """
        asked = {"attempt": attempt, "unheard": list(lost.attempts), "repeatable": False}
        return await self._step(kind, argument.model_copy(update=asked), f"{what} (how attempt {attempt} ended)")

    async def _step(self, kind: _HookStep, argument: _HookInput, summary: str) -> ProjectHooksOutput:
        return await self._context.keeping.run_step(
            Step(
                kind=kind,
                argument=argument,
                limits=kind.limits(self._context.config.timeouts),
                summary=summary,
                priority=self._context.priority(1),
            )
        )

    def _note_retry(self, what: str, attempt: int, reason: str, messages: str | None = None) -> None:
        self._context.live.log.retried_step(what, attempt, self._rule.max_attempts, reason, messages)
        self._context.live.changed()

    def _record(self, what: str, output: ProjectHooksOutput) -> None:
        live = self._context.live
        live.log.say("\n".join(output.messages))
        if output.results:
            live.log.add(f"{what}:")
        for result in output.results:
            live.state.project_hook_ended(result.told())
            live.log.project_hook(result)
        live.changed()


def _before_any_hook(failure: StepFailedError) -> bool:
    """What hooks end with are results, so an error of the database is one of connecting or of creating schemas."""
    if failure.error_type is ErrorType.PROJECT_NOT_FOUND:
        return True  # this worker has another revision; the next one may have the run's
    return failure.error_type is ErrorType.ADAPTER and not failure.timed_out


def _failed_hook(output: ProjectHooksOutput) -> str | None:
    """Why hooks are to be run again, where they ended with an error that another attempt may mend."""
    if not output.retryable:
        return None
    return next((result.message or result.unique_id for result in output.results if result.status == "error"), None)
