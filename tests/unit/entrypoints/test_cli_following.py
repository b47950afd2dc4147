from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime

import pytest

from dbt_temporal.adapters.temporal.gateway import ANSWER_SECS
from dbt_temporal.application.ports.runs import Ending, Outcome, Snapshot
from dbt_temporal.entrypoints.cli.following import SILENCE_SECS, WATCH_SECS, Follower, Interrupts
from dbt_temporal.testing import FakeRun, FakeRunGateway, until

DONE = Outcome(Ending.COMPLETED)


class RecordingView:
    wants_nodes = True
    wants_events = False

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []
        self.outages: list[str | None] = []

    def show(self, snapshot: Snapshot) -> None:
        self.lines.extend(snapshot.new_log_lines)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def away(self, text: str | None) -> None:
        self.outages.append(text)


def clock_of(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step


class Scene:
    """A follower with fakes, whose clock moves by a step at each look."""

    def __init__(self, run: FakeRun, *, workers: bool = True, clock_step: float = 0.0, patience: float = 60.0) -> None:
        self.run, self.view, self.interrupts = run, RecordingView(), Interrupts()
        self.gateway = FakeRunGateway(run, workers=workers)
        ticks = clock_of(clock_step)
        self.follower = Follower(
            run, self.gateway, self.view, self.interrupts, patience, lambda: next(ticks), poll_secs=0.0
        )
        if clock_step:
            # Time is told by the clock alone: no pause of a length that polls seem to have had.
            self.follower.poll_share = 0.0

    async def follow(self) -> Outcome | None:
        return await asyncio.wait_for(self.follower.follow(), 10)


def log(*lines: str) -> Snapshot:
    return Snapshot(new_log_lines=lines)


async def test_a_run_is_shown_to_its_last_line() -> None:
    scene = Scene(FakeRun([log("a"), None, log("b", "c")], DONE))
    assert await scene.follow() is DONE
    assert scene.view.lines == ["a", "b", "c"]
    assert not scene.view.notes


async def test_lines_written_at_the_very_end_are_fetched_after_it() -> None:
    run = FakeRun([log("a"), log("the end")])
    run.end(DONE)
    scene = Scene(run)
    await scene.follow()
    assert "the end" in scene.view.lines


async def test_the_user_hears_once_that_no_worker_polls() -> None:
    scene = Scene(FakeRun([None] * 20 + [log("a")], DONE), workers=False, clock_step=1.0, patience=1000)
    assert await scene.follow() is DONE
    assert len(scene.view.notes) == 1
    assert "No worker polls the task queue 'fake'" in scene.view.notes[0]


async def test_a_worker_that_polls_but_does_not_answer_yet_is_waited_for() -> None:
    scene = Scene(FakeRun([None] * 20, DONE), clock_step=10.0)
    assert await scene.follow() is DONE
    assert not scene.view.notes
    assert scene.run.terminated is None


async def test_a_run_that_no_worker_takes_is_ended_after_a_while() -> None:
    scene = Scene(FakeRun(), workers=False, clock_step=1.0, patience=30)
    outcome = await scene.follow()
    assert outcome is not None
    assert outcome.ending is Ending.TERMINATED
    assert "30 seconds (--wait-for-worker)" in str(outcome.message)


async def test_a_run_that_has_begun_outlives_its_workers() -> None:
    scene = Scene(FakeRun([log("a")] + [None] * 50, DONE), workers=False, clock_step=10.0)
    assert await scene.follow() is DONE
    assert scene.run.terminated is None


async def test_the_first_interrupt_cancels_and_waits_for_the_end() -> None:
    scene = Scene(FakeRun([log("a")] * 1000))
    following = asyncio.create_task(scene.follow())
    await until(lambda: len(scene.view.lines) > 1)
    scene.interrupts.interrupt()
    await until(lambda: scene.run.cancels == 1)
    assert not following.done()
    cancelled = Outcome(Ending.CANCELLED)
    scene.run.end(cancelled)
    assert await following is cancelled
    assert scene.run.cancels == 1
    assert "Cancelling" in scene.view.notes[0]


async def test_who_has_only_attached_leaves_the_run_as_it_is() -> None:
    scene = Scene(FakeRun([log("a")]))
    scene.follower.detaches = True
    scene.interrupts.interrupt()
    assert await scene.follow() is None
    assert (scene.run.cancels, scene.run.terminated) == (0, None)


async def test_the_second_interrupt_leaves_the_run_cancelling() -> None:
    scene = Scene(FakeRun([log("a")] * 1000))
    following = asyncio.create_task(scene.follow())
    await until(lambda: len(scene.view.lines) > 1)
    scene.interrupts.interrupt()
    await until(lambda: scene.run.cancels == 1)
    scene.interrupts.interrupt()
    assert await following is None
    assert "fake-run" in scene.view.notes[-1]


async def test_an_interrupt_before_any_worker_came_ends_the_run_at_once() -> None:
    scene = Scene(FakeRun(), workers=False)
    scene.interrupts.interrupt()
    outcome = await scene.follow()
    assert outcome is not None
    assert outcome.ending is Ending.TERMINATED
    assert scene.run.cancels == 0


class SilentRun(FakeRun):
    """A run at a server that does not answer."""

    async def snapshot(self, *, with_nodes: bool, with_events: bool = False) -> Snapshot | None:
        await asyncio.Event().wait()
        return await super().snapshot(with_nodes=with_nodes, with_events=with_events)

    async def cancel(self) -> None:
        await super().cancel()
        await asyncio.Event().wait()


async def test_a_server_that_does_not_answer_keeps_nobody_from_leaving() -> None:
    run = SilentRun()
    scene = Scene(run)
    scene.follower.leave_secs = 0.0
    following = asyncio.create_task(scene.follow())
    await asyncio.sleep(0)
    scene.interrupts.interrupt()
    await until(lambda: run.cancels == 1)
    scene.interrupts.interrupt()
    assert await following is None
    assert "Temporal does not answer, so the run goes on" in scene.view.notes[-1]


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.CANCELLED, Ending.TIMED_OUT])
async def test_every_ending_is_handed_on(ending: Ending) -> None:
    outcome = Outcome(ending)
    assert await Scene(FakeRun([log("a")], outcome)).follow() is outcome


class Clock:
    """Stands still until the test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def scene_of_silence(run: FakeRun) -> tuple[Scene, Clock]:
    scene, clock = Scene(run), Clock()
    scene.follower.clock, scene.follower.watch_secs = clock, 0.0
    scene.follower.wall_clock = lambda: datetime(2026, 1, 31, 6, 0, 10)
    return scene, clock


async def test_a_server_that_is_away_is_told_once_with_its_time_and_so_is_its_return() -> None:
    run = FakeRun()
    scene, clock = scene_of_silence(run)
    following = asyncio.create_task(scene.follower.follow())
    scene.gateway.away = True
    await asyncio.sleep(0)
    clock.now = 4.0
    await until(lambda: bool(scene.view.outages))
    assert scene.view.outages == ["Temporal does not answer since 06:00:06; still trying. The run itself goes on."]
    clock.now = 9.0
    scene.gateway.away = False
    await until(lambda: len(scene.view.outages) > 1)
    assert scene.view.outages[1:] == [None]
    assert scene.view.notes == ["Temporal answers again, after 9 seconds."]
    following.cancel()


def test_an_outage_is_told_within_five_seconds() -> None:
    assert SILENCE_SECS + WATCH_SECS + ANSWER_SECS < 5


async def test_a_snapshot_is_an_answer_of_the_server_too() -> None:
    run = FakeRun([None] * 100 + [log("a")])
    scene, clock = scene_of_silence(run)
    scene.gateway.away = True
    following = asyncio.create_task(scene.follower.follow())
    await asyncio.sleep(0)
    clock.now = 4.0
    await until(lambda: "a" in scene.view.lines)
    assert scene.view.outages[-1] is None
    following.cancel()


async def test_a_run_whose_worker_alone_is_silent_has_a_server() -> None:
    scene, clock = scene_of_silence(FakeRun([log("a")] + [None] * 50, DONE))
    following = asyncio.create_task(scene.follower.follow())
    await asyncio.sleep(0)
    clock.now = 60.0
    assert await following is DONE
    assert scene.view.outages == []


async def test_the_end_of_a_run_ends_the_word_of_an_outage() -> None:
    run = FakeRun()
    scene, clock = scene_of_silence(run)
    following = asyncio.create_task(scene.follower.follow())
    scene.gateway.away = True
    await asyncio.sleep(0)
    clock.now = 4.0
    await until(lambda: bool(scene.view.outages))
    run.end(Outcome(Ending.TERMINATED))
    assert await following is not None
    assert scene.view.outages[-1] is None
