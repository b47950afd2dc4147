"""What a run makes of the answers that its history holds: of activities, and of hooks. Imported by workflow code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.common import RawValue
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from dbt_temporal.adapters.temporal.failures import to_step_failed
from dbt_temporal.application.ports.runtime import Step, StepFailedError
from dbt_temporal.application.shielding import cancel_again, cancels_asked
from dbt_temporal.domain.errors import ErrorType

Output = TypeVar("Output", bound=BaseModel)


def step_failure(error: ActivityError, step: Step[Any], cancels_before: int) -> BaseException:
    """What a failed activity means to whoever awaits the step: a StepFailedError, or that it was cancelled.

    Args:
        error: the activity's.
        step: what was asked for.
        cancels_before: how often the current task had been cancelled when the step began.
    """
    if is_cancelled_exception(error):
        return asyncio.CancelledError()
    failure = to_step_failed(error, step)
    if cancels_asked() > cancels_before:
        # Waiting for the activity has used the cancel up. Whatever the step failed by, it is not tried again.
        failure.retryable = False
        cancel_again()
    return failure


def step_output(
    answer: RawValue | None, step: Step[Output], cancels_before: int, converter: PayloadConverter
) -> Output:
    """The result of a step. Where a cancel came meanwhile, the result counts, and the cancel comes after it.

    Raises:
        StepFailedError: somebody completed the activity by hand with what is no such result.
    """
    if cancels_asked() > cancels_before:
        cancel_again()
    kind = step.kind.output
    why = "it is empty"
    try:
        output = None if answer is None else converter.from_payload(answer.payload, kind)
    except FailureError as error:
        output, why = None, str(error)
    if not isinstance(output, kind):
        message = f"{step.name} was completed with a result that is no {kind.__name__}: {why}"
        raise StepFailedError(ErrorType.CONFIGURATION, message)
    return output


def hook_answer(raw: RawValue, converter: PayloadConverter, warn: Callable[[Exception], None]) -> Any:
    """A hook's answer; one that is no JSON says nothing to the run (contract: anything else continues)."""
    try:
        return converter.from_payload(raw.payload)
    except Exception as error:
        warn(error)
        return None
