from __future__ import annotations

import json

from temporalio.contrib.pydantic import pydantic_data_converter

from dbt_temporal.adapters.temporal.failures import refusal, to_step_failed
from dbt_temporal.adapters.temporal.workflow.handing_on import HandingOn
from dbt_temporal.application.steps.messages import ExecuteNodeInput
from dbt_temporal.domain.errors import ErrorType
from tests.unit.steps.test_use_cases import invocation
from tests.unit.temporal.test_failures import STEP, activity_error

A = "model.shop.a"


def test_three_steps_of_a_turn_are_handed_on_and_the_next_turn_has_room_again() -> None:
    handing_on = HandingOn()
    room = []
    for events in (4, 4, 4, 4, 9):
        room.append(handing_on.has_room(events))
        handing_on.sent(events)
    assert room == [True, True, True, False, True]


def test_a_refusal_says_that_nothing_was_done() -> None:
    failure = to_step_failed(activity_error(refusal("tasks/one")), STEP)
    assert failure.refused
    assert failure.error_type is ErrorType.CONFIGURATION
    assert "tasks/one" in failure.message


async def test_a_release_that_knows_no_keepers_finds_no_node_in_what_is_for_one_worker() -> None:
    request = ExecuteNodeInput(invocation=invocation(), unique_id=A)
    kept = request.model_copy(update={"keeper": "tasks/one"})
    (plain, payload) = await pydantic_data_converter.encode([request, kept])
    assert json.loads(plain.data)["unique_id"] == A
    assert "unique_id" not in json.loads(payload.data)
    assert await pydantic_data_converter.decode([payload], [ExecuteNodeInput]) == [kept]
