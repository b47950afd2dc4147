"""Finds parts of what a run carries in the history of one of its executions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.converter import DataConverter

from dbt_temporal.adapters.temporal.executions.arguments import read_arguments
from dbt_temporal.adapters.temporal.executions.references import digest_of_part, referred_to
from dbt_temporal.adapters.temporal.payloads.plan_pieces import PIECE_SIGNAL
from dbt_temporal.application.run.executions.parts import split_parts

PAGE_EVENTS = 200


async def find_parts(client: Client, workflow_id: str, run_id: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
    """The parts with these digests, as far as they are in the history of one execution.

    Raises:
        RPCError: there is no such history, or the server does not answer.
    """
    wanted = set(digests)
    found: dict[bytes, bytes] = {}
    handle = client.get_workflow_handle(workflow_id, run_id=run_id)
    async for event in handle.fetch_history_events(page_size=PAGE_EVENTS):
        for part in await parts_in(event, client.data_converter):
            digest = digest_of_part(part)
            if digest in wanted:
                found[digest] = part
        if len(found) == len(wanted):
            break
    return found


async def parts_in(event: HistoryEvent, converter: DataConverter) -> list[bytes]:
    """The parts that came with an event: arguments of the execution, or pieces of a plan."""
    started = event.workflow_execution_started_event_attributes
    if started.continued_execution_run_id:
        arguments = await converter.decode(started.input.payloads)
        return carried_parts(arguments)
    signalled = event.workflow_execution_signaled_event_attributes
    if signalled.signal_name == PIECE_SIGNAL:
        _, _, piece = await converter.decode(signalled.input.payloads, [str, int, bytes])
        return [piece]
    return []


def carried_parts(arguments: Sequence[Any]) -> list[bytes]:
    """The parts among the arguments of an execution that goes on with a run; references are none."""
    _, carried = read_arguments(arguments, goes_on=True)
    parts = split_parts(carried or b"")
    return [part for part in parts if not referred_to([part])]
