"""Telling the server how an attempt ended, until it has heard of it.

What an activity returns, the SDK reports for some ten seconds (nine tries; temporalio 1.35, and nothing sets that). A
server that is away for longer would never hear of it, and have the work done again when the heartbeats' timeout has
passed. So the attempt reports its end itself, as activities do that are completed from elsewhere, and only then ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from temporalio import activity
from temporalio.client import AsyncActivityHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.connection.errors import cause_of
from dbt_temporal.adapters.temporal.worker.notices import Notices

FIRST_PAUSE_SECS = 0.5
MAX_PAUSE_SECS = 5.0

logger = logging.getLogger(__name__)

_PASSING = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)
"""Answers of a server, or of what lies before it, that another try may change."""


async def told(work: Callable[[], Awaitable[BaseModel]], notices: Notices) -> BaseModel:
    """Does the work of the current activity, and tells the server of its end.

    Whatever ends this before the server has heard of it, the worker's shutdown among it, leaves the telling to the SDK,
    which tries for its ten seconds.

    Raises:
        ApplicationError: that of the work, where the SDK is to tell it.
        BaseException: the SDK's sign that there is nothing left to tell.
    """
    try:
        output = await work()
    except ApplicationError as error:
        failure = error  # Python forgets the name of an exception after its block
        if await _has_heard(lambda handle: handle.fail(failure)):
            activity.raise_complete_async()
        raise
    except asyncio.CancelledError:
        # The SDK would warn of a failure, with a traceback, and tell it to nobody.
        if notices.gone:
            activity.raise_complete_async()
        # The SDK would take it for the end of a paused attempt by the pause.
        if notices.paused and await _has_heard(lambda handle: handle.report_cancellation()):
            activity.raise_complete_async()
        raise
    if await _has_heard(lambda handle: handle.complete(output)):
        activity.raise_complete_async()
    return output


async def _has_heard(tell: Callable[[AsyncActivityHandle], Awaitable[None]]) -> bool:
    """Tells the server until it has heard, or wants to hear no more of this attempt; False where that cannot be."""
    info = activity.info()
    handle = activity.client().get_async_activity_handle(task_token=info.task_token)
    pause = FIRST_PAUSE_SECS
    warned = False
    try:
        while True:
            try:
                await tell(handle)
                return True
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    logger.warning("nobody waits any more for the end of %s: %s", info.activity_type, error.message)
                    return True
                if error.status not in _PASSING:
                    return False
                if not warned:
                    logger.warning(
                        "%s has ended, and the server cannot be told of it yet (%s); it will be, when it answers again",
                        info.activity_type,
                        cause_of(error),
                    )
                    warned = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECS)
    except asyncio.CancelledError:
        return False  # the attempt has ended all the same
