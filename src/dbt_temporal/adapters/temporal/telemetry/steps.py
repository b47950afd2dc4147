"""What an activity tells of itself: the fields of its log lines, how long it waited, how it failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import TracebackType

from temporalio import activity

from dbt_temporal.application.log_context import log_fields, log_redactor
from dbt_temporal.application.ports.telemetry import AttemptFailed, StepStarted, Telemetry
from dbt_temporal.application.steps.messages import ExecuteNodeInput, PlanProjectInput, PlanProjectOutput, StepInput
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.secrets.redaction import Redactor, secret_values

logger = logging.getLogger(__name__)

SpanFactory = Callable[[str, Mapping[str, str | int]], AbstractContextManager[Mapping[str, str | int]]]
"""Makes a span of a name and attributes around a step; what it yields is added to the step's log lines."""

UNEXPECTED = "Unexpected"
"""The error type of what should not happen, for metrics."""


class StepTelemetry:
    """Around the work of one activity: whatever is logged meanwhile is known as the run's, without its secrets."""

    def __init__(self, message: StepInput, telemetry: Telemetry, spans: SpanFactory) -> None:
        self._message = message
        self._telemetry = telemetry
        self._spans = spans
        self._stack = ExitStack()
        self._began = time.monotonic()
        info = activity.info()
        # The part before the colon: a node's name would be a label of its own for each node.
        self._step = info.activity_type.split(":", 1)[0]
        invocation = invocation_of(message)
        # A project that the input names is no label before there is one of that name.
        self._project = invocation.project if invocation is not None else ""

    def __enter__(self) -> StepTelemetry:
        info = activity.info()
        fields = fields_of(self._message) | {"workflow_id": info.workflow_id or ""}
        of_span = self._stack.enter_context(self._spans(info.activity_type, fields))
        self._stack.enter_context(log_fields(**fields, **of_span))
        self._stack.enter_context(log_redactor(Redactor(secret_values(_plain_env(_input_of(self._message))))))
        waited = (info.started_time - info.current_attempt_scheduled_time).total_seconds()
        self._telemetry.record(StepStarted(self._project, self._step, max(0.0, waited)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def failed(self, error_type: str) -> None:
        self._telemetry.record(AttemptFailed(self._project, self._step, error_type))

    def ended(self, output: object) -> None:
        how = "done"
        if isinstance(output, NodeExecutionResult):
            how = output.dbt_status or output.status
        # Planning is what finds out which project a run is of.
        project = output.invocation.project if isinstance(output, PlanProjectOutput) else None
        with log_fields(project=project):
            logger.info("%s %s in %.2f s", activity.info().activity_type, how, time.monotonic() - self._began)


def no_span(name: str, attributes: Mapping[str, str | int]) -> AbstractContextManager[Mapping[str, str | int]]:
    """The spans of a worker that is not traced."""
    del name, attributes
    return nullcontext({})


def invocation_of(message: StepInput) -> DbtInvocation | None:
    """The invocation of a step's input; planning has none yet."""
    invocation = getattr(message, "invocation", None)
    return invocation if isinstance(invocation, DbtInvocation) else None


def fields_of(message: StepInput) -> dict[str, str | int]:
    fields: dict[str, str | int] = {}
    invocation = invocation_of(message)
    if invocation is not None:
        fields |= {"invocation_id": invocation.invocation_id, "project": invocation.project}
    elif isinstance(message, PlanProjectInput):
        fields["invocation_id"] = message.invocation_id
        if message.input.project is not None:
            fields["project"] = message.input.project
    if isinstance(message, ExecuteNodeInput):
        fields["node"] = message.unique_id
    return fields | {"attempt": message.attempt}


def _input_of(message: StepInput) -> DbtRunInput:
    if isinstance(message, PlanProjectInput):
        return message.input
    invocation = invocation_of(message)
    return invocation.input if invocation is not None else DbtRunInput()


def _plain_env(run_input: DbtRunInput) -> dict[str, str]:
    """The variables that are given by value; the engine knows those that are given by reference."""
    return {name: value for name, value in run_input.env.items() if isinstance(value, str)}
