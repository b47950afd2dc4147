"""Runs that Temporal starts by a schedule, and what they are for: against a real server."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.schedules.known import KnownSchedules, When
from dbt_temporal.adapters.temporal.schedules.times import times_between
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.run.input import DbtRunInput, parse_run_input
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.entrypoints.cli.main import cli
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import temporal_binary, wait_for

DATES = {"from": "{{ data_interval_start }}", "to": "{{ data_interval_end }}", "day": "{{ scheduled_time | date }}"}
WEEKDAYS = When(crons=["0 6 * * 1-5"], time_zone="Europe/Berlin")


class Desk:
    """The command line, for a schedule of the test's own."""

    def __init__(self, runs: RunHarness, address: str) -> None:
        self.runs = runs
        self.schedule_id = f"nightly-{uuid4().hex[:8]}"
        self.schedules = KnownSchedules(runs.client, runs.task_queue)
        self.address = address

    async def command(self, *args: str) -> str:
        """The output of `dbt-temporal schedule ...`, which ends well."""
        result = await asyncio.to_thread(self._invoke, args)
        assert result.exit_code == 0, result.output
        return str(result.output)

    async def refused(self, *args: str) -> str:
        result = await asyncio.to_thread(self._invoke, args)
        assert result.exit_code == 2, result.output
        return " ".join(result.output.split())

    def _invoke(self, args: tuple[str, ...]) -> Any:
        command = list(args)
        place = command.index("--") if "--" in command else len(command)
        connection = ["--address", self.address, "--task-queue", self.runs.task_queue]
        return CliRunner().invoke(cli, ["schedule", *command[:place], *connection, *command[place:]])

    async def planned(self, count: int) -> list[DbtInvocation]:
        """What the first runs were, by the time that they are for, once there are as many."""

        async def enough() -> bool:
            return len(self.runs.engine.planned) >= count

        await wait_for(enough, what=f"{count} runs are planned")
        return sorted(self.runs.engine.planned, key=lambda each: each.dates.scheduled_time if each.dates else "")


@pytest.fixture
async def desk(runs: RunHarness, temporal_address: str) -> AsyncIterator[Desk]:
    runs.engine.run_plan = plan(node("a"))
    runs.write_artifacts = True
    await runs.start_worker()
    desk = Desk(runs, temporal_address)
    yield desk
    with suppress(DbtTemporalError):  # the test may have
        await desk.schedules.delete(desk.schedule_id)


def vars_of(invocations: list[DbtInvocation]) -> list[dict[str, Any]]:
    return [each.input.vars for each in invocations]


async def test_a_backfill_runs_each_time_of_the_schedule_with_its_own_dates(desk: Desk) -> None:
    await desk.command(
        *("create", desk.schedule_id, "--cron", "0 6 * * 1-5", "--time-zone", "Europe/Berlin", "--paused"),
        *("--", "build", "--select", "a", "--vars", json.dumps(DATES)),
        *("--event-time-start", "{{ data_interval_start }}", "--event-time-end", "{{ data_interval_end }}"),
    )
    told = await desk.command(
        "backfill", desk.schedule_id, "--start-time", "2026-03-27T05:00:00Z", "--end-time", "2026-03-31T04:00:00Z"
    )
    assert f"{desk.schedule_id} starts 2 runs (BufferAll)" in told
    planned = await desk.planned(2)
    # Friday by winter time, Monday by summer time; Tuesday's is at the end, which is not part of it.
    assert vars_of(planned) == [
        {"from": "2026-03-26T05:00:00+00:00", "to": "2026-03-27T05:00:00+00:00", "day": "2026-03-27"},
        {"from": "2026-03-27T05:00:00+00:00", "to": "2026-03-30T04:00:00+00:00", "day": "2026-03-30"},
    ]
    assert [each.input.event_time_start for each in planned] == [each["from"] for each in vars_of(planned)]
    assert [each.dates.schedule_id for each in planned if each.dates] == [desk.schedule_id] * 2

    async def ended() -> bool:
        described = await desk.runs.client.get_schedule_handle(desk.schedule_id).describe()
        return described.info.num_actions == 2 and not described.info.running_actions

    await wait_for(ended, what="both runs have ended")
    shown = await desk.command("describe", desk.schedule_id)
    assert f"dbt-build-{desk.schedule_id}-2026-03-27T05:00:00Z" in shown
    assert "  when          0 6 * * 1-5\n  time zone     Europe/Berlin\n" in shown


async def test_a_run_of_a_schedule_is_for_the_time_that_the_schedule_meant(desk: Desk) -> None:
    created = await desk.command(
        "create", desk.schedule_id, "--interval", "1s", "--", "build", "--vars", json.dumps(DATES)
    )
    assert "next: 20" in created
    first, second = (await desk.planned(2))[:2]
    await desk.command("delete", desk.schedule_id)
    assert first.dates is not None
    assert first.input.vars["to"] == first.dates.scheduled_time
    [log] = [line async for line in _log_lines(desk.runs.client, f"dbt-build-{desk.schedule_id}", second)]
    assert log.endswith(f"by the schedule {desk.schedule_id!r}; data from {second.input.vars['from']} on")


async def _log_lines(client: Client, prefix: str, invocation: DbtInvocation) -> AsyncIterator[str]:
    assert invocation.dates is not None
    time = invocation.dates.scheduled_time.replace("+00:00", "Z")
    for line in await client.get_workflow_handle(f"{prefix}-{time}").query("run_log"):
        if "The run is for " in line:
            yield line


async def test_a_triggered_run_is_for_its_own_time_and_has_the_data_since_the_schedules_last(desk: Desk) -> None:
    await desk.command("create", desk.schedule_id, "--cron", "0 0 1 1 *", "--", "build", "--vars", json.dumps(DATES))
    assert f"{desk.schedule_id} is triggered" in await desk.command("trigger", desk.schedule_id)
    [run] = await desk.planned(1)
    assert run.dates is not None
    year = run.dates.scheduled_time[:4]
    assert run.input.vars["from"] == f"{year}-01-01T00:00:00+00:00"
    assert run.input.vars["to"] == run.dates.scheduled_time > f"{year}-01-01T00:00:00+00:00"


async def test_temporals_own_command_makes_such_schedules_too(desk: Desk) -> None:
    server = ["--address", desk.address]
    create = [
        *("schedule", "create", "--schedule-id", desk.schedule_id, "--cron", "15 * * * *", "--paused"),
        *("--type", "dbt_run", "--task-queue", desk.runs.task_queue, "--workflow-id", f"plain-{desk.schedule_id}"),
        *("--input", json.dumps({"command": "run", "vars": DATES})),
    ]
    backfill_it = [
        *("schedule", "backfill", "--schedule-id", desk.schedule_id, "--overlap-policy", "BufferAll"),
        *("--start-time", "2026-01-31T05:00:00Z", "--end-time", "2026-01-31T05:30:00Z"),
    ]
    for args in (create, backfill_it):
        await asyncio.to_thread(subprocess.check_output, [str(temporal_binary()), *args, *server])
    [run] = await desk.planned(1)
    assert run.input.vars == {
        "from": "2026-01-31T04:15:00+00:00",
        "to": "2026-01-31T05:15:00+00:00",
        "day": "2026-01-31",
    }
    [listed] = [
        each
        for each in map(json.loads, (await desk.command("list", "--output", "json")).splitlines())
        if each["schedule_id"] == desk.schedule_id
    ]
    assert listed["when"] == "15 * * * *"
    assert listed["paused"]
    assert listed["command"] == "dbt run"
    described = await desk.command("describe", desk.schedule_id)
    for line in (
        f"{desk.schedule_id}: paused",
        "  command       dbt run",
        "  when          15 * * * *",
        "  next runs     none: it is paused",
        "  last runs     2026-01-31 05:15:00 UTC  plain-",
    ):
        assert line in described
    as_json = json.loads(await desk.command("describe", desk.schedule_id, "--output", "json"))
    assert (as_json["when"], as_json["overlap_policy"]) == ("15 * * * *", "Skip")
    assert as_json["input"] == {"command": "run", "vars": DATES}


async def test_a_schedule_is_listed_paused_and_deleted(desk: Desk) -> None:
    said = await desk.command(
        "create", desk.schedule_id, "--cron", "0 6 * * *", "--notes", "the first", "--", "build", "-s", "a stg_*"
    )
    assert said.startswith(f"{desk.schedule_id}: dbt build --select a stg_*\n")

    async def listed() -> dict[str, Any]:
        lines = (await desk.command("list", "--output", "json")).splitlines()
        return next((each for each in map(json.loads, lines) if each["schedule_id"] == desk.schedule_id), {})

    async def is_paused() -> bool:
        return bool((await listed()).get("paused"))

    async def is_active() -> bool:
        return (await listed()).get("paused") is False

    await wait_for(is_active, what="the schedule is listed")
    found = await listed()
    assert (found["when"], found["command"], found["note"]) == ("0 6 * * *", "dbt build --select a stg_*", "the first")
    assert all(time.endswith("T06:00:00+00:00") for time in found["next"])
    await desk.command("pause", desk.schedule_id, "--reason", "the warehouse moves")
    await wait_for(is_paused, what="the schedule is listed as paused")
    assert "note          the warehouse moves" in await desk.command("describe", desk.schedule_id)
    await desk.command("unpause", desk.schedule_id)
    await wait_for(is_active, what="the schedule is listed as active")
    assert "already" in await desk.refused("create", desk.schedule_id, "--cron", "0 6 * * *", "--", "build")
    await desk.command("delete", desk.schedule_id)
    for command in ("describe", "pause", "unpause", "trigger", "delete"):
        assert f"there is no schedule {desk.schedule_id!r}" in await desk.refused(command, desk.schedule_id)


async def test_a_schedule_that_nobody_here_can_read_is_listed_without_its_command(
    desk: Desk, temporal_address: str
) -> None:
    keys = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
    settings = read_settings({"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_CODEC_KEYS": keys}).connection
    others = KnownSchedules(await connect(settings), desk.runs.task_queue)
    await others.create(desk.schedule_id, DbtRunInput(command="build"), When(crons=["0 6 * * *"]), paused=True)

    async def listed() -> list[dict[str, Any]]:
        lines = (await desk.command("list", "--output", "json")).splitlines()
        return [each for each in map(json.loads, lines) if each["schedule_id"] == desk.schedule_id]

    (found,) = await wait_for(listed, what="the schedule is listed")
    assert (found["when"], found["command"]) == ("0 6 * * *", None)


async def test_all_times_of_a_long_backfill_are_known(desk: Desk) -> None:
    every = When(intervals=[(timedelta(minutes=5), timedelta())])
    await desk.schedules.create(desk.schedule_id, DbtRunInput(command="build"), every, paused=True)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    week = (begin - timedelta(seconds=1), begin + timedelta(days=7) - timedelta(seconds=1))
    times = await times_between(desk.runs.client, desk.schedule_id, *week, at_most=None)
    assert (len(times), times[0]) == (7 * 24 * 12, begin)
    assert await times_between(desk.runs.client, desk.schedule_id, *week) == times[-1000:]


async def test_where_an_interval_begins_is_refused_where_the_schedule_cannot_say_it(desk: Desk) -> None:
    jittery = When(crons=["0 6 * * *"], jitter=WEEKDAYS.catchup_window)
    run_input = parse_run_input({"vars": DATES})
    await desk.schedules.create(desk.schedule_id, run_input, jittery)
    await desk.schedules.trigger(desk.schedule_id, None)
    message = await _failure(desk)
    assert "has a jitter" in message
    assert "give data_interval in the run's input" in message
    await desk.schedules.delete(desk.schedule_id)
    told = When(crons=["0 6 * * *"], jitter=WEEKDAYS.catchup_window)
    await desk.schedules.create(desk.schedule_id, parse_run_input({"vars": DATES, "data_interval": "1d"}), told)
    await desk.schedules.trigger(desk.schedule_id, None)
    await desk.planned(1)


async def _failure(desk: Desk) -> str:
    """The message of the schedule's first run, which fails."""

    async def started() -> str | None:
        description = await desk.runs.client.get_schedule_handle(desk.schedule_id).describe()
        actions = description.info.recent_actions
        return actions[-1].action.workflow_id if actions else None  # type: ignore[attr-defined]

    workflow_id = await wait_for(started, what="a run is started")
    return (await desk.runs.gateway.find(workflow_id).outcome()).message or ""


async def test_a_retry_is_for_what_the_retried_run_of_the_schedule_was_for(desk: Desk) -> None:
    desk.runs.engine.script["model.shop.a"] = [FakeEngine.fails("model.shop.a", "no", retryable=False)]
    await desk.schedules.create(desk.schedule_id, parse_run_input({"vars": DATES}), WEEKDAYS, paused=True)
    await desk.command("backfill", desk.schedule_id, "--start-time", "2026-01-30", "--end-time", "2026-01-31")
    [first] = await desk.planned(1)
    workflow_id = f"dbt-build-{desk.schedule_id}-2026-01-30T05:00:00Z"
    assert not (await desk.runs.gateway.find(workflow_id).outcome()).output.success  # type: ignore[union-attr]
    again = await desk.runs.submit({"retry_from": first.invocation_id, "vars": DATES})
    await again.outcome()
    assert desk.runs.engine.planned[-1].input.vars == first.input.vars
    assert desk.runs.engine.planned[-1].dates == first.dates
