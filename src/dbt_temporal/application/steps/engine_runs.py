"""Steps on an engine: which run they work on, and how long they may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from dbt_temporal.application.ports.engine import DbtEngine, EngineRun, ProjectLocation
from dbt_temporal.application.ports.left_out import LeftOutInputs, NothingLeftOut
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import StatementsInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import DbtInvocation

Output = TypeVar("Output")

JOB_RUN_VARIABLE = "JOB_RUN_ID"
"""By which packages that record runs know this one among those of its job: one in all executions of its workflow."""


@dataclass(frozen=True)
class StepOfRun:
    """What a worker knows of the step that it does; the fields are those of `DbtInvocation`."""

    job: Mapping[str, str] = field(default_factory=dict)
    silence_secs: float | None = None
    owner: str = ""
    execution: str = ""


class EngineRuns:
    """Opens runs on the engine. `step` tells of the step that is being done; `left_out` has what its input lacks."""

    def __init__(
        self,
        engine: DbtEngine,
        registry: ProjectRegistry,
        step: Callable[[], StepOfRun] = StepOfRun,
        left_out: LeftOutInputs | None = None,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._step = step
        self._left_out = left_out or NothingLeftOut()

    async def open(self, invocation: DbtInvocation) -> EngineRun:
        """The run of an invocation, on the revision that it was planned on.

        Raises:
            DbtTemporalError: ProjectNotFound; what the engine raises.
        """
        project = await self._registry.resolve(invocation.project, invocation.revision)
        return await self.open_at(project.loaded.location, invocation)

    async def open_at(self, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
        """The run of an invocation on the project at this place. Raises what the engine raises."""
        if invocation.left_out is not None:
            invocation = invocation.completed(await self._left_out.find(invocation.left_out))
        step = asdict(self._step())
        if step["job"]:
            step["job"] |= {JOB_RUN_VARIABLE: invocation.invocation_id}
        return await self._engine.open(location, invocation.model_copy(update=step))


async def within_limit(
    request: StatementsInput,
    what: str,
    work: Callable[[Callable[[bool], None]], Awaitable[Output]],
    *,
    retryable: bool = True,
) -> Output:
    """Does a step's work.

    The limit is kept here, where the statements can be ended with it: whoever made another attempt, or reported the end
    of the run, while they go on in the database would be wrong about it.

    Args:
        request: the step's.
        what: the step, for people.
        work: does it; it is given what says that it has begun, where the limit counts from there, or that it waits
            for its begin again.
        retryable: whether another attempt may help, where it took too long.

    Raises:
        DbtTemporalError: of type Adapter, and as `retryable` says, where the limit has passed; what the work raises.
    """
    try:
        async with asyncio.timeout(None if request.from_begin else request.timeout_secs) as limit:

            def begins(begun: bool) -> None:
                if request.from_begin and request.timeout_secs is not None:
                    limit.reschedule(asyncio.get_running_loop().time() + request.timeout_secs if begun else None)

            return await work(begins)
    except TimeoutError as error:
        if not limit.expired():
            raise
        message = f"{what}: took longer than its limit of {request.timeout_secs:g} seconds, and was cancelled"
        raise DbtTemporalError(ErrorType.ADAPTER, message, retryable=retryable) from error
