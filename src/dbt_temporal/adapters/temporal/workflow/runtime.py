"""The run's world inside a Temporal workflow: steps are activities, hooks are child workflows. Workflow code."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import Priority, RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ChildWorkflowError, FailureError, is_cancelled_exception

from dbt_temporal.adapters.temporal.failures import to_hook_failed, to_step_failed
from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.adapters.temporal.telemetry.metrics import MeterTelemetry
from dbt_temporal.adapters.temporal.workflow.publisher import StatePublisher
from dbt_temporal.application.log_context import log_fields
from dbt_temporal.application.ports.runtime import StateChange, Step, StepFailedError
from dbt_temporal.application.ports.telemetry import Fact
from dbt_temporal.application.shielding import cancel_again, cancels_asked
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.limits import fit_name

Output = TypeVar("Output", bound=BaseModel)

MAX_SUMMARY_BYTES = 400
"""What the server takes for the summary of a workflow."""
MAX_EVENTS = 48_000
MAX_HISTORY_BYTES = 40 * 1024 * 1024
"""Of Temporal's 51,200 events and 50 MiB; the rest is for what runs, on-run-end, artifacts, hooks and output."""


class TemporalRuntime:
    """Implements `RunRuntime` by Temporal commands. One per workflow execution."""

    def __init__(self) -> None:
        self.budget = TEMPORAL_BUDGET
        self._publisher = StatePublisher()
        # A workflow's meter is silent on replay, and knows namespace, task queue and workflow type.
        self._telemetry = MeterTelemetry(workflow.metric_meter())

    def now(self) -> datetime:
        return workflow.now()

    async def run_step(self, step: Step[Output]) -> Output:
        cancels_before = cancels_asked()
        limits = step.limits
        try:
            answer: RawValue | None = await workflow.execute_activity(
                step.name,
                step.argument,
                # Decoded below: one that is wrong, completed by hand, would fail the workflow task again and again.
                result_type=RawValue,
                task_queue=step.task_queue,
                schedule_to_start_timeout=(
                    None if step.taken_within_secs is None else timedelta(seconds=step.taken_within_secs)
                ),
                start_to_close_timeout=timedelta(seconds=limits.timeout_secs),
                heartbeat_timeout=None if limits.heartbeat_secs is None else timedelta(seconds=limits.heartbeat_secs),
                # Further attempts are the run's own (application.retries): then each has its place in the history.
                retry_policy=RetryPolicy(maximum_attempts=1),
                # A cancelled node is waited for: the run must not report while its statement still runs.
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=step.summary,
                priority=_priority(step),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            failure = to_step_failed(error, step)
            if cancels_asked() > cancels_before:
                # The SDK has used the cancel up. Whatever the step failed by, it is not tried again.
                failure.retryable = False
                cancel_again()
            raise failure from error
        if cancels_asked() > cancels_before:
            # The activity ended well before the cancel reached it. Its result counts, and the cancel comes after it.
            cancel_again()
        return _read_output(answer, step)

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        info = workflow.info()
        cancels_before = cancels_asked()
        try:
            handle = await workflow.start_child_workflow(
                hook.workflow_type,
                argument,
                # The run id keeps an abandoned hook of an earlier run apart, where workflow ids are used again.
                id=fit_name(f"{info.workflow_id}/{info.first_execution_run_id}/{hook_id}"),
                task_queue=hook.task_queue,
                execution_timeout=timedelta(seconds=hook.timeout_secs),
                parent_close_policy=(
                    workflow.ParentClosePolicy.ABANDON
                    if hook.fire_and_forget
                    else workflow.ParentClosePolicy.REQUEST_CANCEL
                ),
                cancellation_type=(
                    workflow.ChildWorkflowCancellationType.ABANDON
                    if hook.fire_and_forget
                    else workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
                ),
                # Decoded here: an answer that cannot be read would fail the workflow task again and again.
                result_type=RawValue,
                static_summary=fit_name(f"hook {hook_id} of {info.workflow_id}", MAX_SUMMARY_BYTES),
            )
            answer = None if hook.fire_and_forget else _read_answer(await handle)
        except (ChildWorkflowError, FailureError) as error:
            if cancels_asked() > cancels_before:
                raise asyncio.CancelledError from error
            raise to_hook_failed(error, hook) from error
        if cancels_asked() > cancels_before:
            # The hook started, or took the cancel and ended well; the run was cancelled all the same.
            raise asyncio.CancelledError
        return answer

    async def sleep(self, seconds: float) -> None:
        await workflow.sleep(seconds)

    def has_room(self) -> bool:
        """Whether the history is far enough from its limits, where the server would terminate the workflow."""
        info = workflow.info()
        return info.get_current_history_length() < MAX_EVENTS and info.get_current_history_size() < MAX_HISTORY_BYTES

    def publish(self, changed: StateChange) -> None:
        self._publisher.add(changed)

    def flush(self) -> None:
        """Shows at once what was gathered: the last thing that a workflow does."""
        self._publisher.flush()

    def record(self, fact: Fact) -> None:
        self._telemetry.record(fact)


def _read_output(answer: RawValue | None, step: Step[Output]) -> Output:
    kind = step.kind.output
    why = "it is empty"
    try:
        output = None if answer is None else workflow.payload_converter().from_payload(answer.payload, kind)
    except FailureError as error:
        output, why = None, str(error)
    if not isinstance(output, kind):
        message = f"{step.name} was completed with a result that is no {kind.__name__}: {why}"
        raise StepFailedError(ErrorType.CONFIGURATION, message)
    return output


def _read_answer(raw: RawValue) -> Any:
    """A hook's answer; one that is no JSON says nothing to the run (contract: anything else continues)."""
    try:
        return workflow.payload_converter().from_payload(raw.payload)
    except Exception as error:
        with log_fields(invocation_id=workflow.info().first_execution_run_id):
            workflow.logger.warning("the answer of a hook cannot be read, and is ignored: %s", error)
        return None


def _priority(step: Step[Any]) -> Priority:
    if step.priority is None:
        return Priority.default
    return Priority(priority_key=step.priority.level, fairness_key=step.priority.fairness_key)
