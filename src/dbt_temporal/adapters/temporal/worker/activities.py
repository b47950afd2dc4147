"""The activities: each hands its argument to a use case, and its errors to the boundary in `failures`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.failures import to_application_error, unexpected_to_application_error
from dbt_temporal.adapters.temporal.telemetry.steps import UNEXPECTED, SpanFactory, StepTelemetry, no_span
from dbt_temporal.adapters.temporal.worker.heartbeat import with_heartbeats
from dbt_temporal.application.ports.engine import Progress
from dbt_temporal.application.ports.runtime import StepName
from dbt_temporal.application.ports.telemetry import NoTelemetry, Telemetry
from dbt_temporal.application.steps.messages import (
    AfterRunInput,
    BeforeRunInput,
    EndRunInput,
    EndRunOutput,
    ExecuteNodeInput,
    PlanProjectInput,
    PlanProjectOutput,
    ProjectHooksOutput,
    StepInput,
    StoreArtifactsInput,
    StoreArtifactsOutput,
)
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error
from dbt_temporal.domain.results import NodeExecutionResult

logger = logging.getLogger(__name__)

Output = TypeVar("Output")


class DbtActivities:
    """All activities of a worker. They are async: they wait for engine processes, hundreds at once."""

    def __init__(self, use_cases: UseCases, telemetry: Telemetry | None = None, spans: SpanFactory = no_span) -> None:
        self._do = use_cases
        self._spans = spans
        self._telemetry = telemetry or NoTelemetry()

    @property
    def all(self) -> list[Callable[..., Any]]:
        """The activities to register."""
        return [
            self.plan_project,
            self.before_run,
            self.after_run,
            self.store_artifacts,
            self.end_run,
            self.execute_node,
        ]

    @activity.defn(name=StepName.PLAN_PROJECT.value)
    async def plan_project(self, asked: PlanProjectInput) -> PlanProjectOutput:
        """Plans a run."""
        return await self._carry_out(asked, lambda _: self._do.plan_project(asked))

    @activity.defn(name=StepName.BEFORE_RUN.value)
    async def before_run(self, asked: BeforeRunInput) -> ProjectHooksOutput:
        """Runs what dbt does before the first node, on-run-start with it."""
        return await self._carry_out(asked, lambda progress: self._do.before_run(asked, progress))

    @activity.defn(name=StepName.AFTER_RUN.value)
    async def after_run(self, asked: AfterRunInput) -> ProjectHooksOutput:
        """Runs on-run-end."""
        return await self._carry_out(asked, lambda progress: self._do.after_run(asked, progress))

    @activity.defn(name=StepName.STORE_ARTIFACTS.value)
    async def store_artifacts(self, asked: StoreArtifactsInput) -> StoreArtifactsOutput:
        """Writes the artifacts of a run."""
        return await self._carry_out(asked, lambda _: self._do.store_artifacts(asked))

    @activity.defn(name=StepName.END_RUN.value)
    async def end_run(self, asked: EndRunInput) -> EndRunOutput:
        """Frees what this worker holds for a run."""
        return await self._carry_out(asked, lambda _: self._do.end_run(asked))

    @activity.defn(dynamic=True)
    async def execute_node(self, arguments: Sequence[RawValue]) -> NodeExecutionResult:
        """Makes one attempt at a node, whatever `<resource_type>:<node_name>` the activity is called."""
        try:
            asked = _read_node_input(arguments)
        except DbtTemporalError as error:
            raise to_application_error(error) from None
        return await self._carry_out(asked, lambda progress: self._do.execute_node(asked, progress))

    async def _carry_out(self, asked: StepInput, work: Callable[[Progress], Awaitable[Output]]) -> Output:
        """Does an activity's work with heartbeats; its errors leave as application failures."""
        name = activity.info().activity_type
        step = StepTelemetry(asked, self._telemetry, self._spans)
        with step:
            try:
                output = await with_heartbeats(work)
                step.ended(output)
                return output
            except DbtTemporalError as error:
                logger.warning("%s failed: %s: %s", name, error.error_type, error.message)
                step.failed(str(error.error_type))
                # Not "from error": history would hold every message twice.
                raise to_application_error(error) from None
            except asyncio.CancelledError:
                if _shut_down():
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


def _read_node_input(arguments: Sequence[RawValue]) -> ExecuteNodeInput:
    name = activity.info().activity_type
    if ":" not in name or len(arguments) != 1:
        raise configuration_error(f"this worker has no activity {name!r}")
    try:
        asked: ExecuteNodeInput = activity.payload_converter().from_payload(arguments[0].payload, ExecuteNodeInput)
    except ValidationError as error:
        raise configuration_error(f"activity {name!r}: its argument is not an ExecuteNodeInput: {error}") from error
    return asked


def _shut_down() -> bool:
    why = activity.cancellation_details()
    return why is not None and why.worker_shutdown and not why.cancel_requested
