"""The activities: each hands its argument to the use case of its step, and its errors to the boundary in `failures`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.failures import (
    RESET_TYPE,
    refusal,
    to_application_error,
    unexpected_to_application_error,
)
from dbt_temporal.adapters.temporal.telemetry.steps import UNEXPECTED, SpanFactory, StepTelemetry, no_span
from dbt_temporal.adapters.temporal.worker.heartbeat import HEARTBEAT_INTERVAL, with_heartbeats
from dbt_temporal.adapters.temporal.worker.notices import Notices
from dbt_temporal.adapters.temporal.worker.plan_sender import fitting_answer
from dbt_temporal.adapters.temporal.worker.telling import told
from dbt_temporal.application.ports.engine import Progress
from dbt_temporal.application.ports.runtime import StepKind
from dbt_temporal.application.ports.telemetry import NoTelemetry, Telemetry
from dbt_temporal.application.steps.messages import ExecuteNodeInput, StepInput
from dbt_temporal.application.steps.table import step_kind
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

logger = logging.getLogger(__name__)


class DbtActivities:
    """All activities of a worker, as one: which step it is, its name says (`application.steps.table`).

    It is async: it waits for engine processes, hundreds at once.
    """

    def __init__(
        self,
        use_cases: UseCases,
        telemetry: Telemetry | None = None,
        spans: SpanFactory = no_span,
        heartbeat_secs: float = HEARTBEAT_INTERVAL.total_seconds(),
    ) -> None:
        self.use_cases = use_cases
        self._heartbeat_secs = heartbeat_secs
        self._spans = spans
        self._telemetry = telemetry or NoTelemetry()
        self.grace = timedelta()
        """How long running activities may go on when the worker ends."""

    @activity.defn(dynamic=True)
    async def carry_out(self, arguments: Sequence[RawValue]) -> BaseModel:
        try:
            kind, request = _read(activity.info().activity_type, arguments)
            request = _with_own_number(request)
        except DbtTemporalError as error:
            raise to_application_error(error) from None
        keeper = request.keeper if isinstance(request, ExecuteNodeInput) else None
        if keeper is not None and keeper != self.use_cases.own_queue:
            raise refusal(keeper)
        notices = Notices(self.grace)

        async def work(progress: Progress) -> BaseModel:
            return await told(lambda: self._carry_out(kind, request, progress, notices), notices)

        return await with_heartbeats(work, notices, self._heartbeat_secs, self._telemetry)

    async def _carry_out(
        self, kind: StepKind[Any, BaseModel], request: StepInput, progress: Progress, notices: Notices
    ) -> BaseModel:
        """Does an activity's work; its errors leave as application failures."""
        name = activity.info().activity_type
        use_case = self.use_cases.of(kind)
        step = StepTelemetry(request, self._telemetry, self._spans)
        with step:
            try:
                output = await use_case(request, progress)
                answer = await fitting_answer(request, output)
                step.ended(output)
                return answer
            except DbtTemporalError as error:
                logger.warning("%s failed: %s: %s", name, error.error_type, error.message)
                step.failed(str(error.error_type))
                # Not "from error": history would hold every message twice.
                raise to_application_error(error) from None
            except asyncio.CancelledError:
                if notices.reset:
                    logger.info("%s was reset", name)
                    raise ApplicationError("the attempt was reset", type=RESET_TYPE) from None
                if notices.shut_down:
                    logger.warning("%s ended by the worker's shutdown", name)
                    step.failed(str(ErrorType.ENGINE_CRASHED))
                    # Nobody cancelled the run: another worker may take the node up again.
                    message = "the worker was shut down before the activity ended"
                    raise ApplicationError(message, type=str(ErrorType.ENGINE_CRASHED)) from None
                logger.info("%s cancelled", name)
                raise
            except Exception as error:
                logger.exception("activity %s failed unexpectedly", name)
                step.failed(UNEXPECTED)
                raise unexpected_to_application_error(error) from error


def _read(name: str, arguments: Sequence[RawValue]) -> tuple[StepKind[Any, BaseModel], StepInput]:
    kind = step_kind(name)
    if kind is None or len(arguments) != 1:
        raise configuration_error(f"this worker has no activity {name!r}")
    try:
        request = activity.payload_converter().from_payload(arguments[0].payload, kind.input)
    except ValidationError as error:
        raise configuration_error(f"activity {name!r}: its argument is no {kind.input.__name__}: {error}") from error
    return kind, request


def _with_own_number(request: StepInput) -> StepInput:
    """The request of an attempt that the server has begun again, as after a pause: it asks what it came to itself."""
    if activity.info().attempt == 1 or not isinstance(request, ExecuteNodeInput):
        return request
    return request.model_copy(update={"unheard": [*request.unheard, request.attempt]})
