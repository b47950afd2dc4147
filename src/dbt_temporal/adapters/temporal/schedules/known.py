"""The schedules of a namespace that run dbt: made, looked at and changed by people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleListActionStartWorkflow,
    ScheduleListDescription,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.adapters.temporal.gateway import COMMAND_MEMO, WORKFLOW_TYPE, asked_for
from dbt_temporal.adapters.temporal.schedules.times import MOMENT, times_between
from dbt_temporal.domain.details.headline import headline, run_summary
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.run.input import DbtRunInput

OVERLAP_POLICIES: Mapping[str, ScheduleOverlapPolicy] = {
    "Skip": ScheduleOverlapPolicy.SKIP,
    "BufferOne": ScheduleOverlapPolicy.BUFFER_ONE,
    "BufferAll": ScheduleOverlapPolicy.BUFFER_ALL,
    "CancelOther": ScheduleOverlapPolicy.CANCEL_OTHER,
    "TerminateOther": ScheduleOverlapPolicy.TERMINATE_OTHER,
    "AllowAll": ScheduleOverlapPolicy.ALLOW_ALL,
}
"""By the names that `temporal schedule create` has for them."""
ASKED_AT_ONCE = 10


@dataclass(frozen=True)
class When:
    """When a schedule starts runs, and what happens where that does not go smoothly.

    Attributes:
        crons: cron expressions, as Temporal reads them.
        intervals: how often, each with an offset from 1970.
        time_zone: of the cron expressions; empty for UTC.
        overlap: what happens where the run before is still there, one of OVERLAP_POLICIES.
        catchup_window: how late a run may be started that was missed while the server was away.
        jitter: by how much at most each start is put off at random.
        start_at, end_at: nothing is started before and after.
        pause_on_failure: whether a failed run pauses the schedule.
    """

    crons: Sequence[str] = ()
    intervals: Sequence[tuple[timedelta, timedelta]] = ()
    time_zone: str = ""
    overlap: str = "Skip"
    catchup_window: timedelta = timedelta(days=365)
    jitter: timedelta | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    pause_on_failure: bool = False

    def spec(self) -> ScheduleSpec:
        return ScheduleSpec(
            # The server keeps what an expression means; as a comment, it keeps the expression itself for readers.
            cron_expressions=[f"{cron} # {cron}" for cron in self.crons],
            intervals=[ScheduleIntervalSpec(every=every, offset=offset or None) for every, offset in self.intervals],
            start_at=self.start_at,
            end_at=self.end_at,
            jitter=self.jitter,
            time_zone_name=self.time_zone or None,
        )

    def policy(self) -> SchedulePolicy:
        return SchedulePolicy(
            overlap=OVERLAP_POLICIES[self.overlap],
            catchup_window=self.catchup_window,
            pause_on_failure=self.pause_on_failure,
        )


@dataclass(frozen=True)
class KnownSchedule:
    """One schedule.

    Attributes:
        schedule_id: its id.
        spec: when it starts runs, in words.
        command: what it runs; empty where nobody here can read that.
        paused: whether it starts nothing.
        note: what somebody has said of it.
        last: the time that its last run was for; None where there was none.
        next: the times of its next runs.
    """

    schedule_id: str
    spec: str
    command: str
    paused: bool
    note: str
    last: datetime | None
    next: Sequence[datetime] = field(default_factory=tuple)


class KnownSchedules:
    """Raises DbtTemporalErrors of type Configuration, where the server does not know a schedule, or refuses."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def create(
        self, schedule_id: str, run_input: DbtRunInput, when: When, *, paused: bool = False, notes: str = ""
    ) -> Sequence[datetime]:
        """Makes a schedule of runs. Returns the times of its next runs."""
        given = run_input.model_dump(mode="json", exclude_unset=True)
        action = ScheduleActionStartWorkflow(
            WORKFLOW_TYPE,
            given,
            # The server adds the time that a run is for.
            id=f"dbt-{run_input.command}-{schedule_id}",
            task_queue=self._task_queue,
            memo={COMMAND_MEMO: asked_for(given)},
            static_summary=run_summary(given),
        )
        schedule = Schedule(
            action=action,
            spec=when.spec(),
            policy=when.policy(),
            state=ScheduleState(paused=paused, note=notes or None),
        )
        async with _refusals(schedule_id):
            try:
                handle = await self._client.create_schedule(schedule_id, schedule, memo={COMMAND_MEMO: headline(given)})
            except ScheduleAlreadyRunningError as error:
                message = f"there is a schedule {schedule_id!r} already: delete it first, or give another ID"
                raise configuration_error(message) from error
            return (await handle.describe()).info.next_action_times

    async def all(self) -> list[KnownSchedule]:
        """Those that start runs of dbt, by their ids."""
        async with _refusals(""):
            found = [await _known(each) async for each in await self._client.list_schedules() if _runs_dbt(each)]
        limit = asyncio.Semaphore(ASKED_AT_ONCE)
        found = await asyncio.gather(*(self._with_command(each, limit) for each in found))
        return sorted(found, key=lambda each: each.schedule_id)

    async def _with_command(self, known: KnownSchedule, limit: asyncio.Semaphore) -> KnownSchedule:
        """With what it runs, which the list does not have of schedules that others have made."""
        if known.command:
            return known
        try:
            async with limit:
                _, run_input = await self.describe(known.schedule_id)
            return replace(known, command=headline(run_input))
        except (DbtTemporalError, FailureError):  # it is gone, or a key is missing
            return known

    async def describe(self, schedule_id: str) -> tuple[ScheduleDescription, dict[str, Any]]:
        """What the server knows of one, and the input of its runs, without the values of `env`."""
        async with _refusals(schedule_id):
            description = await self._handle(schedule_id).describe()
        action = description.schedule.action
        if not isinstance(action, ScheduleActionStartWorkflow) or action.workflow != WORKFLOW_TYPE:
            raise configuration_error(f"the schedule {schedule_id!r} starts no runs of dbt")
        payloads = await self._client.data_converter.decode(action.args) if action.args else []
        given = payloads[0] if payloads and isinstance(payloads[0], dict) else {}
        return description, {**given, **({"env": dict.fromkeys(given["env"], "***")} if given.get("env") else {})}

    async def pause(self, schedule_id: str, reason: str) -> None:
        """Has it start nothing."""
        async with _refusals(schedule_id):
            await self._handle(schedule_id).pause(note=reason)

    async def unpause(self, schedule_id: str, reason: str) -> None:
        """Has it start runs again."""
        async with _refusals(schedule_id):
            await self._handle(schedule_id).unpause(note=reason)

    async def trigger(self, schedule_id: str, overlap: str | None) -> None:
        """Has it start a run now."""
        async with _refusals(schedule_id):
            await self._handle(schedule_id).trigger(overlap=OVERLAP_POLICIES[overlap] if overlap else None)

    async def backfill(self, schedule_id: str, start: datetime, end: datetime, overlap: str) -> list[datetime]:
        """Has it start the runs of a time that is over: those from `start` on that come before `end`.

        Returns:
            the times that they are for, in order; where there are none, nothing is asked for.
        """
        async with _refusals(schedule_id):
            after, until = start - MOMENT, end - MOMENT
            times = await times_between(self._client, schedule_id, after, until, at_most=None)
            if times:
                policy = OVERLAP_POLICIES[overlap]
                await self._handle(schedule_id).backfill(ScheduleBackfill(start_at=after, end_at=until, overlap=policy))
        return times

    async def delete(self, schedule_id: str) -> None:
        """Deletes it; runs that it has started go on."""
        async with _refusals(schedule_id):
            await self._handle(schedule_id).delete()

    def _handle(self, schedule_id: str) -> ScheduleHandle:
        return self._client.get_schedule_handle(schedule_id)


def spec_in_words(spec: ScheduleSpec) -> str:
    """When a schedule is due: expressions where they are known, for those that came by other ways what they mean."""
    parts = [cron.partition("#")[0].strip() for cron in spec.cron_expressions]
    for calendar in spec.calendars:
        fields = ("minute", "hour", "day_of_month", "month", "day_of_week")
        parts.append(calendar.comment or " ".join(_ranges(name, getattr(calendar, name)) for name in fields))
    for interval in spec.intervals:
        offset = f" offset {interval.offset}" if interval.offset else ""
        parts.append(f"every {interval.every}{offset}")
    zone = f" ({spec.time_zone_name})" if spec.time_zone_name and spec.time_zone_name != "UTC" else ""
    return "; ".join(parts) + zone


_WHOLE = {"minute": (0, 59), "hour": (0, 23), "day_of_month": (1, 31), "month": (1, 12), "day_of_week": (0, 6)}


def _ranges(name: str, ranges: Sequence[Any]) -> str:
    words = []
    for each in ranges:
        first, last, step = each.start, max(each.start, each.end), max(each.step, 1)
        whole = "*" if (first, last) == _WHOLE[name] else str(first) if first == last else f"{first}-{last}"
        words.append(whole if step == 1 else f"{whole}/{step}")
    return ",".join(words) or "*"


def _runs_dbt(listed: ScheduleListDescription) -> bool:
    action = listed.schedule.action if listed.schedule else None
    return isinstance(action, ScheduleListActionStartWorkflow) and action.workflow == WORKFLOW_TYPE


async def _known(listed: ScheduleListDescription) -> KnownSchedule:
    assert listed.schedule is not None
    recent = listed.info.recent_actions if listed.info else []
    return KnownSchedule(
        schedule_id=listed.id,
        spec=spec_in_words(listed.schedule.spec),
        command=await _command(listed),
        paused=listed.schedule.state.paused,
        note=listed.schedule.state.note or "",
        last=recent[-1].scheduled_at if recent else None,
        next=listed.info.next_action_times if listed.info else (),
    )


async def _command(listed: ScheduleListDescription) -> str:
    try:
        return str((await listed.memo()).get(COMMAND_MEMO) or "")
    except (DbtTemporalError, FailureError):  # a key is missing
        return ""


@asynccontextmanager
async def _refusals(schedule_id: str) -> AsyncIterator[None]:
    try:
        yield
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND and schedule_id:
            raise configuration_error(f"there is no schedule {schedule_id!r}") from error
        which = f" for the schedule {schedule_id!r}" if schedule_id else ""
        raise configuration_error(f"the server does not take it{which}: {error.message}") from error
