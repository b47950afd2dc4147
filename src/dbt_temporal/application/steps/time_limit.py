"""A step's time limit, kept where its statements can be ended with it.

Whoever made another attempt, or reported the end of the run, while they go on in the database would be wrong about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dbt_temporal.application.ports.engine import DbtEngine, ProjectLocation
from dbt_temporal.application.steps.messages import StatementsInput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

Output = TypeVar("Output")


async def within_limit(
    engine: DbtEngine,
    location: ProjectLocation,
    asked: StatementsInput,
    what: str,
    work: Callable[[], Awaitable[Output]],
    *,
    retryable: bool = True,
) -> Output:
    """Does a step's work, after what a lost attempt at it left in the database was ended.

    Raises:
        DbtTemporalError: of type Adapter, and as `retryable` says, where the limit has passed; what the work raises.
    """
    try:
        async with asyncio.timeout(asked.timeout_secs) as limit:
            if asked.lost:
                await engine.end_session(location, asked.invocation, asked.lost)
            return await work()
    except TimeoutError as error:
        if not limit.expired():
            raise
        message = f"{what}: took longer than its limit of {asked.timeout_secs:g} seconds, and was cancelled"
        raise DbtTemporalError(ErrorType.ADAPTER, message, retryable=retryable) from error
