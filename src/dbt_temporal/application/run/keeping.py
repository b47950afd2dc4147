"""Where the steps of a run are sent: to any worker, or to the one whose process has what later steps need.

A run begins on any worker. Where `before_run` says that its database, or what hooks and nodes leave behind, is in the
memory of its process, the rest of the run goes to that worker, and to another one when that is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from dbt_temporal.application.ports.runtime import RunRuntime, Step, StepFailedError
from dbt_temporal.application.steps.messages import ExecuteNodeInput, Keeper
from dbt_temporal.domain.errors import ErrorType

TAKEN_WITHIN_SECS = 60.0
"""A worker that takes none of its own steps for that long is lost: it has room for all of them."""
TAKEN_AFTER_SILENCE_SECS = 15.0
"""The same of a worker that was not heard of for so long that the server has given up a step of its: it is hardly
there, and the run waits."""
HANDED_ON_WITHIN_SECS = 5.0
"""What is handed on begins at once. What is not, as no slot was free, would wait behind the steps of other runs."""

_NO_NODE = f"its argument is no {ExecuteNodeInput.__name__}"

Output = TypeVar("Output", bound=BaseModel)
Successor = Callable[[Keeper], Awaitable[Keeper]]
"""Has another worker take over from one that is lost, and names it. Raises StepFailedError where that cannot be."""


class Keeping:
    """Sends the steps of one run to the worker that it keeps to, if it keeps to one."""

    def __init__(self, runtime: RunRuntime) -> None:
        self._runtime = runtime
        self._keeper: Keeper | None = None
        self._successor: Successor | None = None
        self._is_silent = False
        self._not_handed_on: Keeper | None = None
        """The keeper to whom a step has not come that was sent to the run's own queue."""
        self._under_way = 0
        self._changed = asyncio.Event()
        self._moving: asyncio.Task[None] | None = None
        self._failure: StepFailedError | None = None

    def keep_to(self, keeper: Keeper, successor: Successor | None) -> None:
        """Sends all further steps to this worker.

        Args:
            keeper: the worker.
            successor: finds another one when it is lost; None where nobody else can have what the steps need, so that
                any worker may say what is missing.
        """
        self._keeper, self._successor = keeper, successor

    @property
    def keeper(self) -> Keeper | None:
        """The worker that the run keeps to."""
        return self._keeper

    async def run_step(
        self, step: Step[Output], elsewhere: Callable[[Step[Output]], Step[Output]] = lambda step: step
    ) -> Output:
        """Makes one attempt at a step that needs what its worker has.

        Args:
            step: the step.
            elsewhere: what it is where another worker does it, in place of one that is lost and has not taken it; is
                called when the run keeps to that other one.

        Raises:
            StepFailedError: as `RunRuntime.run_step`; or no other worker can go on with the run.
        """
        lost: Keeper | None = None
        while True:
            await self._settled()
            keeper = self._keeper
            if lost is not None and keeper != lost:
                step = elsewhere(step)
            if keeper is None:
                return await self._runtime.run_step(step)
            try:
                return await self._on(keeper, step)
            except StepFailedError as failure:
                if failure.refused:
                    await asyncio.sleep(0)  # a cancel that has come with it comes before what is asked for next
                    continue
                if not failure.never_taken:
                    raise
            if keeper == self._keeper and self._moving is None:
                self._moving = asyncio.create_task(self._leave(keeper))
            lost = keeper

    async def run_last_step(self, step: Step[Output]) -> Output:
        """Makes one attempt at a step that any worker can do, where the right one is lost: the run is at its end."""
        if self._keeper is not None and self._failure is None:
            try:
                return await self._on(self._keeper, step)
            except StepFailedError as failure:
                if not failure.never_taken:
                    raise
            self._keeper = None
        return await self._runtime.run_step(step)

    async def _on(self, keeper: Keeper, step: Step[Output]) -> Output:
        handed_on = self._handed_on(keeper, step)
        self._under_way += 1
        try:
            output = await self._runtime.run_step(handed_on or self._from_own_queue(keeper, step))
            self._is_silent = False
            return output
        except StepFailedError as failure:
            if handed_on is not None and _has_not_come(failure):
                self._not_handed_on, failure.refused = keeper, True
                raise
            # One that took longer than its limit is no silence.
            self._is_silent = failure.timed_out and failure.error_type is ErrorType.ENGINE_CRASHED
            raise
        finally:
            self._under_way -= 1
            self._changed.set()

    def _from_own_queue(self, keeper: Keeper, step: Step[Output]) -> Step[Output]:
        within = TAKEN_AFTER_SILENCE_SECS if self._is_silent else TAKEN_WITHIN_SECS
        return replace(step, task_queue=keeper.task_queue, taken_within_secs=within)

    def _handed_on(self, keeper: Keeper, step: Step[Output]) -> Step[Output] | None:
        """The step as it goes to the run's own queue; None where it must not.

        What the server hands on with its answer to the run's turn comes to the worker that carries the turn out, in
        half the time that another queue takes. As a rule that is the keeper, as `before_run` was handed on, too. Where
        one does not come to the keeper, further ones go to its own queue.
        """
        if not isinstance(step.argument, ExecuteNodeInput) or self._is_silent:
            return None
        if not keeper.takes_handed_on or self._not_handed_on == keeper or not self._runtime.hands_on():
            return None
        return replace(
            step,
            argument=step.argument.model_copy(update={"keeper": keeper.task_queue}),
            task_queue=None,
            taken_within_secs=HANDED_ON_WITHIN_SECS,
        )

    async def _settled(self) -> None:
        """Waits while the run moves to another worker."""
        while self._moving is not None:
            moving = self._moving
            self._changed.clear()
            try:
                await self._changed.wait()
            except asyncio.CancelledError:
                moving.cancel()
                raise
        if self._failure is not None:
            raise self._failure

    async def _leave(self, keeper: Keeper) -> None:
        """Moves on when nothing is under way any more on a worker: one that shuts down ends what it has taken."""
        try:
            while self._under_way:
                self._changed.clear()
                await self._changed.wait()
            self._keeper = None if self._successor is None else await self._successor(keeper)
            self._is_silent = False
        except StepFailedError as failure:
            self._failure = failure
        finally:
            self._moving = None
            self._changed.set()


def _has_not_come(failure: StepFailedError) -> bool:
    """Whether the keeper has not had the step: another worker has refused it, or nobody has taken it.

    Releases that know nothing of refusals find no node in such a step, and have not begun any.
    """
    is_of_before = failure.error_type is ErrorType.CONFIGURATION and _NO_NODE in failure.message
    return failure.refused or failure.never_taken or is_of_before
