"""A schedule as a person reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleDescription,
    ScheduleIntervalSpec,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)

from dbt_temporal.adapters.temporal.schedules.known import KnownSchedule
from dbt_temporal.entrypoints.cli.schedules.actions import show_schedules
from dbt_temporal.entrypoints.cli.schedules.shown import description_lines, length


def described(spec: ScheduleSpec, policy: SchedulePolicy, *, note: str | None = None) -> ScheduleDescription:
    info = SimpleNamespace(
        next_action_times=[datetime(2026, 1, 31, 1, 30, tzinfo=UTC)],
        recent_actions=[],
        num_actions_skipped_overlap=2,
        num_actions_missed_catchup_window=0,
    )
    action = ScheduleActionStartWorkflow("dbt_run", id="w", task_queue="q")
    schedule = Schedule(action=action, spec=spec, policy=policy, state=ScheduleState(note=note))
    return cast(ScheduleDescription, SimpleNamespace(id="nightly", schedule=schedule, info=info))


def test_a_schedule_is_described_in_its_own_time_zone_with_what_is_set_alone() -> None:
    spec = ScheduleSpec(
        cron_expressions=["30 2 * * * # 30 2 * * *"],
        intervals=[ScheduleIntervalSpec(every=timedelta(hours=1))],
        jitter=timedelta(minutes=5),
        time_zone_name="Europe/Berlin",
    )
    policy = SchedulePolicy(catchup_window=timedelta(days=1, hours=2), pause_on_failure=True)
    run_input: dict[str, Any] = {"command": "run", "select": "build", "vars": {"a": 1}, "env": {}, "target": None}
    assert description_lines(described(spec, policy, note="first\nsecond"), run_input) == [
        "nightly: active",
        "",
        "  command       dbt run --select build",
        "  input         select: build",
        '                vars: {"a": 1}',
        "  when          30 2 * * *",
        "                every 1:00:00",
        "  time zone     Europe/Berlin",
        "  jitter        each start is put off by at most 5m",
        "  overlap       Skip, where the run before goes on",
        "  catch-up      what was missed is started up to 1d 2h late",
        "  on failure    the schedule is paused",
        "  note          first",
        "                second",
        "  not started   2 because of the run before, 0 because they were too late",
        "",
        "  next runs     2026-01-31 02:30:00 CET",
        "",
        "  last runs     none",
    ]


@pytest.mark.parametrize(
    ("time", "words"), [(None, "0s"), (timedelta(days=365), "365d"), (timedelta(minutes=90, seconds=1), "1h 30m 1s")]
)
def test_lengths_of_time_are_written_as_flags_take_them(time: timedelta | None, words: str) -> None:
    assert length(time) == words


def test_on_a_narrow_terminal_each_schedule_has_its_id_and_command_on_a_line_of_their_own() -> None:
    console = Console(width=80, force_terminal=True, color_system=None, highlight=False)
    due = datetime(2026, 1, 31, 1, 30, tzinfo=UTC)
    command = "dbt build --select " + "tag:nightly " * 9
    found = [
        KnownSchedule("nightly", "30 2 * * * (Europe/Berlin)", command, False, "", due, [due]),
        KnownSchedule("a", "every 1:00:00", "dbt build", True, "", None, [due]),
    ]
    with console.capture() as capture:
        show_schedules(found, console)
    lines = capture.get().splitlines()
    assert [line.split()[0] for line in lines] == ["STATE", "ID", "active", "nightly", "paused", "a"]
    assert lines[3] == f"  nightly  {command}"
    assert lines[5] == "  a        dbt build"
    assert all(len(line) <= 80 for line in lines if not line.startswith("  nightly"))
