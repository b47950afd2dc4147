"""Finds what steps leave out of a run's input in its history: in the result of its planning, or in what an execution
before this one has carried here."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from temporalio import activity
from temporalio.api.history.v1 import HistoryEvent
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.executions.arguments import read_arguments
from dbt_temporal.adapters.temporal.executions.in_history import parts_in
from dbt_temporal.adapters.temporal.executions.references import digest_of_part, referred_to, resolved
from dbt_temporal.application.run.executions.carried import Unpacked
from dbt_temporal.application.run.executions.parts import split_parts
from dbt_temporal.application.steps.table import PLAN_PROJECT
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import DbtInvocation, LeftOut

MAX_KNOWN = 64
PAGE_EVENTS = 10
"""A plan is among the first events of a run, and may be large."""


class _HasInvocation(BaseModel):
    invocation: DbtInvocation


async def _carried(event: HistoryEvent) -> list[bytes]:
    payloads = event.workflow_execution_started_event_attributes.input.payloads
    _, carried = read_arguments(await activity.client().data_converter.decode(payloads), goes_on=True)
    return split_parts(carried or b"")


class LeftOutInHistory:
    """Implements `LeftOutInputs`. What was found is kept, since each step of a run asks for the same."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    async def find(self, left_out: LeftOut) -> Mapping[str, Any]:
        """See `LeftOutInputs`. A server that does not answer is a reason to try the step again."""
        if left_out.digest not in self._known:
            info = activity.info()
            what = ", ".join(left_out.fields)
            try:
                found = await self._in_history(info.workflow_id or "", info.workflow_run_id, left_out)
            except RPCError as error:
                raise DbtTemporalError(
                    ErrorType.ENGINE_CRASHED, f"the run's {what} cannot be asked for: {error.message}", retryable=True
                ) from error
            if found is None:
                message = f"the run's {what} are not in its history"
                raise DbtTemporalError(ErrorType.CONFIGURATION, message, retryable=False)
            self._known[left_out.digest] = found
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(left_out.digest)
        return self._known[left_out.digest]

    async def _in_history(self, workflow_id: str, run_id: str | None, left_out: LeftOut) -> Mapping[str, Any] | None:
        handle = activity.client().get_workflow_handle(workflow_id, run_id=run_id)
        plans: set[int] = set()
        carried: list[bytes] = []
        parts: dict[bytes, bytes] = {}
        async for event in handle.fetch_history_events(page_size=PAGE_EVENTS):
            if event.workflow_execution_started_event_attributes.continued_execution_run_id:
                carried = await _carried(event)
            parts |= {digest_of_part(part): part for part in await parts_in(event, activity.client().data_converter)}
            if carried and parts.keys() >= set(referred_to(carried)):
                found = left_out.of(await self._input_in_plan(resolved(carried, parts)))
                carried = []
                if found is not None:
                    return found
            if event.activity_task_scheduled_event_attributes.activity_type.name == PLAN_PROJECT.name:
                plans.add(event.event_id)
            if event.activity_task_completed_event_attributes.scheduled_event_id in plans:
                found = left_out.of(await self._input_in(event))
                if found is not None:
                    return found
        return None

    async def _input_in_plan(self, parts: list[bytes]) -> Mapping[str, Any]:
        *_, plan = await asyncio.to_thread(lambda: list(Unpacked(parts).plan()))
        assert plan is not None
        return plan.planned.invocation.input.model_dump(mode="json")

    async def _input_in(self, event: HistoryEvent) -> Mapping[str, Any]:
        payloads = event.activity_task_completed_event_attributes.result.payloads
        # The whole plan has it, as has what says that the plan came in pieces.
        (planned,) = await activity.client().data_converter.decode(payloads, [_HasInvocation])
        assert isinstance(planned, _HasInvocation)
        return planned.invocation.input.model_dump(mode="json")
