"""What one machine knows of a run of which another one may have run nodes, and what it begins of it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import orjson
import pytest

from dbt_temporal.adapters.dbt_v2.processes import course as course_module
from dbt_temporal.adapters.dbt_v2.processes.course import NotBegunError, RunCourse
from dbt_temporal.adapters.dbt_v2.processes.process import V2Process
from dbt_temporal.adapters.dbt_v2.results import EndingsJudge
from dbt_temporal.adapters.dbt_v2.runs.outcomes import refuse_unheard_end
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.testing.waiting import until
from tests.unit.v2.told import TRANSIENT, A, B, C, Course, D, begun, completed, end, ended, error, hear, process


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.setattr(course_module, "JOIN_SECS", 0.0)
    return Course(tmp_path)


async def test_what_may_have_run_elsewhere_and_must_not_run_twice_is_begun_when_it_is_asked_for_alone(
    course: Course,
) -> None:
    course.course.standing.adopt({}, ())
    course.course.standing.keep_back([A], ())
    assert course.course.ready() == {D}
    asked = course.ask(D)
    one = await course.further(1)
    assert one.nodes == frozenset({D})
    hear(one, ended(D))
    await asked
    end(one, completed())
    again = course.ask(A, 2)
    two = await course.further(2)
    assert two.nodes == frozenset({A, B, C})
    hear(two, ended(A))
    assert (await again).process is two


async def test_the_run_s_word_of_a_node_counts_before_that_of_a_process_that_ran_before_it_was_elsewhere(
    course: Course,
) -> None:
    one = await course.begin()
    hear(one, error(A, TRANSIENT), ended(A, "error"), ended(B, "skipped"), ended(C, "skipped"), ended(D))
    end(one, completed(success=False))
    course.course.standing.adopt({A: "success", B: "success", D: "success"}, course.course.processes)
    asked = course.ask(C, 2)
    two = await course.further(2)
    assert two.nodes == frozenset({C})
    hear(two, error(C, TRANSIENT), ended(C, "error"))
    await asked
    assert course.course.states() == {A: "good", B: "good", C: "bad", D: "good", "model.p.any": "open"}


async def test_a_process_that_is_given_up_while_it_starts_is_one_of_the_runs(course: Course) -> None:
    async def silently(process: object) -> None:
        course.started.append(process)  # type: ignore[arg-type]

    beginning = asyncio.create_task(course.course.begin(silently, 1))
    await until(lambda: bool(course.started))
    await asyncio.sleep(0)
    beginning.cancel()
    await asyncio.gather(beginning, return_exceptions=True)
    assert course.course.processes == course.started
    interrupting = asyncio.create_task(course.course.interrupt())
    await until(lambda: course.started[0].interrupted)
    end(course.started[0])
    await interrupting
    assert (await course.begin()).number == 2


async def test_a_machine_knows_which_attempts_at_the_begin_were_its_own_and_which_workers(
    course: Course, tmp_path: Path
) -> None:
    course.course.answers.take_part("one")
    await course.begin()
    hear(course.started[0], begun(A))
    assert course.course.begun_by(1) is course.started[0]
    later = RunCourse(tmp_path, EndingsJudge(), cancel_secs=1.0, settle_secs=0.0)
    await later.restore()
    assert (later.knows_begin(1), later.knows_begin(2)) == (True, False)
    assert (later.answers.has_part_of("one"), later.answers.has_part_of("two")) == (True, False)
    assert later.begun_by(1) is None  # it has left no files


async def test_what_another_worker_of_the_machine_has_done_since_is_looked_at_where_nothing_runs_here(
    course: Course, tmp_path: Path
) -> None:
    one = await course.begin()
    other = V2Process(2, tmp_path / "2", None)
    other.folder.mkdir()
    (other.folder / "nodes.json").write_bytes(b"null")
    (other.folder / "events.jsonl").write_bytes(b"\n".join((begun(A), ended(A))))
    await course.course.look_again()
    assert course.course.processes == [one]  # it runs
    end(one, completed())
    await course.course.look_again()
    await course.course.look_again()
    assert [process.number for process in course.course.processes] == [1, 2]
    assert course.course.states()[A] == "good"
    assert (await course.begin()).number == 3


CANCELLED = (begun(A), error(A, "Cancelled", "TaskCancelled (dbt1404)"), ended(A, "error"))


async def restored(course: Course, folder: Path, *told: bytes) -> V2Process:
    """The process that a worker of this machine has left, which told this."""
    left = folder / "1"
    left.mkdir()
    (left / "nodes.json").write_bytes(b"null")
    (left / "events.jsonl").write_bytes(b"\n".join(told))
    await course.course.restore()
    return course.course.processes[0]


async def test_what_was_ended_with_its_worker_says_nothing_of_the_nodes_that_it_has_not_come_to(
    course: Course, tmp_path: Path
) -> None:
    await restored(course, tmp_path, *CANCELLED, completed(success=False))
    assert course.course.left_by(A, 1) is None
    with pytest.raises(NotBegunError):  # it is behind another one, so that nothing is begun for it
        await course.course.answer(B, 1, None)
    asked = course.ask(B)
    two = await course.further(2)
    hear(two, ended(B))
    assert (await asked).process is two


@pytest.mark.parametrize("fails_fast", [True, False])
async def test_where_a_node_had_failed_before_the_others_are_kept_back_by_fail_fast_alone(
    course: Course, tmp_path: Path, *, fails_fast: bool
) -> None:
    course.fails_fast = fails_fast
    failed = (begun(B), error(B, "syntax error"), ended(B, "error"))
    await restored(course, tmp_path, *CANCELLED, *failed, completed(success=False))
    asked = course.ask(D)
    if not fails_fast:
        two = await course.further(2)
        hear(two, ended(D))
    assert ((await asked).told is None) == fails_fast


async def test_of_what_was_killed_with_its_worker_nobody_knows_how_it_has_ended(course: Course, tmp_path: Path) -> None:
    await restored(course, tmp_path, *CANCELLED)
    with pytest.raises(DbtTemporalError, match="ended before its end"):
        EndingsJudge().refuse_bad_end(course.course.processes)


def _stand_still() -> None:
    time.sleep(0.3)  # and so does the event loop, as all of a worker


@pytest.mark.parametrize("stands_still", [True, False])
async def test_a_process_that_ends_while_its_worker_stands_still_was_interrupted(
    tmp_path: Path, *, stands_still: bool
) -> None:
    process = V2Process(1, tmp_path / "1", None)
    process.silence_secs = 0.1 if stands_still else 600.0
    await process.start(["sleep", "0.1"], {"PATH": os.environ["PATH"]}, tmp_path)
    await asyncio.sleep(0)  # it is followed now
    _stand_still()
    await process.ended.wait()
    assert process.interrupted == stands_still


def test_whether_on_run_end_has_run_is_not_known_where_the_process_that_does_it_was_on_a_lost_machine(
    tmp_path: Path,
) -> None:
    hook = {"resource_type": "operation", "name": "p-on-run-end-0"}
    refuse_unheard_end([], tmp_path)
    for nodes in ({}, {"operation.p.p-on-run-end-0": hook}):
        (tmp_path / "manifest.json").write_bytes(orjson.dumps({"metadata": {}, "nodes": nodes}))
        refuse_unheard_end([process()], tmp_path)
        if not nodes:
            refuse_unheard_end([], tmp_path)
    with pytest.raises(DbtTemporalError, match="nobody knows whether on-run-end has run") as raised:
        refuse_unheard_end([], tmp_path)
    assert not raised.value.retryable
