"""The times of a schedule, as the server counts them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import activity
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error

ANSWER_SECS = 20.0
FIRST_LOOK = timedelta(minutes=10)
LOOKS_BACK = 8
"""Each look reaches further back by this factor, so that a schedule of seconds is not listed for a year."""
FURTHEST_LOOK = timedelta(days=366 * 5)
MAX_TIMES = 1000
"""So many the server lists at once, from the beginning of what it was asked for."""
MOMENT = timedelta(microseconds=1)
_REMEDY = "give data_interval in the run's input, such as 1d"
_LASTING = (RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.INVALID_ARGUMENT)


class TemporalSchedules:
    """Implements `Schedules` within activities, by the client of the worker."""

    async def time_before(self, schedule_id: str, time: datetime) -> datetime:
        try:
            async with asyncio.timeout(ANSWER_SECS):
                return await _time_before(activity.client(), schedule_id, time)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                message = f"the schedule {schedule_id!r} is not there any more, which would say when it was due before"
                raise configuration_error(f"data_interval_start: {message}; {_REMEDY}") from error
            if error.status in _LASTING:
                message = f"the server does not tell the times of the schedule {schedule_id!r} ({error.message})"
                raise configuration_error(f"data_interval_start: {message}; {_REMEDY}") from error
            raise _no_answer(schedule_id, error.message) from error
        except TimeoutError as error:
            raise _no_answer(schedule_id, f"not within {ANSWER_SECS:g} seconds") from error


async def _time_before(client: Client, schedule_id: str, time: datetime) -> datetime:
    spec = (await client.get_schedule_handle(schedule_id).describe()).schedule.spec
    if spec.jitter:
        raise configuration_error(
            f"data_interval_start: the schedule {schedule_id!r} has a jitter, so that its times are not those that it "
            f"means; {_REMEDY}"
        )
    reach = FIRST_LOOK
    while reach / LOOKS_BACK < FURTHEST_LOOK:
        found = await times_between(client, schedule_id, time - reach, time - MOMENT)
        if found:
            return found[-1]
        reach *= LOOKS_BACK
    if spec.start_at is not None and spec.start_at < time:
        return spec.start_at
    raise configuration_error(
        f"data_interval_start: the schedule {schedule_id!r} has no time before {time.isoformat()}; {_REMEDY}"
    )


async def times_between(
    client: Client, schedule_id: str, after: datetime, until: datetime, at_most: int | None = MAX_TIMES
) -> list[datetime]:
    """The times of a schedule after the one and up to the other, in order; the last ones, where there are more."""
    found: list[datetime] = []
    while True:
        request = ListScheduleMatchingTimesRequest(
            namespace=client.namespace,
            schedule_id=schedule_id,
            start_time=_timestamp(found[-1] if found else after),
            end_time=_timestamp(until),
        )
        answer = await client.workflow_service.list_schedule_matching_times(request)
        more = [each.ToDatetime(tzinfo=UTC) for each in answer.start_time]
        found += more
        if at_most is not None:
            del found[:-at_most]
        if len(more) < MAX_TIMES:
            return found


def _timestamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _no_answer(schedule_id: str, reason: str) -> DbtTemporalError:
    message = f"the times of the schedule {schedule_id!r} cannot be asked for: {reason}"
    return DbtTemporalError(ErrorType.ENGINE_CRASHED, message, retryable=True)
