"""What the commands about schedules do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.schedules.known import KnownSchedule, KnownSchedules, When
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings, build_runtime
from dbt_temporal.domain.details.headline import headline
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli.schedules.shown import description_json, description_lines, next_runs
from dbt_temporal.entrypoints.cli.shown.rows import print_rows
from dbt_temporal.entrypoints.cli.submit import Target, connect_to_submit
from dbt_temporal.entrypoints.exit_codes import SUCCESS


async def create_schedule(
    target: Target, schedule_id: str, run_input: DbtRunInput, when: When, paused: bool, notes: str, out: Console
) -> int:
    """Makes one, and says when it is due next. Returns the exit code."""
    client = await connect_to_submit(target, build_runtime(MetricsSettings()))
    schedules = KnownSchedules(client, target.connection.task_queue)
    times = await schedules.create(schedule_id, run_input, when, paused=paused, notes=notes)
    state = ", paused" if paused else ""
    summary = headline(run_input.model_dump(mode="json", exclude_unset=True))
    _print_lines(out, [f"{schedule_id}{state}: {summary}", f"next: {next_runs(times)}"])
    return SUCCESS


async def print_schedules(target: Target, as_json: bool, out: Console) -> int:
    """Lists them. Returns the exit code."""
    found = await (await _schedules(target)).all()
    if as_json:
        for each in found:
            print(json.dumps(_as_json(each)), file=out.file)
        return SUCCESS
    if not found:
        out.print("No schedule runs dbt.")
        return SUCCESS
    show_schedules(found, out)
    return SUCCESS


def show_schedules(found: Sequence[KnownSchedule], out: Console) -> None:
    """Prints a row for each; on a narrow terminal, ids and commands stand below."""
    width = max(len(each.schedule_id) for each in found)
    header = ("STATE", "NEXT", "LAST", "WHEN", f"{'ID':<{width}}  COMMAND")
    print_rows(out, header, [_row(each, width) for each in found])


async def print_schedule(target: Target, schedule_id: str, as_json: bool, out: Console) -> int:
    """Says what is known of one. Returns the exit code."""
    described, run_input = await (await _schedules(target)).describe(schedule_id)
    if as_json:
        print(description_json(described, run_input), file=out.file)
        return SUCCESS
    _print_lines(out, description_lines(described, run_input))
    return SUCCESS


async def backfill(target: Target, schedule_id: str, start: datetime, end: datetime, overlap: str, out: Console) -> int:
    """Has runs started for a time that is over, and says for which times. Returns the exit code.

    Raises:
        DbtTemporalError: of type Configuration, where the schedule has no time in there.
    """
    times = await (await _schedules(target)).backfill(schedule_id, start, end, overlap)
    if not times:
        between = f"from {start.isoformat()} on before {end.isoformat()}"
        raise configuration_error(f"the schedule {schedule_id!r} has no time {between}: nothing is started")
    _print_lines(out, [f"{schedule_id} starts {len(times)} runs ({overlap}): {next_runs(times)}"])
    return SUCCESS


async def change(target: Target, act: Callable[[KnownSchedules], Awaitable[None]], done: str, out: Console) -> int:
    """Does something about one, and says so. Returns the exit code."""
    await act(await _schedules(target))
    _print_lines(out, [done])
    return SUCCESS


async def _schedules(target: Target) -> KnownSchedules:
    client = await connect(target.connection, runtime=build_runtime(MetricsSettings()))
    return KnownSchedules(client, target.connection.task_queue)


def _print_lines(out: Console, lines: Sequence[str]) -> None:
    for line in lines:
        out.print(line, soft_wrap=True, markup=False)


def _row(schedule: KnownSchedule, width: int) -> list[Text]:
    upcoming = None if schedule.paused or not schedule.next else schedule.next[0]
    return [
        Text("paused", style="yellow") if schedule.paused else Text("active", style="green"),
        Text(_time(upcoming)),
        Text(_time(schedule.last)),
        Text(schedule.spec),
        Text(f"{schedule.schedule_id:<{width}}  {schedule.command}"),
    ]


def _time(time: datetime | None) -> str:
    return "-" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def _as_json(schedule: KnownSchedule) -> dict[str, object]:
    return {
        "schedule_id": schedule.schedule_id,
        "paused": schedule.paused,
        "note": schedule.note or None,
        "when": schedule.spec,
        "command": schedule.command or None,
        "last": schedule.last.isoformat() if schedule.last else None,
        "next": [each.isoformat() for each in schedule.next],
    }
