"""The one boundary between our errors and Temporal's failures, in both directions. Imported by workflow code."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    ChildWorkflowError,
    FailureError,
    TerminatedError,
    TimeoutError,
    TimeoutType,
)

from dbt_temporal.application.ports.runtime import HookFailedError, Step, StepFailedError
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, is_transient
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult

_FAULT = ApplicationErrorCategory.UNSPECIFIED
_UNREACHABLE = "unreachable"
"""The second detail of a failure whose `unreachable` is set."""
RESET_TYPE = "ActivityReset"
"""The type that Temporal's SDKs give the failure of an attempt that an operator has reset."""
REFUSED_TYPE = "NotForThisWorker"
"""The type of the failure of an attempt that another worker should have."""
_FAULTS = (ErrorType.ENGINE_CRASHED, ErrorType.ARTIFACT_STORE)


def to_application_error(error: DbtTemporalError) -> ApplicationError:
    """Our error as an application failure: its type, whether it is retried, and the node's result as detail."""
    details: list[Any] = [] if error.result is None else [error.result.model_dump(mode="json")]
    if error.unreachable:
        details = [*(details or [None]), _UNREACHABLE]
    return ApplicationError(
        error.message,
        *details,
        type=str(error.error_type),
        non_retryable=not error.retryable,
        # A failed model is no fault of the worker: the SDK is not to log it with a stack trace.
        category=_FAULT if error.error_type in _FAULTS else ApplicationErrorCategory.BENIGN,
    )


def refusal(keeper: str) -> ApplicationError:
    """The failure of an attempt that is for the worker with this queue of its own alone: nothing is done here."""
    message = f"this run keeps to another worker, which takes its nodes from {keeper}"
    # Runs of releases that know nothing of refusals make another attempt.
    return ApplicationError(message, type=REFUSED_TYPE, category=ApplicationErrorCategory.BENIGN)


def unexpected_to_application_error(error: Exception) -> ApplicationError:
    """An exception that nobody foresaw, while an activity ran: told with its class. Most would only come again."""
    message = f"unexpected error in the worker: {type(error).__name__}: {error}"
    return ApplicationError(message, type=str(ErrorType.ENGINE_CRASHED), non_retryable=not is_transient(error))


def run_failed(output: DbtRunOutput, message: str) -> ApplicationError:
    """The failure of a run that did not succeed; its detail is the whole output."""
    return ApplicationError(
        message, output.model_dump(mode="json"), type=str(ErrorType.DBT_RUN_FAILED), non_retryable=True
    )


def read_run_output(error: ApplicationError) -> DbtRunOutput | None:
    """The output that a DbtRunFailed carries; None for any other failure."""
    if error.type != ErrorType.DBT_RUN_FAILED or not error.details:
        return None
    return DbtRunOutput.model_validate(error.details[0])


def to_step_failed(error: ActivityError, step: Step[Any]) -> StepFailedError:
    """What an activity's failure means to the run."""
    cause = error.cause
    if isinstance(cause, TimeoutError):
        return _timed_out(cause, step)
    if isinstance(cause, ApplicationError):
        known = _error_type(cause.type)
        message = cause.message if known else f"{cause.type or 'error'}: {cause.message}"
        if cause.type == RESET_TYPE:
            return StepFailedError(ErrorType.ENGINE_CRASHED, message, retryable=True, reset=True)
        if cause.type == REFUSED_TYPE:
            return StepFailedError(ErrorType.CONFIGURATION, message, refused=True)
        return StepFailedError(
            known or ErrorType.ENGINE_CRASHED,
            message,
            retryable=not cause.non_retryable,
            result=_read_result(cause.details),
            unreachable=len(cause.details) > 1 and cause.details[1] == _UNREACHABLE,
        )
    reason = str(cause) if cause is not None else error.message
    return StepFailedError(ErrorType.ENGINE_CRASHED, f"{step.name} failed: {reason}")


def _timed_out(error: TimeoutError, step: Step[Any]) -> StepFailedError:
    error_type = ErrorType.ADAPTER
    if error.type == TimeoutType.HEARTBEAT and step.limits.heartbeat_secs is not None:
        error_type = ErrorType.ENGINE_CRASHED
        silence = f"{step.limits.heartbeat_secs:g} seconds (heartbeat timeout)"
        message = f"{step.name}: its worker was not heard of for {silence}"
    elif error.type == TimeoutType.START_TO_CLOSE:
        limit = f"{step.limits.timeout_secs:g} seconds (start-to-close timeout)"
        message = f"{step.name}: took longer than its limit of {limit}"
    else:
        message = f"{step.name}: timed out: {error.message}"
    return StepFailedError(
        error_type,
        message,
        retryable=True,
        timed_out=True,
        never_taken=error.type == TimeoutType.SCHEDULE_TO_START,
    )


def to_hook_failed(error: FailureError, hook: HookConfig) -> HookFailedError:
    """Why a hook workflow did not end well, in words."""
    cause: BaseException | None = error.cause if isinstance(error, ChildWorkflowError) else error
    if isinstance(cause, TimeoutError):
        return HookFailedError(f"timed out after {hook.timeout_secs:g} seconds (timeout_secs)")
    return HookFailedError((_in_words(cause) if cause is not None else "") or error.message)


def _in_words(cause: BaseException) -> str:
    """A failure down to what caused it: by itself, Temporal only says that an activity failed."""
    if isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        failed = cause.activity_type if isinstance(cause, ActivityError) else cause.workflow_type
        return f"{failed}: {_in_words(cause.cause)}"
    if isinstance(cause, ApplicationError):
        return f"{cause.type}: {cause.message}" if cause.type else cause.message
    if isinstance(cause, TerminatedError):
        return f"terminated: {cause.message}"
    return str(cause)


def _error_type(name: str | None) -> ErrorType | None:
    try:
        return ErrorType(name or "")
    except ValueError:
        return None


def _read_result(details: Any) -> NodeExecutionResult | None:
    if not details or details[0] is None:
        return None
    try:
        return NodeExecutionResult.model_validate(details[0])
    except ValidationError:
        # A failure of the same type by somebody else's code: its message is all that we know.
        return None
