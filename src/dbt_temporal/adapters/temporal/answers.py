"""What a run makes of the answers that its history holds: of activities, and of hooks. Imported by workflow code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.common import RawValue
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from dbt_temporal.adapters.temporal.failures import to_step_failed
from dbt_temporal.adapters.temporal.payloads.plan_pieces import Pieces, PlanInPieces, SentPieces, whole
from dbt_temporal.application.ports.runtime import Step, StepFailedError
from dbt_temporal.application.shielding import cancel_again, cancels_asked
from dbt_temporal.application.steps.messages import PlanProjectOutput
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


def pieces_told(answer: RawValue | None, step: Step[Any], converter: PayloadConverter) -> PlanInPieces | None:
    """What a step's result says of the pieces in which a plan has come; None where it is the result itself."""
    if answer is None or step.kind.output is not PlanProjectOutput:
        return None
    try:
        converter.from_payload(answer.payload, Pieces)
        told = converter.from_payload(answer.payload, PlanInPieces)
    except FailureError:
        return None
    return told if isinstance(told, PlanInPieces) else None


async def plan_of(
    told: PlanInPieces,
    sent: SentPieces,
    step: Step[Output],
    cancels_before: int,
    breathe: Callable[[], Awaitable[None]],
) -> Output:
    """The plan that has come in pieces. Where a cancel came meanwhile, the plan counts, and the cancel comes after it.

    Args:
        breathe: ends a turn: none may take two seconds.

    Raises:
        StepFailedError: pieces are missing, as where somebody completed the activity by hand; it is tried again.
    """
    output = None
    try:
        for so_far in whole(told, sent.all_of(told)):
            output = so_far
            with suppress(asyncio.CancelledError):
                await breathe()
    except ValueError as error:
        raise StepFailedError(ErrorType.ENGINE_CRASHED, f"{step.name}: {error}", retryable=True) from None
    if cancels_asked() > cancels_before:
        cancel_again()
    assert isinstance(output, step.kind.output)
    return output


def hook_answer(raw: RawValue, converter: PayloadConverter, warn: Callable[[Exception], None]) -> Any:
    """A hook's answer; one that is no JSON says nothing to the run (contract: anything else continues)."""
    try:
        return converter.from_payload(raw.payload)
    except Exception as error:
        warn(error)
        return None
