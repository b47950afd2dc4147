"""Steps on an engine: which run they work on, and how long they may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from dbt_temporal.application.ports.engine import DbtEngine, EngineRun, ProjectLocation
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import StatementsInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import DbtInvocation

Output = TypeVar("Output")


class EngineRuns:
    """Opens runs on the engine.

    Args:
        job: variables that name the run of the step that is being done, for its environment.
        silence: `DbtInvocation.silence_secs` of that step.
    """

    def __init__(
        self,
        engine: DbtEngine,
        registry: ProjectRegistry,
        job: Callable[[], Mapping[str, str]] | None = None,
        silence: Callable[[], float | None] | None = None,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._job = job or dict
        self._silence = silence or _for_ever

    async def open(self, invocation: DbtInvocation) -> EngineRun:
        """The run of an invocation, on the revision that it was planned on.

        Raises:
            DbtTemporalError: ProjectNotFound; what the engine raises.
        """
        project = await self._registry.resolve(invocation.project, invocation.revision)
        return await self.open_at(project.loaded.location, invocation)

    async def open_at(self, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
        """The run of an invocation on the project at this place. Raises what the engine raises."""
        of_step = {"job": dict(self._job()), "silence_secs": self._silence()}
        return await self._engine.open(location, invocation.model_copy(update=of_step))


def _for_ever() -> None:
    """Nobody takes a step for lost."""


async def within_limit(
    run: EngineRun,
    request: StatementsInput,
    what: str,
    work: Callable[[], Awaitable[Output]],
    *,
    retryable: bool = True,
) -> Output:
    """Does a step's work, after what a lost attempt at it left in the database was ended.

    The limit is kept here, where the statements can be ended with it: whoever made another attempt, or reported the end
    of the run, while they go on in the database would be wrong about it.

    Raises:
        DbtTemporalError: of type Adapter, and as `retryable` says, where the limit has passed; what the work raises.
    """
    try:
        async with asyncio.timeout(request.timeout_secs) as limit:
            if request.lost:
                await run.end_session(request.lost)
            return await work()
    except TimeoutError as error:
        if not limit.expired():
            raise
        message = f"{what}: took longer than its limit of {request.timeout_secs:g} seconds, and was cancelled"
        raise DbtTemporalError(ErrorType.ADAPTER, message, retryable=retryable) from error
