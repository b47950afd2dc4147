"""The run's world inside this process: steps are calls of use cases, hooks are functions of the embedder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from dbt_temporal.application.dbt_run import DbtRun
from dbt_temporal.application.messages import (
    AfterRunInput,
    BeforeRunInput,
    EndRunInput,
    ExecuteNodeInput,
    PlanProjectInput,
    StoreArtifactsInput,
)
from dbt_temporal.application.ports.runtime import HookFailedError, StateChange, Step, StepFailedError
from dbt_temporal.application.ports.telemetry import Fact, NoTelemetry, Telemetry
from dbt_temporal.application.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run_input import DbtRunInput

Output = TypeVar("Output", bound=BaseModel)

HookFunction = Callable[[Any], Awaitable[Any]]
"""A hook: takes the JSON payload (or the hook's own `input`), returns its answer; raises to fail."""


class InProcessRuntime:
    """Implements `RunRuntime` by asyncio. One per run.

    Args:
        use_cases: what the steps call.
        hooks: hook functions by workflow type; another type fails with HookFailedError, under the hook's policy.
        observe: called with every change of the run's state.
        telemetry: takes note of facts for metrics.
    """

    def __init__(
        self,
        use_cases: UseCases,
        hooks: Mapping[str, HookFunction] | None = None,
        observe: Callable[[StateChange], None] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._use_cases = use_cases
        self._hooks = dict(hooks or {})
        self._observe = observe
        self._telemetry = telemetry or NoTelemetry()
        self._abandoned: list[asyncio.Task[Any]] = []

    def now(self) -> datetime:
        """The clock's time."""
        return datetime.now(UTC)

    async def run_step(self, step: Step, output_type: type[Output]) -> Output:
        """Calls the step's use case. See `RunRuntime.run_step`."""
        try:
            answer = await asyncio.wait_for(self._call(step.argument), step.timeout_secs)
        except DbtTemporalError as error:
            raise StepFailedError(
                error.error_type, error.message, retryable=error.retryable, result=error.result
            ) from error
        except TimeoutError as error:
            message = f"{step.name}: took longer than its limit of {step.timeout_secs:g} seconds"
            raise StepFailedError(ErrorType.ADAPTER, message, retryable=True, timed_out=True) from error
        if not isinstance(answer, output_type):
            raise TypeError(f"{step.name} returned {type(answer).__name__}, not {output_type.__name__}")
        return answer

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        """Calls a hook's function. See `RunRuntime.run_hook`."""
        function = self._hooks.get(hook.workflow_type)
        if function is None:
            known = ", ".join(sorted(self._hooks)) or "none"
            raise HookFailedError(f"no function is given for hook {hook.workflow_type!r}; given: {known}")
        limited = asyncio.wait_for(function(argument), hook.timeout_secs)
        if hook.fire_and_forget:
            # The reference keeps the task alive; it ends with the event loop at the latest.
            self._abandoned.append(asyncio.create_task(limited, name=hook_id))
            return None
        try:
            return await limited
        except TimeoutError as error:
            raise HookFailedError(f"timed out after {hook.timeout_secs:g} seconds (timeout_secs)") from error
        except Exception as error:
            # Whatever an embedder's function raises is the hook's failure, under the hook's policy.
            raise HookFailedError(f"{type(error).__name__}: {error}") from error

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    def publish(self, changed: StateChange) -> None:
        """Tells the observer."""
        if self._observe is not None:
            self._observe(changed)

    def record(self, fact: Fact) -> None:
        """Hands a fact on."""
        self._telemetry.record(fact)

    async def _call(self, argument: BaseModel) -> BaseModel:
        use_cases = self._use_cases
        match argument:
            case ExecuteNodeInput():
                return await use_cases.execute_node(argument, _no_heartbeat)
            case PlanProjectInput():
                return await use_cases.plan_project(argument)
            case BeforeRunInput():
                return await use_cases.before_run(argument)
            case AfterRunInput():
                return await use_cases.after_run(argument)
            case StoreArtifactsInput():
                return await use_cases.store_artifacts(argument)
            case EndRunInput():
                return await use_cases.end_run(argument)
            case _:
                raise TypeError(f"no use case takes {type(argument).__name__}")


async def run_in_process(
    run_input: DbtRunInput | Mapping[str, Any] | None,
    use_cases: UseCases,
    *,
    hooks: Mapping[str, HookFunction] | None = None,
    invocation_id: str | None = None,
    observe: Callable[[StateChange], None] | None = None,
) -> DbtRunOutput:
    """Runs dbt in this process and returns the output, successful or not.

    Args:
        run_input: what to run, as the workflow `dbt_run` takes it.
        use_cases: from `UseCases.build`, with the engine, projects and store to use.
        hooks: functions for the hooks that the project or the input names, by workflow type.
        invocation_id: dbt's invocation id; a new UUID by default.
        observe: called with every change of the run's state.

    Raises:
        DbtTemporalError: the input is wrong, or the run could not be planned or set up.
        asyncio.CancelledError: the awaiting task was cancelled; what ran has ended by then.
    """
    runtime = InProcessRuntime(use_cases, hooks, observe)
    return await DbtRun(runtime, invocation_id or str(uuid4())).execute(run_input)


def _no_heartbeat(_facts: Mapping[str, Any]) -> None:
    """Nobody outside this process waits for a sign of life."""
