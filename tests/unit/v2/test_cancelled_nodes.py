"""What becomes of the nodes of a process of dbt v2 that is ended for one of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dbt_temporal.adapters.dbt_v2.processes import course as course_module
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.testing.waiting import until
from tests.unit.v2.told import TRANSIENT, A, B, C, Course, D, Heard, begun, completed, end, ended, error, hear

CANCELLED = ("Cancelled", "TaskCancelled (dbt1404)")


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.setattr(course_module, "JOIN_SECS", 0.0)
    return Course(tmp_path)


async def test_the_cancel_of_a_node_that_only_waits_ends_nothing(course: Course) -> None:
    one = await course.begin()
    hear(one, error(A, TRANSIENT), ended(A, "error"))
    await course.ask(A)
    again = course.ask(A, 2)
    await asyncio.sleep(0)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    await course.course.cancel(A)
    assert not one.interrupted


async def test_the_cancel_of_a_node_ends_its_process(course: Course) -> None:
    one = await course.begin()
    hear(one, begun(A))
    cancelling = asyncio.create_task(course.course.cancel(A))
    await until(lambda: one.interrupted)
    end(one, error(A, "Cancelled", "TaskCancelled (dbt1404)"), ended(A, "error"), completed(success=False))
    await cancelling


@pytest.mark.parametrize(
    "last_words",
    [[error(D, *CANCELLED), ended(D, "error"), completed(success=False)], []],
    ids=["dbt has ended its statement", "dbt was killed before it could"],
)
async def test_the_attempt_at_a_node_beside_one_whose_time_is_up_goes_on_in_a_further_process(
    course: Course, last_words: list[bytes]
) -> None:
    one = await course.begin()
    told = Heard()
    slow, beside = course.ask(A), asyncio.create_task(course.course.answer(D, 1, course.start, told))
    hear(one, begun(A), begun(D))
    await until(lambda: told == [True])
    slow.cancel()
    cancelling = asyncio.create_task(course.course.cancel(A))
    await until(lambda: one.interrupted)
    end(one, *last_words)
    await cancelling
    two = await course.further(2)
    assert (two.nodes, told) == (frozenset({D}), [True, False])
    hear(two, begun(D))
    await until(lambda: told == [True, False, True])
    hear(two, ended(D))
    answer = await beside
    assert (answer.process, answer.told) == (two, two.told.nodes[D])


async def test_what_must_not_be_done_twice_is_lost_with_a_process_that_another_node_has_ended(course: Course) -> None:
    one = await course.begin()
    lost = asyncio.create_task(course.course.answer(D, 1, course.start, again=False))
    waits = asyncio.create_task(course.course.answer(A, 1, course.start, again=False))
    hear(one, begun(C), begun(D))
    cancelling = asyncio.create_task(course.course.cancel(C))
    await until(lambda: one.interrupted)
    end(one, error(D, *CANCELLED), ended(D, "error"), completed(success=False))
    await cancelling
    with pytest.raises(DbtTemporalError) as raised:
        await lost
    assert (raised.value.error_type, raised.value.retryable) == (ErrorType.ENGINE_CRASHED, True)
    two = await course.further(2)  # for what had not begun
    hear(two, ended(A))
    assert (await waits).process is two


async def test_a_node_whose_time_was_up_has_its_next_attempt_in_a_further_process(course: Course) -> None:
    one = await course.begin()
    slow = course.ask(A)
    hear(one, begun(A))
    slow.cancel()
    cancelling = asyncio.create_task(course.course.cancel(A))
    await until(lambda: one.interrupted)
    end(one, error(A, *CANCELLED), ended(A, "error"), completed(success=False))
    await cancelling
    again = course.ask(A, 2)
    two = await course.further(2)
    hear(two, ended(A))
    assert (await again).process is two


async def test_a_node_that_is_cancelled_while_its_process_starts_ends_that(course: Course) -> None:
    one = await course.begin()
    end(one, error(A, TRANSIENT), ended(A, "error"), completed(success=False))
    await course.ask(A)
    starts, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly(process: V2Process) -> None:
        starts.set()
        await goes_on.wait()
        await course.start(process)

    asked = asyncio.create_task(course.course.answer(A, 2, slowly))
    await starts.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await course.course.cancel(A)
    goes_on.set()
    two = await course.further(2)
    assert two.interrupted


async def test_a_node_that_was_cancelled_before_it_began_comes_along_with_no_further_process(course: Course) -> None:
    one = await course.begin()
    skipped, goes_on = course.ask(A), course.ask(D)
    await asyncio.sleep(0)
    skipped.cancel()
    cancelling = asyncio.create_task(course.course.cancel(A))
    await until(lambda: one.interrupted)
    end(one, completed(success=False))
    await cancelling
    two = await course.further(2)
    assert two.nodes == frozenset({D})
    hear(two, ended(D))
    await goes_on
    end(two, completed())
    again = course.ask(A, 2)  # by an operator
    three = await course.further(3)
    assert three.nodes == frozenset({A, B, C})
    hear(three, ended(A))
    await again
