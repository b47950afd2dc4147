"""How attempts at a step ended of which nobody has heard, before another one is made."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

logger = logging.getLogger(__name__)

Found = TypeVar("Found")


async def outcome_of_lost(
    what: str,
    unheard: Sequence[int],
    find: Callable[[int], Awaitable[Found | None]],
    *,
    takes: Callable[[int, Found], bool],
    refusal: str | None,
) -> Found | None:
    """The outcome of the first of these attempts that is known and counts; None where another one is to be made.

    Args:
        what: the step, for people.
        unheard: the attempts' numbers.
        find: finds how one ended; None where nothing is known of it.
        takes: whether what was found counts.
        refusal: why no other attempt may be made where nothing is known of one, with `{what}` and `{attempt}` to be
            filled in; None where it may.

    Raises:
        DbtTemporalError: EngineCrashed with the refusal; what `find` raises.
    """
    nothing_known = False
    for attempt in unheard:
        known = await find(attempt)
        if known is None:
            nothing_known = True
        elif takes(attempt, known):
            logger.warning("attempt %d at %s had ended, and nobody had heard of it: it is not run again", attempt, what)
            return known
    if nothing_known and refusal is not None:
        message = refusal.format(what=what, attempt=unheard[0])
        raise DbtTemporalError(ErrorType.ENGINE_CRASHED, message, retryable=False)
    return None
