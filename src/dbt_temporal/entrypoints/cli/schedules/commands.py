"""The commands about schedules: what `--help` says of each, and its flags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click

from dbt_temporal.domain.dates.logical_dates import INTERVAL_FORM, in_utc, read_interval
from dbt_temporal.entrypoints.cli.flags import CONNECTION_FLAGS, with_flags
from dbt_temporal.entrypoints.cli.input_flags import Decorator
from dbt_temporal.entrypoints.cli.running import run_at_server

POLICIES = ("Skip", "BufferOne", "BufferAll", "CancelOther", "TerminateOther", "AllowAll")
MIN_CATCHUP = timedelta(seconds=10)
"""The server takes no less."""
_ID: Decorator = click.argument("schedule_id", metavar="ID")


def _overlap(default: str | None, what: str) -> Decorator:
    return click.option(
        "--overlap-policy", type=click.Choice(POLICIES, case_sensitive=False), default=default,
        show_default=default is not None, help=what,
    )  # fmt: skip


def _length(_ctx: click.Context, _param: click.Parameter, value: str | None) -> timedelta | None:
    return None if value is None else _as_length(value)


def _intervals(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> list[tuple[timedelta, timedelta]]:
    parts = [value.partition("/") for value in values]
    return [(_as_length(every), _as_length(offset) if offset else timedelta()) for every, _, offset in parts]


def _as_length(text: str) -> timedelta:
    length = read_interval(text)
    if length is None:
        raise click.BadParameter(f"{text!r} must be {INTERVAL_FORM}")
    return length


def _time(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else in_utc(value)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{value!r} is not a time; write it like 2026-01-31 or 2026-01-31T06:00:00+01:00"
        ) from error


def _zone(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        ZoneInfo(value or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise click.BadParameter(f"{value!r} is no time zone; write it like Europe/Berlin") from error
    return value


def _start_time(required: bool) -> list[Decorator]:
    return [
        click.option("--start-time", metavar="TIME", required=required, callback=_time, help="From this time on."),
        click.option("--end-time", metavar="TIME", required=required, callback=_time, help="Before this time."),
    ]


class _Create(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "" if "--" in args else "; flags of dbt come after `--` and the dbt command"
            raise click.UsageError(f"{error.format_message().rstrip('.')}{hint}.", ctx) from error


@click.group()
def schedule() -> None:
    """Have Temporal start runs by itself, at the times of a schedule."""


_CREATE: list[Decorator] = [
    _ID,
    click.argument("words", metavar="-- COMMAND [FLAGS]...", nargs=-1, type=click.UNPROCESSED, required=True),
    click.option("--cron", "crons", metavar="CRON", multiple=True, help="When: '30 2 * * 1-5', '@daily'. Repeatable."),
    click.option(
        "--interval", "intervals", metavar="EVERY[/OFFSET]", multiple=True, callback=_intervals,
        help="How often: 1h, or 1h/15m for a quarter past each hour. Repeatable.",
    ),
    click.option("--time-zone", default="", metavar="ZONE", callback=_zone, help="Of --cron [default: UTC]."),
    _overlap("Skip", "What happens where the run before is still there."),
    click.option(
        "--catchup-window", default="365d", show_default=True, metavar="TIME", callback=_length,
        help="How late a run may be started that was missed while the server was away.",
    ),
    click.option("--jitter", metavar="TIME", callback=_length, help="Put each start off at random, at most by this."),
    *_start_time(required=False),
    click.option("--pause-on-failure", is_flag=True, help="Pause the schedule when a run has failed."),
    click.option("--paused", is_flag=True, help="Begin as paused."),
    click.option("--notes", default="", metavar="TEXT", help="What people should know of it."),
    *CONNECTION_FLAGS,
]  # fmt: skip


@schedule.command(cls=_Create)
@with_flags(_CREATE)
def create(schedule_id: str, words: tuple[str, ...], paused: bool, notes: str, **flags: Any) -> None:
    """Make a schedule with the id ID. After `--` comes the dbt command with its flags, as it would be submitted:

    dbt-temporal schedule create nightly --cron '30 2 * * *' --time-zone Europe/Berlin -- build --select tag:nightly
    """
    from dbt_temporal.adapters.temporal.schedules.known import When
    from dbt_temporal.entrypoints.cli.schedules.actions import create_schedule
    from dbt_temporal.entrypoints.cli.schedules.input import input_of_words

    if not flags["crons"] and not flags["intervals"]:
        raise click.UsageError("say when: give --cron or --interval.")
    if flags["catchup_window"] < MIN_CATCHUP:
        raise click.BadParameter(f"must be at least {MIN_CATCHUP.seconds}s", param_hint="'--catchup-window'")
    start, end = flags["start_time"], flags["end_time"]
    if start is not None and end is not None and start >= end:
        raise click.UsageError("--start-time must be before --end-time.")
    root = click.get_current_context().find_root().command
    run_input = input_of_words(root, words)
    when = When(
        crons=flags["crons"],
        intervals=flags["intervals"],
        time_zone=flags["time_zone"],
        overlap=flags["overlap_policy"],
        catchup_window=flags["catchup_window"],
        jitter=flags["jitter"],
        start_at=start,
        end_at=end,
        pause_on_failure=flags["pause_on_failure"],
    )
    run_at_server(flags, lambda target, out: create_schedule(target, schedule_id, run_input, when, paused, notes, out))


@schedule.command("list")
@with_flags(
    [
        click.option("--output", type=click.Choice(["text", "json"]), default="text", help="One JSON object a line."),
        *CONNECTION_FLAGS,
    ]
)
def list_(output: str, **flags: Any) -> None:
    """List the schedules that run dbt, of the whole namespace."""
    from dbt_temporal.entrypoints.cli.schedules.actions import print_schedules

    run_at_server(flags, lambda target, out: print_schedules(target, output == "json", out))


@schedule.command()
@with_flags(
    [
        _ID,
        click.option("--output", type=click.Choice(["text", "json"]), default="text", help="One JSON object."),
        *CONNECTION_FLAGS,
    ]
)
def describe(schedule_id: str, output: str, **flags: Any) -> None:
    """Say what the schedule ID runs and when, with its last and its next runs."""
    from dbt_temporal.entrypoints.cli.schedules.actions import print_schedule

    run_at_server(flags, lambda target, out: print_schedule(target, schedule_id, output == "json", out))


def _toggle(name: str, what: str, done: str) -> click.Command:
    def callback(schedule_id: str, reason: str | None, **flags: Any) -> None:
        from dbt_temporal.entrypoints.cli.schedules.actions import change

        said = reason or f"{done} by dbt-temporal at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        act: Callable[[Any], Any] = lambda schedules: getattr(schedules, name)(schedule_id, said)  # noqa: E731
        run_at_server(flags, lambda target, out: change(target, act, f"{schedule_id} is {done}", out))

    callback.__doc__ = what
    reason = click.option("--reason", metavar="TEXT", help="Why; it is kept as the schedule's note.")
    return click.command(name)(with_flags([_ID, reason, *CONNECTION_FLAGS])(callback))


schedule.add_command(_toggle("pause", "Have the schedule ID start nothing; runs that go on are left alone.", "paused"))
schedule.add_command(_toggle("unpause", "Have the schedule ID start runs again.", "unpaused"))


@schedule.command()
@with_flags([_ID, _overlap(None, "In place of the schedule's own."), *CONNECTION_FLAGS])
def trigger(schedule_id: str, overlap_policy: str | None, **flags: Any) -> None:
    """Have the schedule ID start a run now, which is for this time."""
    from dbt_temporal.entrypoints.cli.schedules.actions import change

    run_at_server(
        flags,
        lambda target, out: change(
            target, lambda schedules: schedules.trigger(schedule_id, overlap_policy), f"{schedule_id} is triggered", out
        ),
    )


@schedule.command()
@with_flags(
    [
        _ID,
        *_start_time(required=True),
        _overlap("BufferAll", "BufferAll does one run after the other, AllowAll all at once."),
        *CONNECTION_FLAGS,
    ]
)
def backfill(schedule_id: str, start_time: datetime, end_time: datetime, overlap_policy: str, **flags: Any) -> None:
    """Have the schedule ID start the runs of a time that is over, each for its own time."""
    from dbt_temporal.entrypoints.cli.schedules.actions import backfill as backfill_schedule

    if start_time >= end_time:
        raise click.UsageError("--start-time must be before --end-time.")
    run_at_server(
        flags, lambda target, out: backfill_schedule(target, schedule_id, start_time, end_time, overlap_policy, out)
    )


@schedule.command()
@with_flags([_ID, *CONNECTION_FLAGS])
def delete(schedule_id: str, **flags: Any) -> None:
    """Delete the schedule ID; runs that it has started go on."""
    from dbt_temporal.entrypoints.cli.schedules.actions import change

    run_at_server(
        flags,
        lambda target, out: change(
            target, lambda schedules: schedules.delete(schedule_id), f"{schedule_id} is deleted", out
        ),
    )
