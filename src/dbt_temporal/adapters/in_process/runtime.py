"""The run's world inside this process: steps are calls of use cases, hooks are functions of the embedder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from dbt_temporal.application.ports.engine import no_progress
from dbt_temporal.application.ports.runtime import UNLIMITED, HookFailedError, StateChange, Step, StepFailedError
from dbt_temporal.application.ports.telemetry import Fact, NoTelemetry, Telemetry
from dbt_temporal.application.run.dbt_run import DbtRun
from dbt_temporal.application.shielding import cancel_again, cancels_asked
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.plan import HistoryLimits

Output = TypeVar("Output", bound=BaseModel)

LOOK_AGAIN_SECS = 0.2

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
        self.budget = UNLIMITED
        self._abandoned: list[asyncio.Task[Any]] = []

    def now(self) -> datetime:
        """The clock's time."""
        return datetime.now(UTC)

    async def run_step(self, step: Step[Output]) -> Output:
        """Calls the step's use case. See `RunRuntime.run_step`."""
        cancels_before = cancels_asked()
        try:
            async with asyncio.timeout(step.limits.timeout_secs):
                # Nobody outside this process waits for a sign of life.
                answer = await self._use_cases.of(step.kind)(step.argument, no_progress)
        except (DbtTemporalError, TimeoutError) as error:
            _cancel_later(cancels_before)
            raise _step_failed(step, error) from error
        _cancel_later(cancels_before)
        return answer

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        """Calls a hook's function. See `RunRuntime.run_hook`."""
        function = self._hooks.get(hook.workflow_type)
        if function is None:
            known = ", ".join(sorted(self._hooks)) or "none"
            raise HookFailedError(f"no function is given for hook {hook.workflow_type!r}; given: {known}")
        limited = _within(hook.timeout_secs, function(argument))
        if hook.fire_and_forget:
            # The reference keeps the task alive; it ends with the event loop at the latest.
            self._abandoned.append(asyncio.create_task(limited, name=hook_id))
            return None
        cancels_before = cancels_asked()
        try:
            answer = await limited
        except Exception as error:
            if cancels_asked() > cancels_before:
                # The function made another error of the cancel.
                raise asyncio.CancelledError from error
            if isinstance(error, TimeoutError):
                raise HookFailedError(f"timed out after {hook.timeout_secs:g} seconds (timeout_secs)") from error
            # Whatever an embedder's function raises is the hook's failure, under the hook's policy.
            raise HookFailedError(f"{type(error).__name__}: {error}") from error
        _cancel_later(cancels_before)
        return answer

    def hook_place(self, hook_id: str) -> None:
        """A hook is a function here, and has no id."""

    async def sleep(self, seconds: float, why: str | None = None) -> None:  # noqa: ARG002 -- nobody sees waits here
        """Waits."""
        await asyncio.sleep(seconds)

    async def breathe(self) -> None:
        """Lets others go on."""
        await asyncio.sleep(0)

    async def wait_for_word(self, seconds: float) -> None:
        """Waits a moment: whoever looks again by himself needs no word."""
        await asyncio.sleep(min(seconds, LOOK_AGAIN_SECS))

    def hands_on(self) -> bool:
        """Never: nobody hands anything on here."""
        return False

    def has_room(self) -> bool:
        """Always: nothing limits a run here."""
        return True

    def is_longer_than(self, limits: HistoryLimits) -> bool:  # noqa: ARG002 -- the port's
        """Never: a run here has one execution, without a history."""
        return False

    async def answered_all(self) -> None:
        """Nobody asks anything of a run here."""

    async def take_over(self, carried: bytes) -> list[bytes]:
        """Never called, as nothing is handed over."""
        raise AssertionError(f"a run in this process has one execution; it was given {len(carried)} bytes")

    def can_carry(self, parts: Sequence[bytes]) -> bool:  # noqa: ARG002 -- the port's
        """Never: there is no other execution."""
        return False

    def hand_over(self, parts: Sequence[bytes]) -> NoReturn:
        """Never called, as no execution is too long."""
        raise AssertionError(f"a run in this process has one execution; it would carry {len(parts)} parts")

    @property
    def scheduled(self) -> None:
        """There are no schedules here."""

    @property
    def execution(self) -> str:
        """There is one alone."""
        return ""

    @property
    def was_reset(self) -> bool:
        """Never: nobody cuts it off."""
        return False

    def publish(self, changed: StateChange) -> None:
        """Tells the observer."""
        if self._observe is not None:
            self._observe(changed)

    def record(self, fact: Fact) -> None:
        """Hands a fact on."""
        self._telemetry.record(fact)


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


async def _within(seconds: float, work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(seconds):
        return await work


def _step_failed(step: Step[Any], error: DbtTemporalError | TimeoutError) -> StepFailedError:
    if isinstance(error, DbtTemporalError):
        return StepFailedError(
            error.error_type,
            error.message,
            retryable=error.retryable,
            result=error.result,
            unreachable=error.unreachable,
        )
    message = f"{step.name}: took longer than its limit of {step.limits.timeout_secs:g} seconds"
    return StepFailedError(ErrorType.ADAPTER, message, retryable=True, timed_out=True)


def _cancel_later(cancels_before: int) -> None:
    """Where something ended by itself before a cancel reached it, its end counts, and the cancel comes after it."""
    if cancels_asked() > cancels_before:
        cancel_again()
