"""Lifecycle hooks: child workflows before and after a run, and what their answers and failures mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dbt_temporal.application.fitting import fit_message, fit_plan, fit_results, json_size
from dbt_temporal.application.ports.runtime import HookFailedError, RunRuntime
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.domain.hooks import HookConfig, HookError, HookEvent, HooksConfig, read_pre_run_answer
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput, mask_env
from dbt_temporal.domain.run.plan import ExecutionPlan

MIN_OUTPUT_SHARE = 0.3
"""So much of a hook's payload is the output's, where it needs it and the plan is large."""

MAX_NAMES = 20
"""So many entries that are ignored are named in the log."""


@dataclass
class PreRunOutcome:
    """What the pre_run hooks decided together.

    Attributes:
        skipped_by: the workflow type of the hook that skips the run, or None.
        skip_reason: why, where that hook says so.
        aborted_by: the error of a hook with the policy `fail`, or None.
        extra_env: what to add to the run's environment.
    """

    skipped_by: str | None = None
    skip_reason: str | None = None
    aborted_by: HookError | None = None
    extra_env: dict[str, str] = field(default_factory=dict)


class LifecycleHooks:
    """Runs the hooks of a run, one after the other in the order of the list.

    Attributes:
        plan: what payloads show; it changes where the run is planned again.
        errors: failures under the policies `warn` and `fail`, in order.
    """

    def __init__(
        self, runtime: RunRuntime, live: LiveState, hooks: HooksConfig, invocation_id: str, plan: ExecutionPlan
    ) -> None:
        self.errors: list[HookError] = []
        self._runtime = runtime
        self._live = live
        self._hooks = hooks
        self._invocation_id = invocation_id
        self.plan = plan

    async def before(self, run_input: DbtRunInput) -> PreRunOutcome:
        """Runs the pre_run hooks. The first that skips or aborts the run is the last to be started."""
        outcome = PreRunOutcome()
        for position, hook in enumerate(self._hooks.pre_run):
            seen = run_input.model_copy(update={"env": run_input.env | outcome.extra_env})
            answer, error = await self._start("pre_run", position, hook, seen, None)
            if error is not None and hook.on_error == "fail":
                outcome.aborted_by = error
                return outcome
            if error is not None or hook.fire_and_forget:
                continue
            meaning = read_pre_run_answer(answer)
            if meaning.ignored_env_keys:
                keys = ", ".join(meaning.ignored_env_keys[:MAX_NAMES])
                self._log("pre_run", hook, f"warning: entries of extra_env that are no variables are ignored: {keys}")
            outcome.extra_env.update(meaning.extra_env)
            if meaning.skip:
                outcome.skipped_by = hook.workflow_type
                outcome.skip_reason = meaning.skip_reason
                return outcome
        return outcome

    async def after(self, run_input: DbtRunInput, output: DbtRunOutput) -> DbtRunOutput:
        """Runs the on_success or on_failure hooks and returns the output with what they did to it.

        A hook with the policy `fail` that fails turns success into failure; the hooks after it run all the same.
        """
        event: HookEvent = "on_success" if output.success else "on_failure"
        success = output.success
        for position, hook in enumerate(self._hooks.for_event(event)):
            seen = output.model_copy(update={"success": success, "hook_errors": list(self.errors)})
            _, error = await self._start(event, position, hook, run_input, seen)
            if error is not None and hook.on_error == "fail":
                success = False
                self._live.state.problem(f"{event} hook {hook.workflow_type}", "Hook", error.error)
        return output.model_copy(update={"success": success, "hook_errors": list(self.errors)})

    async def _start(
        self, event: HookEvent, position: int, hook: HookConfig, run_input: DbtRunInput, output: DbtRunOutput | None
    ) -> tuple[Any, HookError | None]:
        argument = hook.input if hook.input is not None else self._payload(event, hook, run_input, output)
        hook_id = f"{event}-{position + 1}-{hook.workflow_type}"
        if not hook.fire_and_forget:
            self._live.state.notice = self._awaited(event, hook)
            self._live.facts.hook_place = self._runtime.hook_place(hook_id)
        self._log(event, hook, f"START on {hook.task_queue}")
        try:
            answer = await self._ended(hook, argument, hook_id)
        except HookFailedError as failure:
            error = HookError(hook_workflow_type=hook.workflow_type, event=event, error=self._in_words(failure))
            if hook.on_error != "ignore":
                self._log(event, hook, f"ERROR ({hook.on_error}) {error.error}")
                self.errors.append(error)
                self._live.facts.hook_errors.append(f"{hook.workflow_type} ({event}): {error.error}")
            return None, error
        self._log(event, hook, "STARTED, not awaited" if hook.fire_and_forget else "OK")
        return answer, None

    async def _ended(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        try:
            return await self._runtime.run_hook(hook, argument, hook_id)
        finally:
            # What comes next shows that. A change of its own would be a command that earlier releases did not give.
            self._live.state.notice = self._live.facts.hook_place = None

    def _awaited(self, event: HookEvent, hook: HookConfig) -> str:
        since = f"Waits for the {event} hook {hook.workflow_type} since {self._runtime.now():%Y-%m-%d %H:%M:%S} UTC"
        return f"{since} (task queue {hook.task_queue})"

    def _payload(
        self, event: HookEvent, hook: HookConfig, run_input: DbtRunInput, output: DbtRunOutput | None
    ) -> dict[str, Any]:
        seen = mask_env(run_input)
        plan, output = self._within_budget(event, hook, seen, output)
        return {
            "event": event,
            "invocation_id": self._invocation_id,
            "input": seen.model_dump(mode="json"),
            "plan": plan.model_dump(mode="json"),
            "output": None if output is None else output.model_dump(mode="json"),
        }

    def _within_budget(
        self, event: HookEvent, hook: HookConfig, seen: DbtRunInput, output: DbtRunOutput | None
    ) -> tuple[ExecutionPlan, DbtRunOutput | None]:
        """Of a very large run, the plan and the output have less detail."""
        limit = self._runtime.budget.hook_bytes
        if limit is None:
            return self.plan, output
        room = limit - json_size(seen)
        of_output = 0 if output is None else min(json_size(output), int(limit * MIN_OUTPUT_SHARE))
        plan = fit_plan(self.plan, room - of_output)
        if plan is not self.plan:
            left_out = "levels" if plan.nodes else "levels and nodes"
            self._log(event, hook, f"warning: the plan is too large for a hook, and is sent without {left_out}")
        if output is not None:
            results = fit_results(output.node_results, room - json_size(plan))
            output = output.model_copy(update={"node_results": results})
        return plan, output

    def _in_words(self, failure: HookFailedError) -> str:
        return fit_message(str(failure), self._runtime.budget.message_chars)

    def _log(self, event: HookEvent, hook: HookConfig, what: str) -> None:
        self._live.log.lifecycle_hook(event, hook.workflow_type, what)
        self._live.changed()
