"""What nobody can decode ends what it was sent to, with words; by default Temporal would try again for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import AsyncActivityHandle, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness, history, scheduled

SOON = timedelta(seconds=60).total_seconds()

BROKEN: dict[str, Payload] = {
    "lone surrogate": Payload(metadata={"encoding": b"json/plain"}, data=b'{"project": "\\ud800"}'),
    "nesting": Payload(metadata={"encoding": b"json/plain"}, data=b'{"vars": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "broken JSON": Payload(metadata={"encoding": b"json/plain"}, data=b'{"project": "hunter2'),
    "no JSON": Payload(metadata={"encoding": b"json/plain"}, data=b"\xff\xfe\x00"),
    "no encoding": Payload(data=b"{}"),
    "unknown encoding": Payload(metadata={"encoding": b"binary/snappy"}, data=b"{}"),
    "unknown message": Payload(
        metadata={"encoding": b"json/protobuf", "messageType": b"acme.Order"}, data=b'{"id": 1}'
    ),
    "long number": Payload(metadata={"encoding": b"json/plain"}, data=b'{"vars": {"a": ' + b"9" * 5000 + b"}}"),
    "wrong compression": Payload(metadata={"encoding": b"binary/zlib"}, data=b"no zlib"),
    "bytes": Payload(metadata={"encoding": b"binary/plain"}, data=b"{}"),
}


async def ended(runs: RunHarness, *arguments: Any) -> Outcome:
    run = await runs.submit_raw(arguments)
    outcome = await asyncio.wait_for(run.outcome(), SOON)
    assert scheduled(await history(run.handle)) == []
    return outcome


@pytest.mark.parametrize("payload", BROKEN.values(), ids=BROKEN.keys())
async def test_an_input_that_cannot_be_decoded_fails_the_run_at_once(runs: RunHarness, payload: Payload) -> None:
    outcome = await ended(runs, RawValue(payload))
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration")
    assert "hunter2" not in (outcome.message or "")


async def test_values_nested_as_deep_as_they_can_be_decoded_run_or_are_refused(runs: RunHarness) -> None:
    endings = set()
    for depth in (150, *range(180, 200, 3), 199, 200, 250):
        data = b'{"vars": {"a": ' + b"[" * depth + b"1" + b"]" * depth + b"}}"
        run = await runs.submit_raw([RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))])
        outcome = await asyncio.wait_for(run.outcome(), SOON)
        endings.add((outcome.ending, outcome.error_type))
    assert endings == {(Ending.COMPLETED, None), (Ending.FAILED, "Configuration")}


async def test_two_arguments_are_refused_with_their_number(runs: RunHarness) -> None:
    outcome = await ended(runs, {"command": "run"}, {"command": "test"})
    assert outcome.error_type == "Configuration"
    assert "takes one argument, a JSON object; got 2" in (outcome.message or "")
    assert (await ended(runs, {}, RawValue(BROKEN["broken JSON"]))).error_type == "Configuration"


async def running_node(runs: RunHarness) -> tuple[Any, AsyncActivityHandle]:
    """A run whose only node runs for ever, and the node's activity as people address it by hand."""
    a = node("a")
    runs.engine.run_plan = plan(a)
    runs.engine.gates[a.unique_id] = asyncio.Event()
    run = await runs.submit({"command": "run"})
    await runs.has_begun(a.unique_id)
    (activity_id,) = [
        event.activity_task_scheduled_event_attributes.activity_id
        for event in await history(run.handle)
        if event.activity_task_scheduled_event_attributes.activity_type.name == "model:a"
    ]
    activity = runs.client.get_async_activity_handle(workflow_id=run.workflow_id, run_id=None, activity_id=activity_id)
    return run, activity


@pytest.mark.parametrize(
    "answer",
    ["ok", {"result": {"unique_id": 7}}, RawValue(BROKEN["broken JSON"]), RawValue(BROKEN["no encoding"]), None],
)
async def test_a_node_that_is_completed_by_hand_with_a_wrong_result_fails(runs: RunHarness, answer: Any) -> None:
    run, activity = await running_node(runs)
    await activity.complete(answer)
    outcome = await asyncio.wait_for(run.outcome(), SOON)
    assert outcome.output is not None
    (result,) = outcome.output.node_results
    assert result.status == "error"
    assert "was completed" in (result.message or "")


async def test_a_node_that_is_failed_by_hand_with_details_that_nobody_can_read_fails(runs: RunHarness) -> None:
    run, activity = await running_node(runs)
    await activity.fail(ApplicationError("by hand", RawValue(BROKEN["unknown encoding"]), non_retryable=True))
    outcome = await asyncio.wait_for(run.outcome(), SOON)
    assert outcome.output is not None
    (result,) = outcome.output.node_results
    assert (result.status, result.message) == ("error", "error: by hand")


async def test_an_update_that_cannot_be_decoded_is_refused_and_the_run_goes_on(runs: RunHarness) -> None:
    run, _ = await running_node(runs)
    for broken in (BROKEN["broken JSON"], BROKEN["no encoding"]):
        with pytest.raises(WorkflowUpdateFailedError):
            await run.handle.execute_update("set_fail_fast", RawValue(broken))
    runs.engine.gates[node("a").unique_id].set()
    assert (await run.outcome()).ending is Ending.COMPLETED
