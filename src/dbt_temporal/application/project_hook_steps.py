"""dbt's own before_run and after_run as steps: on-run-start and on-run-end, with retries where the project asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dbt_temporal.application.messages import AfterRunInput, BeforeRunInput, ProjectHooksOutput
from dbt_temporal.application.node_steps import step_retry
from dbt_temporal.application.ports.runtime import Step, StepName, StepRetry
from dbt_temporal.application.run_context import RunContext
from dbt_temporal.domain.results import NodeExecutionResult

_ONCE = StepRetry(max_attempts=1)


class ProjectHookSteps:
    """Runs on-run-start and on-run-end and records their results.

    A hook may have had its effect before it failed, so the steps are tried once, unless `retry.project_hooks` says
    otherwise; without hooks nothing is at stake and before_run is retried like a node. What a hook itself ends with
    is a result, not a failed step, so that all results are kept: repeating it is done here.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._retry = step_retry(context.config.retry)

    async def before_run(self) -> bool:
        """Runs before_run; whether all on-run-start hooks succeeded.

        Raises:
            StepFailedError: dbt could not set the run up.
        """
        context = self._context
        retry = self._retry
        if context.plan.has_on_run_start and not context.config.retry.project_hooks.on_run_start:
            retry = _ONCE
        argument = BeforeRunInput(invocation=context.invocation, write_artifacts=context.plan.write_artifacts)
        results = await self._with_retries(
            "on-run-start", retry, lambda: self._run_once(StepName.BEFORE_RUN, argument, retry)
        )
        return self._record("on-run-start", results)

    async def after_run(self, results: list[NodeExecutionResult]) -> None:
        """Runs after_run, whose on-run-end hooks see `results`.

        Raises:
            StepFailedError: the hooks could not be run.
        """
        context = self._context
        retry = self._retry if context.config.retry.project_hooks.on_run_end else _ONCE
        argument = AfterRunInput(
            invocation=context.invocation, results=results, write_artifacts=context.plan.write_artifacts
        )
        ended = await self._with_retries(
            "on-run-end", retry, lambda: self._run_once(StepName.AFTER_RUN, argument, retry)
        )
        self._record("on-run-end", ended)

    async def _run_once(
        self, name: StepName, argument: BeforeRunInput | AfterRunInput, retry: StepRetry
    ) -> ProjectHooksOutput:
        timeouts = self._context.config.timeouts
        return await self._context.runtime.run_step(
            Step(
                name=name,
                argument=argument,
                timeout_secs=timeouts.hook_secs,
                heartbeat_secs=min(timeouts.hook_heartbeat_secs, timeouts.hook_secs),
                retry=retry,
                summary="on-run-start" if name is StepName.BEFORE_RUN else "on-run-end",
                priority=1,
            ),
            ProjectHooksOutput,
        )

    async def _with_retries(
        self, what: str, retry: StepRetry, attempt: Callable[[], Awaitable[ProjectHooksOutput]]
    ) -> list[NodeExecutionResult]:
        pause = retry.initial_interval_secs
        for number in range(1, retry.max_attempts):
            output = await attempt()
            if not output.retryable:
                return output.results
            self._context.live.log.add(f"  => {what}  [RETRY after attempt {number} of {retry.max_attempts}]")
            self._context.live.changed()
            await self._context.runtime.sleep(pause)
            pause = min(pause * retry.backoff_coefficient, retry.max_interval_secs)
        return (await attempt()).results

    def _record(self, what: str, results: list[NodeExecutionResult]) -> bool:
        live = self._context.live
        if results:
            live.log.add(f"{what}:")
        for result in results:
            live.state.project_hook_ended(result)
            live.log.project_hook(result)
        live.changed()
        return all(result.status == "success" for result in results)
