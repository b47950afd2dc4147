import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.messages import PlanProjectInput, PlanProjectOutput, StoreArtifactsInput
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.dates.logical_dates import LogicalDates, ScheduledStart
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.testing import FakeEngine, FakeSchedules, InMemoryArtifactStore, node, plan, ready_project
from dbt_temporal.testing.builders import INVOCATION_ID, STARTED_AT

THURSDAY, FRIDAY, MONDAY = "2026-11-26T05:00:00+00:00", "2026-11-27T05:00:00+00:00", "2026-11-30T05:00:00+00:00"
EARLIER = "0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a22"
DAYS = {"day": "{{ data_interval_start | date }}", "days": ["{{ data_interval_end | date }}", 1], "other": "x"}


class World:
    def __init__(self) -> None:
        self.store = InMemoryArtifactStore()
        self.schedules = FakeSchedules(
            {"weekdays": [datetime.fromisoformat(day) for day in (THURSDAY, FRIDAY, MONDAY)]}
        )
        self.use_cases = UseCases.build(
            FakeEngine(plan(node("a"))),
            ProjectRegistry([ready_project()]),
            self.store,
            write_artifacts=True,
            schedules=self.schedules,
        )

    async def plan(self, run_input: dict[str, Any], scheduled: str | None = None, **request: Any) -> PlanProjectOutput:
        start = None if scheduled is None else ScheduledStart(schedule_id="weekdays", time=scheduled)
        return await self.use_cases.plan_project(
            PlanProjectInput(
                invocation_id=INVOCATION_ID,
                started_at=STARTED_AT,
                input=parse_run_input(run_input),
                scheduled=start,
                **request,
            )
        )


async def test_dates_are_what_the_schedule_meant() -> None:
    world = World()
    run_input = {
        "event_time_start": "{{ data_interval_start }}",
        "event_time_end": "{{ data_interval_end }}",
        "vars": DAYS,
        "env": {"DAY": "{{ scheduled_time | date_nodash }}", "SECRET": {"from_env": "X"}},
    }
    planned = (await world.plan(run_input, MONDAY)).invocation
    assert (planned.input.event_time_start, planned.input.event_time_end) == (FRIDAY, MONDAY)
    assert planned.input.vars == {"day": "2026-11-27", "days": ["2026-11-30", 1], "other": "x"}
    assert planned.input.env["DAY"] == "20261130"
    assert planned.input.model_dump()["env"]["SECRET"] == {"from_env": "X"}
    assert planned.dates == LogicalDates(scheduled_time=MONDAY, data_interval_start=FRIDAY, schedule_id="weekdays")
    assert world.schedules.asked == [("weekdays", datetime(2026, 11, 30, 5, tzinfo=UTC))]


async def test_a_schedule_is_asked_only_for_what_is_used() -> None:
    world = World()
    planned = (await world.plan({"vars": {"day": "{{ scheduled_time | date }}"}}, MONDAY)).invocation
    assert planned.dates == LogicalDates(scheduled_time=MONDAY, schedule_id="weekdays")
    assert world.schedules.asked == []


async def test_an_interval_of_the_input_counts_before_the_schedules() -> None:
    world = World()
    planned = (await world.plan({"vars": DAYS, "data_interval": "1d"}, MONDAY)).invocation
    assert planned.input.vars["day"] == "2026-11-29"
    assert world.schedules.asked == []


async def test_a_run_by_hand_is_for_its_start_or_for_the_time_that_it_is_given() -> None:
    world = World()
    run_input = {"vars": {"day": "{{ scheduled_time | date }}"}}
    assert (await world.plan(run_input)).invocation.input.vars == {"day": STARTED_AT[:10]}
    given = run_input | {"scheduled_time": "2026-01-31", "data_interval": "1w"}
    planned = (await world.plan(given)).invocation
    assert planned.input.vars == {"day": "2026-01-31"}
    assert planned.dates == LogicalDates(
        scheduled_time="2026-01-31T00:00:00+00:00", data_interval_start="2026-01-24T00:00:00+00:00"
    )


async def test_a_run_that_is_for_no_time_has_no_dates() -> None:
    assert (await World().plan({"vars": {"sql": "{{ ref('a') }}"}})).invocation.dates is None


@pytest.mark.parametrize(
    ("run_input", "message"),
    [
        ({"vars": DAYS}, "vars.day: nothing says where the data interval of this run begins"),
        (
            {"vars": {"a": [{"b": "{{ schedule_time }}"}]}},
            r"vars.a\[0\].b: {{ schedule_time }} cannot be filled: there",
        ),
        ({"env": {"KEY": "hidden{{ secret }}"}}, "^env.KEY: cannot be filled: there is no such date"),
        ({"event_time_start": "{{ scheduled_time | dat }}", "event_time_end": "2026-01-01"}, "^event_time_start: {{"),
        (
            {"event_time_start": "{{ scheduled_time }}x", "event_time_end": "2026-01-01"},
            "event_time_start`: Invalid isoformat",
        ),
        (
            {"event_time_start": "{{ scheduled_time }}", "event_time_end": "{{ scheduled_time }}"},
            "event_time_start: must be before event_time_end",
        ),
        ({"scheduled_time": "0001-01-01", "data_interval": "1d"}, "data_interval: 1d before 0001"),
    ],
)
async def test_what_cannot_be_filled_is_refused_by_its_field(run_input: dict[str, Any], message: str) -> None:
    with pytest.raises(DbtTemporalError, match=message) as refused:
        await World().plan(run_input)
    assert refused.value.error_type is ErrorType.CONFIGURATION
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("place", [EARLIER, "/store/{}", "/store/{}/run_results.json"])
async def test_a_retry_is_for_what_the_retried_run_was_for(place: str) -> None:
    world = World()
    first = await world.plan({"vars": DAYS}, FRIDAY)
    invocation = first.invocation.model_copy(update={"invocation_id": EARLIER})
    await world.use_cases.store_artifacts(
        StoreArtifactsInput(invocation=invocation, results=[], elapsed_time=1.0, run_log="")
    )
    reference = world.store.location(EARLIER) + place.partition("{}")[2] if "{}" in place else place
    retry = await world.plan({"retry_from": reference, "vars": DAYS}, MONDAY)
    assert retry.invocation.dates == first.invocation.dates
    assert retry.invocation.input.vars == first.invocation.input.vars


async def test_dates_of_a_retried_run_that_cannot_be_read_are_refused() -> None:
    world = World()
    await world.store.write(f"{EARLIER}/dates.json", json.dumps({"scheduled": 1}).encode())
    with pytest.raises(DbtTemporalError, match=r"retry_from: cannot read dates.json"):
        await world.plan({"retry_from": EARLIER})


async def test_an_input_that_was_planned_before_is_not_filled_again() -> None:
    dates = LogicalDates(scheduled_time=MONDAY)
    planned = await World().plan({"env": {"OF_A_HOOK": "{{ any }}"}}, is_filled=True, dates=dates)
    assert planned.invocation.input.env == {"OF_A_HOOK": "{{ any }}"}
    assert planned.invocation.dates == dates
