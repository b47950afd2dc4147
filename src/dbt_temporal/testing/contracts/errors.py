"""What a call raises, without a library of tests."""

from __future__ import annotations

from collections.abc import Awaitable

from dbt_temporal.domain.errors import DbtTemporalError


async def error_of(call: Awaitable[object]) -> DbtTemporalError:
    """The error that a call raises.

    Raises:
        AssertionError: it raises none.
    """
    try:
        answer = await call
    except DbtTemporalError as error:
        return error
    raise AssertionError(f"it raised nothing, and returned {answer!r}")
