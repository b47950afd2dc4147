"""What the commands about schedules do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from temporalio.client import ScheduleActionExecutionStartWorkflow

from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.schedules.known import (
    OVERLAP_POLICIES,
    KnownSchedule,
    KnownSchedules,
    When,
    spec_in_words,
)
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings, build_runtime
from dbt_temporal.domain.details.headline import run_summary
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.entrypoints.cli.submit import Target, connect_to_submit
from dbt_temporal.entrypoints.exit_codes import SUCCESS

SHOWN = 5
"""So many times are told."""


async def create_schedule(
    target: Target, schedule_id: str, run_input: DbtRunInput, when: When, paused: bool, notes: str, out: Console
) -> int:
    """Makes one, and says when it is due next. Returns the exit code."""
    client = await connect_to_submit(target, build_runtime(MetricsSettings()))
    schedules = KnownSchedules(client, target.connection.task_queue)
    times = await schedules.create(schedule_id, run_input, when, paused=paused, notes=notes)
    state = ", paused" if paused else ""
    summary = run_summary(run_input.model_dump(mode="json", exclude_unset=True))
    _print_lines(out, [f"{schedule_id}{state}: {summary}", f"next: {_times(times)}"])
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
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("ID", "STATE", "WHEN", "LAST", "NEXT"):
        table.add_column(name, no_wrap=True)
    table.add_column("COMMAND", overflow="fold")
    for each in found:
        state = "[yellow]paused[/]" if each.paused else "[green]active[/]"
        times = [_time(each.last), _time(None if each.paused or not each.next else each.next[0])]
        table.add_row(each.schedule_id, state, each.spec, *times, each.command)
    out.print(table, soft_wrap=not out.is_terminal)
    return SUCCESS


async def print_schedule(target: Target, schedule_id: str, out: Console) -> int:
    """Says what is known of one. Returns the exit code."""
    described, run_input = await (await _schedules(target)).describe(schedule_id)
    schedule, info = described.schedule, described.info
    policy = next((name for name, each in OVERLAP_POLICIES.items() if each == schedule.policy.overlap), "Skip")
    lines = [
        f"{schedule_id}: {'paused' if schedule.state.paused else 'active'}",
        f"command: {run_summary(run_input)}",
        f"input: {json.dumps(run_input)}",
        f"when: {spec_in_words(schedule.spec)}",
        f"overlap policy: {policy}; catch-up window: {schedule.policy.catchup_window}",
    ]
    if schedule.state.note:
        lines.append(f"note: {schedule.state.note}")
    if info.num_actions_skipped_overlap or info.num_actions_missed_catchup_window:
        lines.append(
            f"not started: {info.num_actions_skipped_overlap} because of the run before, "
            f"{info.num_actions_missed_catchup_window} because they were too late"
        )
    for action in info.recent_actions[-SHOWN:]:
        if isinstance(action.action, ScheduleActionExecutionStartWorkflow):
            lines.append(f"run for {_time(action.scheduled_at)}: {action.action.workflow_id}")
    _print_lines(out, [*lines, f"next: {_times(info.next_action_times)}"])
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
    _print_lines(out, [f"{schedule_id} starts {len(times)} runs ({overlap}): {_times(times)}"])
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


def _time(time: datetime | None) -> str:
    return "-" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _times(times: Sequence[datetime]) -> str:
    more = f" and {len(times) - SHOWN} more" if len(times) > SHOWN else ""
    return ", ".join(_time(each) for each in times[:SHOWN]) + more if times else "never"


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
