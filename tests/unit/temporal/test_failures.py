from __future__ import annotations

import errno

import pytest
from pydantic import SecretStr
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    RetryState,
    TerminatedError,
    TimeoutError,
    TimeoutType,
)

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.failures import (
    read_run_output,
    run_failed,
    to_application_error,
    to_hook_failed,
    to_step_failed,
    unexpected_to_application_error,
)
from dbt_temporal.application.ports.runtime import Step, StepLimits
from dbt_temporal.application.steps.table import EXECUTE_NODE
from dbt_temporal.domain.errors import RETRYABLE_TYPES, DbtTemporalError, ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult

RESULT = NodeExecutionResult(unique_id="model.shop.a", status="error", message="no")
STEP = Step(EXECUTE_NODE, RESULT, StepLimits(60, 10), label="model:a")
HOOK = HookConfig(workflow_type="notify", task_queue="q", timeout_secs=7)


def activity_error(cause: BaseException | None) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="model:a",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error


def child_error(cause: BaseException | None) -> ChildWorkflowError:
    error = ChildWorkflowError(
        "Child Workflow execution failed",
        namespace="",
        workflow_id="",
        run_id="",
        workflow_type="notify",
        initiated_event_id=1,
        started_event_id=2,
        retry_state=None,
    )
    error.__cause__ = cause
    return error


def timeout(kind: TimeoutType) -> TimeoutError:
    return TimeoutError("activity timeout", type=kind, last_heartbeat_details=[])


@pytest.mark.parametrize("error_type", list(ErrorType))
def test_each_error_type_becomes_a_failure_that_is_retried_if_the_type_is(error_type: ErrorType) -> None:
    failure = to_application_error(DbtTemporalError(error_type, "why"))
    assert failure.type == error_type.value
    assert failure.message == "why"
    assert failure.non_retryable is (error_type not in RETRYABLE_TYPES)


def test_an_error_can_say_for_itself_that_it_is_not_retried() -> None:
    assert to_application_error(DbtTemporalError(ErrorType.ADAPTER, "syntax", retryable=False)).non_retryable


def test_a_failed_node_travels_with_its_result_and_comes_back_whole() -> None:
    failure = to_application_error(DbtTemporalError(ErrorType.TEST_FAILURE, "3 failures", result=RESULT))
    read = to_step_failed(activity_error(failure), STEP)
    assert (read.error_type, read.message, read.result) == (ErrorType.TEST_FAILURE, "3 failures", RESULT)
    assert not read.timed_out


def test_an_unforeseen_exception_is_told_with_its_class_and_not_tried_again() -> None:
    failure = unexpected_to_application_error(TypeError("no such thing"))
    assert failure.type == "EngineCrashed"
    assert failure.message == "unexpected error in the worker: TypeError: no such thing"
    assert failure.non_retryable


def test_an_exception_of_a_machine_that_lacks_something_is_tried_again() -> None:
    failure = unexpected_to_application_error(OSError(errno.ENOSPC, "No space left on device"))
    assert (failure.type, failure.non_retryable) == ("EngineCrashed", False)


def test_a_failure_of_an_unknown_type_keeps_its_type_in_the_message() -> None:
    read = to_step_failed(activity_error(ApplicationError("gone", type="NotFoundError")), STEP)
    assert (read.error_type, read.message) == (ErrorType.ENGINE_CRASHED, "NotFoundError: gone")


def test_foreign_details_are_not_taken_for_a_result() -> None:
    read = to_step_failed(activity_error(ApplicationError("x", {"a": 1}, type="Adapter")), STEP)
    assert read.result is None


def test_a_timeout_says_which_one_and_after_how_long() -> None:
    read = to_step_failed(activity_error(timeout(TimeoutType.START_TO_CLOSE)), STEP)
    assert read.message == "model:a: took longer than its limit of 60 seconds (start-to-close timeout)"
    assert (read.timed_out, read.error_type) == (True, ErrorType.ADAPTER)
    read = to_step_failed(activity_error(timeout(TimeoutType.HEARTBEAT)), STEP)
    assert read.message == "model:a: its worker was not heard of for 10 seconds (heartbeat timeout)"
    assert (read.timed_out, read.error_type) == (True, ErrorType.ENGINE_CRASHED)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ApplicationError("no channel", type="Slack"), "Slack: no channel"),
        (ApplicationError("no channel"), "no channel"),
        (timeout(TimeoutType.START_TO_CLOSE), "timed out after 7 seconds (timeout_secs)"),
        (TerminatedError("by hand"), "terminated: by hand"),
        (activity_error(ApplicationError("no channel", type="Slack")), "model:a: Slack: no channel"),
        (activity_error(timeout(TimeoutType.START_TO_CLOSE)), "model:a: activity timeout"),
        (None, "Child Workflow execution failed"),
    ],
)
def test_a_failed_hook_says_why(cause: BaseException | None, reason: str) -> None:
    assert str(to_hook_failed(child_error(cause), HOOK)) == reason


def test_a_failed_run_carries_its_whole_output() -> None:
    output = DbtRunOutput(invocation_id="i", success=False, node_results=[RESULT])
    failure = run_failed(output, "1 of 1 nodes failed")
    assert (failure.type, failure.non_retryable) == ("DbtRunFailed", True)
    assert read_run_output(failure) == output


def test_other_failures_carry_no_output() -> None:
    assert read_run_output(ApplicationError("bad", type="Configuration")) is None


def raised(error: BaseException) -> BaseException:
    """The error with the frames that it has where it was raised."""
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("error_type", list(ErrorType))
@pytest.mark.parametrize("keys", [None, SecretStr(f"k1:{'A' * 43}=")], ids=["in clear", "encrypted"])
async def test_a_failure_of_a_known_type_has_no_stack_trace(error_type: ErrorType, keys: SecretStr | None) -> None:
    converter, failure = ConnectionSettings(codec_keys=keys).data_converter, Failure()
    error = raised(to_application_error(DbtTemporalError(error_type, "no such table")))
    await converter.encode_failure(error, failure)
    decoded = await converter.decode_failure(failure)
    assert isinstance(decoded, ApplicationError)
    assert decoded.message == "no such table"
    assert decoded.failure is not None
    assert decoded.failure.stack_trace == ""
    assert error.__traceback__ is not None


async def test_a_fault_keeps_its_stack_trace_and_that_of_its_cause() -> None:
    failure = Failure()
    error = raised(unexpected_to_application_error(ValueError("no")))
    error.__cause__ = raised(ValueError("no"))
    await ConnectionSettings().data_converter.encode_failure(error, failure)
    assert "in raised" in failure.stack_trace
    assert "in raised" in failure.cause.stack_trace
