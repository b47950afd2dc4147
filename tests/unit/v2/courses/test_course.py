"""Which process of dbt v2 answers for a node, and when there is a further one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_v2.processes import course as course_module
from dbt_temporal.adapters.dbt_v2.processes.choosing import chosen_nodes
from dbt_temporal.adapters.dbt_v2.processes.course import NotBegunError
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.results import EndingsJudge
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.testing.waiting import until
from tests.unit.v2.told import TRANSIENT, A, B, C, Course, D, Heard, begun, completed, end, ended, error, hear, line


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.setattr(course_module, "JOIN_SECS", 0.0)
    return Course(tmp_path)


async def test_a_node_is_answered_when_its_process_has_told_its_end(course: Course) -> None:
    one = await course.begin()
    asked = course.ask(A)
    await asyncio.sleep(0)
    assert not asked.done()
    hear(one, begun(A), ended(A))
    answer = await asked
    assert (answer.process, answer.told) == (one, one.told.nodes[A])


async def test_a_further_attempt_has_a_further_process_once_the_first_has_ended_with_what_was_skipped(
    course: Course,
) -> None:
    one = await course.begin()
    hear(one, error(A, TRANSIENT), ended(A, "error"), ended(B, "skipped"), ended(C, "skipped"), ended(D))
    assert (await course.ask(A)).told is one.told.nodes[A]
    again = course.ask(A, 2)
    await asyncio.sleep(0)
    assert len(course.started) == 1
    end(one, completed(success=False))
    two = await course.further(2)
    assert two.nodes == frozenset({A, B, C})
    hear(two, ended(A), ended(B))
    assert (await again).process is two
    assert (await course.ask(B)).process is two


async def test_what_is_skipped_behind_another_failure_does_not_come_along(course: Course) -> None:
    parents = {A: [], D: [], B: [A, D], C: [B]}
    assert chosen_nodes(parents, {A: "bad", D: "bad", B: "skipped", C: "skipped"}, [A]) == {A}
    assert chosen_nodes(parents, {A: "bad", D: "bad", B: "skipped", C: "skipped"}, [A, D]) == {A, B, C, D}
    assert chosen_nodes(parents, {A: "good", D: "good", B: "bad", C: "open"}, [C]) == {C}


async def test_a_skip_is_dbts_own_word(course: Course) -> None:
    one = await course.begin()
    hear(one, error(A, "syntax error"), ended(A, "error"), ended(B, "skipped"))
    answer = await course.ask(B)
    assert answer.told is not None
    assert answer.told.status == "skipped"


async def test_nodes_of_a_dead_process_are_lost_where_they_had_begun_and_run_elsewhere_where_not(
    course: Course,
) -> None:
    one = await course.begin()
    lost, waiting = course.ask(A), course.ask(D)
    end(one, begun(A))
    with pytest.raises(DbtTemporalError) as raised:
        await lost
    assert (raised.value.error_type, raised.value.retryable) == (ErrorType.ENGINE_CRASHED, True)
    two = await course.further(2)
    assert two.nodes == frozenset({D})
    hear(two, ended(D))
    assert (await waiting).process is two


async def test_fail_fast_answers_for_what_it_kept_back(course: Course) -> None:
    one = await course.begin()
    asked = course.ask(D)
    end(one, error(A, "syntax error"), ended(A, "error"), completed(success=False))
    assert (await asked).told is None


async def test_where_fail_fast_was_for_a_transient_error_the_others_go_on(course: Course) -> None:
    one = await course.begin()
    asked = course.ask(D)
    end(one, error(A, TRANSIENT), ended(A, "error"), completed(success=False))
    two = await course.further(2)
    assert two.nodes == frozenset({D})
    hear(two, ended(D))
    assert (await asked).process is two


async def test_a_process_that_comes_to_its_end_without_a_node_fails_it_once(course: Course) -> None:
    one = await course.begin()
    asked = course.ask(D)
    end(one, ended(A), ended(B), ended(C), completed())
    with pytest.raises(DbtTemporalError, match="without it") as raised:
        await asked
    assert not raised.value.retryable


async def test_an_error_before_all_nodes_fails_those_that_wait_for_a_further_process(course: Course) -> None:
    one = await course.begin()
    hear(one, error(A, TRANSIENT), ended(A, "error"))
    await course.ask(A)
    end(one, completed(success=False))

    async def fails(process: V2Process) -> None:
        course.started.append(process)
        end(process, error("", "[libpq] Failed to connect: Connection refused"), completed(success=False))

    with pytest.raises(DbtTemporalError) as raised:
        await course.course.answer(A, 2, fails)
    assert (raised.value.retryable, raised.value.unreachable) == (True, True)
    third = course.ask(A, 3)
    hear(await course.further(3), ended(A))
    assert (await third).process.number == 3


async def test_the_same_attempt_has_the_same_answer_whoever_asks(course: Course, tmp_path: Path) -> None:
    one = await course.begin()
    hear(one, ended(A))
    first, second = await asyncio.gather(course.ask(A), course.ask(A))
    assert first == second
    assert course.course.left_by(A, 1) == first
    assert course.course.left_by(D, 1) is None


async def test_an_attempt_that_died_with_its_process_and_its_worker_is_lost_once(course: Course) -> None:
    one = await course.begin()
    hear(one, begun(A))
    end(one, error(A, "Cancelled", "TaskCancelled (dbt1404)"), ended(A, "error"))
    assert course.course.left_by(A, 1) is None
    again = course.ask(A, 2)
    two = await course.further(2)
    hear(two, ended(A))
    assert (await again).process is two


async def test_what_another_worker_had_done_counts(course: Course) -> None:
    course.course.standing.adopt({A: "success", D: "error"}, ())
    asked = course.ask(B)
    one = await course.further(1)
    assert one.nodes == frozenset({B, C})
    hear(one, ended(B))
    assert (await asked).process is one


async def test_after_a_reset_what_is_asked_for_is_done_anew(course: Course) -> None:
    one = await course.begin()
    hear(one, *(ended(each) for each in (A, B, C, D)))
    await course.ask(B)
    end(one, completed())
    course.course.go_on_in("another")
    asked = course.ask(B)
    two = await course.further(2)
    assert two.nodes == frozenset({B})
    hear(two, ended(B))
    assert (await asked).process is two
    course.course.go_on_in("another")
    assert (await course.ask(B)).process is two


async def test_an_end_that_neither_nodes_nor_hooks_tell_of_is_an_error(course: Course) -> None:
    judge = EndingsJudge()
    one = await course.begin()
    end(
        one,
        ended("model.p.any"),
        ended(A),
        error("", "the disk is full", "IoError (dbt1007)"),
        completed(success=False),
    )
    with pytest.raises(DbtTemporalError, match="the disk is full"):
        judge.refuse_bad_end(course.course.processes)
    two = await course.begin()
    end(two, ended(A))
    with pytest.raises(DbtTemporalError, match="ended before its end"):
        judge.refuse_bad_end(course.course.processes)
    three = await course.begin()
    end(three, ended(A), ended(B, "skipped"), completed(success=False))
    judge.refuse_bad_end(course.course.processes)


async def test_who_waits_for_a_node_hears_when_it_begins(course: Course) -> None:
    one = await course.begin()
    heard = Heard()
    asked = asyncio.create_task(course.course.answer(B, 1, course.start, heard))
    hear(one, begun(A), ended(A))
    await asyncio.sleep(0)
    assert heard == []
    hear(one, begun(B))
    await until(lambda: heard == [True])
    hear(one, line("NodeExecuting", B), ended(B))
    await asked
    assert heard == [True]


async def test_who_waits_for_a_node_hears_what_it_is_at(course: Course) -> None:
    heard: list[Mapping[str, Any]] = []

    async def start(process: V2Process) -> None:
        process.session = f"run/{process.number}/"
        course.started.append(process)

    beginning = asyncio.create_task(course.course.begin(start, tell=heard.append))
    await until(lambda: bool(heard))
    (one,) = course.started
    hear(one, begun(A))
    await beginning
    asked = asyncio.create_task(course.course.answer(B, 1, start, heard.append))
    await until(lambda: len(heard) == 2)
    for told in (ended(A), begun(B), line("NodeExecuting", B)):
        hear(one, told)
        await asyncio.sleep(0)
    hear(one, ended(B))
    await asked
    phases = [facts["phase"] for facts in heard if "phase" in facts]
    assert phases == ["preparing", "waiting for its turn", "compiling", "executing"]
    assert {facts["session"] for facts in heard if "phase" in facts} == {"run/1/"}


async def test_nothing_is_begun_for_a_node_behind_one_that_was_lost_but_dbts_word_of_it_counts(course: Course) -> None:
    one = await course.begin()
    behind, told = (asyncio.create_task(course.course.answer(each, 1, None)) for each in (B, D))
    await asyncio.sleep(0)
    assert not behind.done()
    end(one, begun(A), ended(D, "skipped"))
    with pytest.raises(NotBegunError):
        await behind
    assert (await told).told is one.told.nodes[D]
    assert course.started == [one]


async def test_what_keeps_a_process_from_starting_is_heard_by_those_that_wait_for_it(
    course: Course,
) -> None:
    one = await course.begin()
    end(one, error(A, TRANSIENT), ended(A, "error"), completed(success=False))
    await course.ask(A)

    async def fails(process: V2Process) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await asyncio.wait_for(course.course.answer(A, 2, fails), 10)


async def test_a_process_with_nodes_left_is_ended_when_the_run_has_given_them_up(course: Course) -> None:
    one = await course.begin()
    hear(one, *(ended(each) for each in (A, B, C)))
    giving_up = asyncio.create_task(course.course.end_what_nobody_waits_for())
    await until(lambda: one.interrupted)
    end(one, completed(success=False))
    await giving_up
    two = await course.begin()
    hear(two, *(ended(each) for each in (A, B, C, D)))
    await course.course.end_what_nobody_waits_for()
    assert not two.interrupted  # on-run-end may run


async def test_what_was_said_of_nodes_that_did_not_run_hides_no_bad_end(course: Course) -> None:
    one = await course.begin()
    end(
        one,
        ended("model.p.any"),
        line("Generic", B, level="warn", message="a column is deprecated"),
        error("", "the disk is full", "IoError (dbt1007)"),
        completed(success=False),
    )
    with pytest.raises(DbtTemporalError, match="the disk is full"):
        EndingsJudge().refuse_bad_end(course.course.processes)
