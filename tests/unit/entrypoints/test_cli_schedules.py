"""`dbt-temporal schedule`: what it reads, and what it refuses before anything is sent."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from temporalio.client import ScheduleCalendarSpec, ScheduleIntervalSpec, ScheduleRange, ScheduleSpec

from dbt_temporal.adapters.temporal.schedules.known import OVERLAP_POLICIES, When, spec_in_words
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.cli.schedules import actions, commands
from dbt_temporal.entrypoints.cli.schedules.commands import POLICIES
from tests.unit.repository.doc_pages import Page

Created = list[tuple[str, DbtRunInput, When]]
PAGES = (Page("docs/schedules.md"), Page("examples/schedules/README.md"), Page("README.md"))


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> Created:
    """What `schedule create` would make; nothing is sent anywhere."""
    made: Created = []

    def create(_target: Any, schedule_id: str, run_input: DbtRunInput, when: When, *_others: Any) -> None:
        made.append((schedule_id, run_input, when))

    monkeypatch.setattr(actions, "create_schedule", create)
    monkeypatch.setattr(commands, "run_at_server", lambda _flags, work: work(None, None))
    return made


def invoke(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["schedule", *args])
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


def test_a_schedule_is_made_of_its_own_options_and_of_the_command(created: Created) -> None:
    exit_code, output = invoke(
        *("create", "nightly", "--cron", "30 2 * * *", "--cron", "@daily", "--interval", "1h/10m", "--interval", "15m"),
        *("--time-zone", "Europe/Berlin", "--overlap-policy", "bufferone", "--catchup-window", "2h", "--jitter", "30s"),
        *("--start-time", "2026-01-31", "--pause-on-failure"),
        *("--", "build", "--select", "a", "b", "--vars", "{day: '{{ scheduled_time | date }}'}"),
        *("--event-time-start", "{{ data_interval_start }}", "--event-time-end", "{{ data_interval_end }}"),
    )
    assert exit_code == 0, output
    [(schedule_id, run_input, when)] = created
    assert schedule_id == "nightly"
    assert run_input.model_dump(exclude_defaults=True) == {
        "select": "a b",
        "vars": {"day": "{{ scheduled_time | date }}"},
        "event_time_start": "{{ data_interval_start }}",
        "event_time_end": "{{ data_interval_end }}",
    }
    assert when.intervals == [
        (timedelta(hours=1), timedelta(minutes=10)),
        (timedelta(minutes=15), timedelta()),
    ]
    assert (when.crons, when.time_zone, when.overlap) == (("30 2 * * *", "@daily"), "Europe/Berlin", "BufferOne")
    assert (when.catchup_window, when.jitter, when.pause_on_failure) == (
        timedelta(hours=2), timedelta(seconds=30), True,
    )  # fmt: skip
    assert when.start_at is not None
    assert when.start_at.isoformat() == "2026-01-31T00:00:00+00:00"


@pytest.mark.parametrize(
    ("words", "command"),
    [("source freshness", "source-freshness"), ("ls", "list"), ("docs generate", "docs-generate"), ("retry", "retry")],
)
def test_commands_have_dbts_names_here_too(created: Created, words: str, command: str) -> None:
    assert invoke("create", "x", "--cron", "@daily", "--", *words.split())[0] == 0
    assert created[0][1].command == command


def test_flags_may_stand_before_the_command_here_too(created: Created) -> None:
    words = ["--warn-error", "source", "--debug", "freshness", "-s", "a"]
    assert invoke("create", "x", "--cron", "@daily", "--", *words)[0] == 0
    assert created[0][1].model_dump(exclude_defaults=True) == {
        "command": "source-freshness",
        "debug": True,
        "warn_error": True,
        "select": "a",
    }


WHEN = ["create", "x", "--cron", "@daily"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["create", "x", "--", "build"], "say when: give --cron or --interval"),
        (["create", "x", "--cron", "@daily"], "Missing argument"),
        (["create", "x", "--interval", "hourly", "--", "build"], "'hourly' must be a number with s, m, h, d or w"),
        ([*WHEN, "--time-zone", "Berlin", "--", "build"], "'Berlin' is no time zone"),
        ([*WHEN, "--overlap-policy", "Never", "--", "build"], "'Never' is not one of"),
        ([*WHEN, "--catchup-window", "5s", "--", "build"], "must be at least 10s"),
        ([*WHEN, "--start-time", "2026-02-01", "--end-time", "2026-01-01", "--", "build"], "must be before --end-time"),
        ([*WHEN, "--start-time", "tomorrow", "--", "build"], "'tomorrow' is not a time"),
        ([*WHEN, "build", "--select", "a"], "such option '--select'; flags of dbt come after `--`"),
        ([*WHEN, "--", "dance"], "'dance' is no command of dbt; after `--` may come: run, build"),
        ([*WHEN, "--", "worker"], "'worker' is no command of dbt"),
        ([*WHEN, "--", "source"], "'source' is no command of dbt"),
        ([*WHEN, "--", "build", "--no-wait", "--address", "x:1"], "--address, --no-wait is about submitting one run"),
        ([*WHEN, "--", "build", "--dance"], "No such option '--dance'"),
        ([*WHEN, "--", "retry", "a-workflow"], "name the run by its invocation id"),
        ([*WHEN, "--", "build", "--vars", "{day: '{{ schedule_time }}'}"], "did you mean scheduled_time?"),
        ([*WHEN, "--", "run", "--event-time-start", "{{ ds }}", "--event-time-end", "2026-01-01"], "no such date"),
        ([*WHEN, "--", "build", "--data-interval", "daily"], "'daily' must be a number"),
        (["backfill", "x", "--start-time", "2026-01-01"], "Missing option '--end-time'"),
        (["backfill", "x", "--start-time", "2026-01-02", "--end-time", "2026-01-01"], "must be before --end-time"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_sent(created: Created, args: list[str], told: str) -> None:
    exit_code, output = invoke(*args)
    assert exit_code == 2
    assert told in output
    assert created == []


def test_a_schedule_is_no_command_for_dev_to_run() -> None:
    result = CliRunner().invoke(cli, ["dev", "--run", "schedule list"])
    assert result.exit_code == 2
    assert "does not begin with a command" in result.output


@pytest.mark.parametrize(
    "line",
    [
        line
        for page in PAGES
        for block in [*page.blocks("bash"), *page.blocks("bash", "nightly"), *page.blocks("bash", "hourly")]
        for line in block.splitlines()
        if line.startswith("dbt-temporal schedule create")
    ],
)
def test_the_commands_of_the_pages_are_read(created: Created, line: str) -> None:
    exit_code, output = invoke(*shlex.split(line)[2:])
    assert exit_code == 0, output
    assert len(created) == 1


def test_the_pages_link_to_files_that_are_there() -> None:
    assert [page.broken_links() for page in PAGES] == [[], [], []]


def test_policies_are_temporals() -> None:
    assert tuple(OVERLAP_POLICIES) == POLICIES


def test_a_schedule_of_any_origin_has_words() -> None:
    every = ScheduleRange(0, 59, 15)
    calendar = ScheduleCalendarSpec(minute=[every], hour=[ScheduleRange(6), ScheduleRange(8, 10)])
    named = ScheduleCalendarSpec(comment="@daily")
    interval = ScheduleIntervalSpec(every=timedelta(hours=1), offset=timedelta(minutes=10))
    spec = ScheduleSpec(calendars=[calendar, named], intervals=[interval], time_zone_name="Europe/Berlin")
    assert spec_in_words(spec) == "*/15 6,8-10 * * *; @daily; every 1:00:00 offset 0:10:00 (Europe/Berlin)"
