"""The run's world inside a Temporal workflow: steps are activities, hooks are child workflows. Workflow code."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import Priority, RawValue, RetryPolicy, SearchAttributeKey
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, ChildWorkflowError, FailureError

from dbt_temporal.adapters.temporal.answers import hook_answer, pieces_told, plan_of, step_failure, step_output
from dbt_temporal.adapters.temporal.executions.breathing import BREATHE
from dbt_temporal.adapters.temporal.executions.fetching import FETCH_CARRIED, FetchCarriedInput
from dbt_temporal.adapters.temporal.executions.references import (
    digest_of_part,
    referred_to,
    resolved,
    with_references,
)
from dbt_temporal.adapters.temporal.failures import to_hook_failed
from dbt_temporal.adapters.temporal.payloads.budget import (
    MAX_ARGUMENTS_BYTES,
    QUIET_ARGUMENTS_BYTES,
    TEMPORAL_BUDGET,
)
from dbt_temporal.adapters.temporal.payloads.plan_pieces import SentPieces
from dbt_temporal.adapters.temporal.telemetry.metrics import MeterTelemetry
from dbt_temporal.adapters.temporal.workflow.handing_on import HandingOn
from dbt_temporal.adapters.temporal.workflow.publisher import GATHERING, SO_FAR, StatePublisher
from dbt_temporal.application.log_context import log_fields
from dbt_temporal.application.ports.runtime import StateChange, Step
from dbt_temporal.application.ports.telemetry import ActionsTaken, Fact
from dbt_temporal.application.run.executions.parts import join_parts, split_parts
from dbt_temporal.application.shielding import cancels_asked, shielded
from dbt_temporal.application.steps.messages import PlanProjectInput
from dbt_temporal.domain.dates.logical_dates import ScheduledStart
from dbt_temporal.domain.details.headline import MAX_SUMMARY_BYTES, hook_summary
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.limits import fit_name
from dbt_temporal.domain.run.plan import HistoryLimits

Output = TypeVar("Output", bound=BaseModel)

SCHEDULED_TIME = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
SCHEDULED_BY = SearchAttributeKey.for_keyword("TemporalScheduledById")
CHILD_ACTIONS = 2
"""Of a child workflow: what starts it, and its own start."""
PIECE_BYTES = 192 * 1024
"""Beyond 256 KiB the server warns of a payload."""
FETCH_TIMEOUT = timedelta(minutes=5)
TAKING_PLAN = "take the plan"
BREATH_SECS = 0.001
BREATH_TIMEOUT = timedelta(seconds=10)
MAX_EVENTS = 48_000
MAX_HISTORY_BYTES = 40 * 1024 * 1024
"""Of Temporal's 51,200 events and 50 MiB; the rest is for what runs, on-run-end, artifacts, hooks and output."""


class TemporalRuntime:
    """Implements `RunRuntime` by Temporal commands. One per workflow execution."""

    def __init__(self) -> None:
        self.budget = TEMPORAL_BUDGET
        # A workflow's meter is silent on replay, and knows namespace, task queue and workflow type.
        self._telemetry = MeterTelemetry(workflow.metric_meter())
        self._publisher = StatePublisher(self.took_action)
        self.took_action("run")
        self._has_word = False
        self._handing_on = HandingOn()
        self._sent = SentPieces()
        self._parts: dict[bytes, bytes] = {}
        """Parts of what is carried that the history of this execution has, by their digests."""
        self.argument: Any = None
        """The workflow's input, as it was given."""

    def now(self) -> datetime:
        return workflow.now()

    async def run_step(self, step: Step[Output]) -> Output:
        cancels_before = cancels_asked()
        limits = step.limits
        self.took_action("activity")
        if step.task_queue is None:
            self._handing_on.sent(workflow.info().get_current_history_length())
        try:
            answer: RawValue | None = await workflow.execute_activity(
                step.name,
                _told_of_pieces(step.argument),
                # Decoded below: one that is wrong, completed by hand, would fail the workflow task again and again.
                result_type=RawValue,
                activity_id=step.activity_id,
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
            raise step_failure(error, step, cancels_before) from error
        told = pieces_told(answer, step, workflow.payload_converter())
        if told is None:
            return step_output(answer, step, cancels_before, workflow.payload_converter())
        breathe = self.breathe if told.breathes else self._breathe_by_timer
        return await plan_of(told, self._sent, step, cancels_before, breathe)

    async def breathe(self) -> None:
        await shielded(workflow.execute_local_activity(BREATHE, start_to_close_timeout=BREATH_TIMEOUT))

    async def _breathe_by_timer(self) -> None:
        """As runs did that earlier releases have planned. By its summary, the timer is none of the run's own."""
        self.took_action("timer")
        await workflow.sleep(BREATH_SECS, summary=TAKING_PLAN)

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        info = workflow.info()
        cancels_before = cancels_asked()
        self.took_action("child_workflow", CHILD_ACTIONS)
        try:
            handle = await workflow.start_child_workflow(
                hook.workflow_type,
                argument,
                # The run id keeps an abandoned hook of an earlier run apart, where workflow ids are used again.
                id=self.hook_place(hook_id),
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
                static_summary=hook_summary(hook_id, info.workflow_id),
            )
            answer = None if hook.fire_and_forget else hook_answer(await handle, workflow.payload_converter(), _warn)
        except (ChildWorkflowError, FailureError) as error:
            if cancels_asked() > cancels_before:
                raise asyncio.CancelledError from error
            raise to_hook_failed(error, hook) from error
        if cancels_asked() > cancels_before:
            # The hook started, or took the cancel and ended well; the run was cancelled all the same.
            raise asyncio.CancelledError
        return answer

    def hook_place(self, hook_id: str) -> str:
        info = workflow.info()
        return hook_workflow_id(info.workflow_id, info.first_execution_run_id, hook_id)

    async def sleep(self, seconds: float, why: str | None = None) -> None:
        self.took_action("timer")
        await workflow.sleep(seconds, summary=None if why is None else fit_name(why, MAX_SUMMARY_BYTES))

    async def wait_for_word(self, seconds: float) -> None:
        if not self._has_word:
            self.took_action("timer")
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._has_word, timeout=seconds)
        self._has_word = False

    def take_word(self) -> None:
        """Ends the wait for it, or the next one."""
        self.took_action("signal")
        self._has_word = True

    def take_piece(self, digest: str, number: int, data: bytes) -> None:
        """Keeps a part of a plan until the answer of the step says what belongs together."""
        self.took_action("signal")
        self._sent.take(digest, number, data)
        self._parts[digest_of_part(data)] = data

    def hands_on(self) -> bool:
        return self._handing_on.has_room(workflow.info().get_current_history_length())

    def has_room(self) -> bool:
        """Whether the history is far enough from its limits, where the server would terminate the workflow."""
        info = workflow.info()
        return has_room_after(info.get_current_history_length(), info.get_current_history_size())

    def is_longer_than(self, limits: HistoryLimits) -> bool:
        info = workflow.info()
        return exceeds(limits, info.get_current_history_length(), info.get_current_history_size())

    async def answered_all(self) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)

    async def take_over(self, carried: bytes) -> list[bytes]:
        """The parts; what stands there by reference comes from the history of the execution before this one."""
        parts = split_parts(carried)
        digests = referred_to(parts)
        if digests:
            await self._fetch(digests)
        whole = resolved(parts, self._parts)
        self._parts |= {digest_of_part(part): part for part in whole}
        return whole

    async def _fetch(self, digests: list[bytes]) -> None:
        self.took_action("activity")
        asked = FetchCarriedInput(
            run_id=workflow.info().continued_run_id or "", digests=[digest.hex() for digest in digests]
        )
        try:
            # Again and again: there is nothing else that the run could do.
            await workflow.execute_activity(
                FETCH_CARRIED, asked, start_to_close_timeout=FETCH_TIMEOUT, summary="what the run has come to so far"
            )
        except ActivityError as error:
            raise configuration_error(str(error.cause or error)) from error

    def can_carry(self, parts: Sequence[bytes]) -> bool:
        return arguments_with(workflow.payload_converter(), self.argument, parts, self._parts) is not None

    def hand_over(self, parts: Sequence[bytes]) -> NoReturn:
        """Continues as new: with the input as it was given, and then what is carried, in pieces.

        Raises:
            ContinueAsNewError: always.
        """
        self.flush()
        told = arguments_with(workflow.payload_converter(), self.argument, parts, self._parts)
        carried = join_parts(parts if told is None else told)
        pieces = [carried[begin : begin + PIECE_BYTES] for begin in range(0, len(carried), PIECE_BYTES)]
        workflow.continue_as_new(args=[self.argument, *pieces])

    @property
    def scheduled(self) -> ScheduledStart | None:
        """By the search attributes that the server gives to what a schedule starts: on time, late, or by a backfill."""
        attributes = workflow.info().typed_search_attributes
        time, schedule_id = attributes.get(SCHEDULED_TIME), attributes.get(SCHEDULED_BY)
        if time is None or schedule_id is None:
            return None
        return ScheduledStart(schedule_id=schedule_id, time=time.isoformat())

    @property
    def execution(self) -> str:
        return workflow.info().original_execution_run_id

    @property
    def was_reset(self) -> bool:
        info = workflow.info()
        return info.run_id != info.original_execution_run_id

    def publish(self, changed: StateChange) -> None:
        self._publisher.add(changed)

    def flush(self) -> None:
        """Shows at once what was gathered: the last thing that a workflow does."""
        self._publisher.flush()

    def record(self, fact: Fact) -> None:
        self._telemetry.record(fact)

    def took_action(self, kind: str, count: int = 1) -> None:
        """Counts what is billed (docs.temporal.io/cloud/actions)."""
        self.record(ActionsTaken(kind, count))


def is_of_workflow(summary: str) -> bool:
    """Whether a timer is the workflow's own, by its summary: the run itself has not asked for it."""
    return summary in (GATHERING, TAKING_PLAN) or summary.startswith(SO_FAR)


def exceeds(limits: HistoryLimits, events: int, size: int) -> bool:
    """Whether a history of so many events and bytes is longer than that."""
    return events >= limits.events or size >= limits.size_bytes


def arguments_with(
    converter: PayloadConverter, argument: Any, parts: Sequence[bytes], known: Collection[bytes]
) -> list[bytes] | None:
    """The parts as arguments of a workflow beside its input, by reference where need be; None where there is no room.

    Args:
        known: digests of the parts that may be references.
    """
    given = sum(payload.ByteSize() for payload in converter.to_payloads([argument]))
    few = with_references(parts, known, QUIET_ARGUMENTS_BYTES - given)
    return few if few is not None else with_references(parts, known, MAX_ARGUMENTS_BYTES - given)


def has_room_after(events: int, size: int) -> bool:
    """Whether a history of so many events and bytes takes further attempts at nodes."""
    return events < MAX_EVENTS and size < MAX_HISTORY_BYTES


def hook_workflow_id(workflow_id: str, first_run_id: str, hook_id: str) -> str:
    """The id of a hook's workflow, within the server's limit."""
    return fit_name(f"{workflow_id}/{first_run_id}/{hook_id}")


def _told_of_pieces(argument: Any) -> Any:
    if isinstance(argument, PlanProjectInput):
        return argument.model_copy(update={"takes_pieces": True})
    return argument


def _warn(error: Exception) -> None:
    with log_fields(invocation_id=workflow.info().first_execution_run_id):
        workflow.logger.warning("the answer of a hook cannot be read, and is ignored: %s", error)


def _priority(step: Step[Any]) -> Priority:
    if step.priority is None:
        return Priority.default
    return Priority(priority_key=step.priority.level, fairness_key=step.priority.fairness_key)
