"""The batches of a microbatch model as steps: which run when, and what one that fails means for the others."""

from __future__ import annotations

import asyncio

import pytest

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.nodes.batches import MAX_REASONS, BatchProgress, BatchSteps
from dbt_temporal.domain.batches import Batches, BatchPart, EndedBatch
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.testing import result, until


class Model:
    """A model of some batches, which end when their gates are open; all are at first."""

    def __init__(self, count: int, *, side_by_side: bool = False, threads: int = 4) -> None:
        self.batches = Batches(
            windows=[(f"2026-01-0{n + 1}", f"2026-01-0{n + 2}") for n in range(count)],
            names=[f"2026-01-0{n + 1}" for n in range(count)],
        )
        self.side_by_side = side_by_side
        self.failing: set[int] = set()
        self.gates: dict[int, asyncio.Event] = {}
        self.running: list[int] = []
        self.parts: list[tuple[str, int]] = []
        self.joined: list[EndedBatch] = []
        self.free = threads - 1
        self.noted: list[int] = []
        self.said: dict[int, str | None] = {}
        self.steps_left = 1000
        self.progress = BatchProgress()
        self.handed_on = False
        self.sizes: dict[int, int] = {}
        """Of the inputs of batches, by index."""

    async def run(self) -> NodeExecutionResult:
        return await BatchSteps(
            self.progress,
            self._part,
            lambda: self.free,
            self._occupy,
            self._note,
            lambda: self.steps_left > 0,
            lambda: self.handed_on,
        ).run()

    def _occupy(self, threads: int) -> None:
        self.free -= threads

    def _note(self, _batches: Batches, ended: EndedBatch, messages: str | None) -> None:
        self.noted.append(ended.index)
        self.said[ended.index] = messages

    async def _part(self, part: BatchPart) -> NodeExecutionResult:
        self.parts.append((part.stage, part.index))
        self.steps_left -= 1
        if part.stage == "begin":
            return result("a", batches=self.batches)
        if part.stage == "end":
            self.joined = part.ended
            return result("a", message="SUCCESS")
        self.sizes[part.index] = len(part.model_dump_json())
        assert (part.window, part.count) == (self.batches.windows[part.index], len(self.batches.windows))
        self.running.append(part.index)
        try:
            if part.index in self.gates:
                await self.gates[part.index].wait()
        finally:
            self.running.remove(part.index)
        if part.index in self.failing:
            said = result("a", "error", messages=f"tried {part.index}")
            raise StepFailedError(ErrorType.ADAPTER, "no such column", result=said)
        ended = EndedBatch(index=part.index, status="success", side_by_side=self.side_by_side)
        return result("a", batch=ended, messages=f"did {part.index}")


def statuses(model: Model) -> list[str]:
    return [batch.status for batch in model.joined]


async def test_the_batches_run_between_one_step_that_finds_them_and_one_that_joins_them() -> None:
    model = Model(3)
    await model.run()
    assert model.parts == [("begin", 0), ("batch", 0), ("batch", 1), ("batch", 2), ("end", 0)]
    assert statuses(model) == ["success"] * 3


@pytest.mark.parametrize("count", [0, 1, 2])
async def test_few_batches_need_nothing_in_between(count: int) -> None:
    model = Model(count, side_by_side=True)
    await model.run()
    assert statuses(model) == ["success"] * count


async def test_where_the_first_batch_fails_the_others_are_skipped() -> None:
    model = Model(3)
    model.failing = {0}
    message = (await model.run()).message
    assert statuses(model) == ["error", "skipped", "skipped"]
    assert message == "SUCCESS\nbatch 2026-01-01: no such column"
    assert [part for part in model.parts if part[0] == "batch"] == [("batch", 0)]


async def test_a_later_batch_that_fails_stops_no_other_one() -> None:
    model = Model(4, side_by_side=True)
    model.failing = {1}
    await model.run()
    assert statuses(model) == ["success", "error", "success", "success"]


async def test_batches_between_the_first_and_the_last_run_side_by_side_as_far_as_there_are_threads() -> None:
    model = Model(6, side_by_side=True, threads=3)
    model.gates = {index: asyncio.Event() for index in (1, 2, 3, 4, 5)}
    run = asyncio.create_task(model.run())
    await until(lambda: model.running == [1, 2, 3])
    assert model.free == 0
    model.gates[2].set()
    await until(lambda: model.running == [1, 3, 4])
    for index in (1, 3, 4):
        model.gates[index].set()
    await until(lambda: model.running == [5])
    assert model.free == 2, "the last one runs alone, on the model's own thread"
    model.gates[5].set()
    await run
    assert statuses(model) == ["success"] * 6


async def test_a_cancelled_model_cancels_its_batches_and_gives_their_threads_back() -> None:
    model = Model(5, side_by_side=True, threads=3)
    model.gates = {index: asyncio.Event() for index in (1, 2, 3)}
    run = asyncio.create_task(model.run())
    await until(lambda: model.running == [1, 2, 3])
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (model.running, model.free) == ([], 2)


@pytest.mark.parametrize("side_by_side", [True, False])
async def test_batches_that_do_not_fit_into_the_history_are_left_for_a_retry(side_by_side: bool) -> None:
    model = Model(6, side_by_side=side_by_side, threads=2)
    model.steps_left = 4
    message = (await model.run()).message
    assert statuses(model) == ["success"] * len(model.joined)
    assert 3 <= len(model.joined) < 6
    assert message == (
        f"SUCCESS\n{6 - len(model.joined)} batches were not run: the workflow's history is full; `retry_from` runs them"
    )


async def test_a_batch_s_step_does_not_grow_with_the_number_of_batches() -> None:
    few, many = Model(3), Model(9)
    for model in (few, many):
        await model.run()
    assert few.sizes[1] == many.sizes[1]


async def test_of_many_batches_that_failed_the_message_names_as_many_as_a_person_reads() -> None:
    model = Model(MAX_REASONS + 5)
    model.failing = set(range(1, MAX_REASONS + 5))
    lines = ((await model.run()).message or "").splitlines()
    assert len(lines) == 1 + MAX_REASONS + 1
    assert lines[-1] == "4 more batches failed; the run's log says why"


async def test_what_batches_have_had_dbt_say_is_told_with_each_of_them() -> None:
    model = Model(3)
    model.failing = {1}
    await model.run()
    assert model.said == {0: "did 0", 1: "tried 1", 2: "did 2"}
