"""What everything that knows schedules promises, as tests that each of it passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from dbt_temporal.application.ports.schedules import Schedules
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing.contracts.errors import error_of

BEGINS = datetime(2026, 3, 2, 3, tzinfo=UTC)
FIRST = datetime(2026, 3, 2, 6, tzinfo=UTC)
DAY = timedelta(days=1)

MakeDaily = Callable[[datetime], Awaitable[str]]
"""Makes a schedule that is due each day at 6 o'clock UTC from a time on, but starts nothing, and returns its id."""


class SchedulesContract:
    """Tests of `Schedules`, for a subclass called `Test...` and fixtures `schedules` and `make_daily`, which give the
    adapter and a `MakeDaily`: what makes schedules that it knows.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_before_a_time_of_a_schedule_is_the_one_before_it(
        self, schedules: Schedules, make_daily: MakeDaily
    ) -> None:
        """`time_before`, of a time itself, and of times right after it, also where nothing was started then."""
        daily = await make_daily(BEGINS)
        third = FIRST + 2 * DAY
        assert await schedules.time_before(daily, third) == third - DAY
        assert await schedules.time_before(daily, third + timedelta(seconds=1)) == third
        found = await schedules.time_before(daily, third + timedelta(hours=20))
        assert found == third
        assert found.tzinfo is not None

    async def test_before_its_first_time_is_its_own_beginning(
        self, schedules: Schedules, make_daily: MakeDaily
    ) -> None:
        """`time_before`, of the first time."""
        assert await schedules.time_before(await make_daily(BEGINS), FIRST) == BEGINS

    async def test_before_its_beginning_there_is_no_time(self, schedules: Schedules, make_daily: MakeDaily) -> None:
        """`time_before`, of a time at which the schedule was not there: a Configuration error that says what to do."""
        daily = await make_daily(BEGINS)
        error = await error_of(schedules.time_before(daily, BEGINS - DAY))
        assert error.error_type is ErrorType.CONFIGURATION
        assert daily in error.message
        assert "data_interval" in error.message

    async def test_a_schedule_that_is_not_there_is_told(self, schedules: Schedules) -> None:
        """`time_before`, of an id that nobody knows: a Configuration error that names it."""
        error = await error_of(schedules.time_before("of-nobody", FIRST))
        assert error.error_type is ErrorType.CONFIGURATION
        assert "'of-nobody'" in error.message
