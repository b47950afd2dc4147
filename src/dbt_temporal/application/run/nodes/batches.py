"""A microbatch model as steps of its own: dbt's order of batches (dbt/task/run.py, MicrobatchModelRunner.execute).

The first batch runs alone; where it does not succeed, the others are skipped. Those between the first and the last run
side by side where dbt lets them, and the last one again alone, as hooks after the model belong to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import BaseModel, Field

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.nodes.waits import HandedOnError
from dbt_temporal.domain.batches import Batches, BatchPart, EndedBatch
from dbt_temporal.domain.results import NodeExecutionResult

MAX_REASONS = 20
"""A model may have thousands of batches; its message is one that a person reads to its end."""

RunPart = Callable[[BatchPart], Awaitable[NodeExecutionResult]]
"""Does a part of the model, with its retries. Raises StepFailedError."""


class BatchProgress(BaseModel):
    """Where the batches of one model stand.

    Attributes:
        batches: what there is to do; None where nobody has looked yet.
        ended: those that have ended, or are skipped, by index.
    """

    batches: Batches | None = None
    ended: dict[int, EndedBatch] = Field(default_factory=dict)


class BatchSteps:
    """Runs the batches of one model.

    Args:
        progress: where they stand, which is kept up to date: after a HandedOnError they go on from there.
        run_part: does one part.
        room: how many more batches may run now, beside those that do; told of each change by `occupy`.
        occupy: hears how many threads the batches have more or fewer than the model's own.
        note: hears of each batch that has ended, and what it has had dbt say.
        may_go_on: whether the run can take further steps; otherwise the batches that have not begun count as failed,
            which a retry of the run begins with.
        is_handed_on: whether further batches begin in another execution.
    """

    def __init__(
        self,
        progress: BatchProgress,
        run_part: RunPart,
        room: Callable[[], int],
        occupy: Callable[[int], None],
        note: Callable[[Batches, EndedBatch, str | None], None],
        may_go_on: Callable[[], bool],
        is_handed_on: Callable[[], bool],
    ) -> None:
        self._progress = progress
        self._run_part = run_part
        self._room = room
        self._occupy = occupy
        self._note = note
        self._may_go_on = may_go_on
        self._is_handed_on = is_handed_on
        self._batches = progress.batches or Batches()
        self._ended = progress.ended

    async def run(self) -> NodeExecutionResult:
        """The model's result.

        Raises:
            HandedOnError: it goes on in another execution.
        """
        if self._progress.batches is None:
            begun = await self._run_part(BatchPart(stage="begin"))
            self._batches = self._progress.batches = begun.batches or Batches()
        count = len(self._batches.windows)
        if count:
            first = await self._once(0, self._batches.relation_exists)
            if first.status != "success":
                for index in range(1, count):
                    if index not in self._ended:
                        self._take(EndedBatch(index=index, status="skipped"))
            elif count > 1:
                await self._between(range(1, count - 1), first)
                if self._may_go_on():
                    await self._once(count - 1, True)
        ended = [self._ended[index] for index in sorted(self._ended)]
        try:
            result = await self._run_part(BatchPart(stage="end", batches=self._batches, ended=ended))
        except StepFailedError as failure:
            if failure.result is not None:
                failure.result = self._with_reasons(failure.result, ended)
            raise
        return self._with_reasons(result, ended)

    async def _between(self, indexes: range, first: EndedBatch) -> None:
        if not first.side_by_side:
            for index in indexes:
                if self._may_go_on():
                    await self._once(index, True)
            return
        waiting = [index for index in indexes if index not in self._ended]
        running: dict[int, asyncio.Task[EndedBatch]] = {}
        ended = asyncio.Event()
        try:
            while waiting or running:
                if not self._may_go_on():
                    waiting.clear()
                if waiting and not running and self._is_handed_on():
                    raise HandedOnError
                while waiting and not self._is_handed_on() and (not running or self._room() > 0):
                    index = waiting.pop(0)
                    running[index] = asyncio.create_task(self._batch(index, True))
                    running[index].add_done_callback(lambda _task: ended.set())
                    self._occupy(int(len(running) > 1))
                if running:
                    await ended.wait()
                ended.clear()
                for index in [index for index, task in running.items() if task.done()]:
                    try:
                        running.pop(index).result()
                    except HandedOnError:
                        waiting.insert(0, index)
                    self._occupy(-int(len(running) > 0))
        except asyncio.CancelledError:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
            self._occupy(-max(len(running) - 1, 0))
            raise

    async def _once(self, index: int, relation_exists: bool) -> EndedBatch:
        """A batch that runs alone, if it has not."""
        if index in self._ended:
            return self._ended[index]
        if self._is_handed_on():
            raise HandedOnError
        return await self._batch(index, relation_exists)

    async def _batch(self, index: int, relation_exists: bool) -> EndedBatch:
        part = self._batches.step(index, relation_exists)
        messages = None
        try:
            result = await self._run_part(part)
            ended = result.batch or EndedBatch(index=index, status=result.dbt_status or result.status)
            messages = result.messages
        except StepFailedError as failure:
            ended = EndedBatch(index=index, status="error", message=failure.message)
            messages = None if failure.result is None else failure.result.messages
        self._take(ended, messages)
        return ended

    def _take(self, ended: EndedBatch, messages: str | None = None) -> None:
        self._ended[ended.index] = ended
        self._note(self._batches, ended, messages)

    def _with_reasons(self, result: NodeExecutionResult, ended: list[EndedBatch]) -> NodeExecutionResult:
        """With why batches failed, which dbt itself says in its log alone."""
        failed = [batch for batch in ended if batch.message]
        reasons = [f"batch {self._batches.names[batch.index]}: {batch.message}" for batch in failed[:MAX_REASONS]]
        if len(failed) > MAX_REASONS:
            reasons.append(f"{len(failed) - MAX_REASONS} more batches failed; the run's log says why")
        left = len(self._batches.windows) - len(ended)
        if left:
            reasons.append(f"{left} batches were not run: the workflow's history is full; `retry_from` runs them")
        message = "\n".join(filter(None, [result.message, *reasons])) or None
        return result.model_copy(update={"message": message})
