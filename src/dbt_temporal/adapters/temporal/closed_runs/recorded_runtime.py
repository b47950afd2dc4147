"""The world of a run that is gone through once more: it gets the answers that its history holds, and then an end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, FailureError, RetryState

from dbt_temporal.adapters.temporal.answers import hook_answer, pieces_told, plan_of, step_failure, step_output
from dbt_temporal.adapters.temporal.closed_runs.history import Answer, Command, RunHistory, Turn
from dbt_temporal.adapters.temporal.executions.fetching import FETCH_CARRIED
from dbt_temporal.adapters.temporal.executions.references import referred_to, resolved
from dbt_temporal.adapters.temporal.failures import to_hook_failed
from dbt_temporal.adapters.temporal.payloads.budget import TEMPORAL_BUDGET
from dbt_temporal.adapters.temporal.workflow.handing_on import HandingOn
from dbt_temporal.adapters.temporal.workflow.runtime import (
    arguments_with,
    exceeds,
    has_room_after,
    hook_workflow_id,
)
from dbt_temporal.application.ports.runtime import HookFailedError, StateChange, Step, StepFailedError
from dbt_temporal.application.ports.telemetry import Fact
from dbt_temporal.application.run.executions.parts import split_parts
from dbt_temporal.application.shielding import cancels_asked
from dbt_temporal.application.steps.messages import EndRunInput, EndRunOutput, StoreArtifactsInput
from dbt_temporal.application.steps.store_artifacts import StoreArtifacts
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.run.plan import HistoryLimits

Output = TypeVar("Output", bound=BaseModel)


class RecordedRuntime:
    """Implements `RunRuntime` by a history.

    Once the history is at its end, nothing runs any more but the storing of artifacts: what was under way is cancelled.
    What the run holds is not freed here but noted in `end`: its records must last until the artifacts are surely there.

    Args:
        history: of the run.
        converter: reads the answers.
        store_artifacts: does that step.
    """

    def __init__(self, history: RunHistory, converter: PayloadConverter, store_artifacts: StoreArtifacts) -> None:
        self.budget = TEMPORAL_BUDGET
        self.end: EndRunInput | None = None
        self.failure: DbtTemporalError | None = None
        """Why the artifacts could not be stored."""
        self._history = history
        self._converter = converter
        self._store_artifacts = store_artifacts
        self._turn = Turn(history.turns[0].time if history.turns else history.rest.time, 0, 0)
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._answers: dict[Command, asyncio.Future[Answer | None]] = {}
        self._asked: set[Command] = set()
        self._handing_on = HandingOn()
        self._closed = False
        self._word = asyncio.Event()

    def take(self, turn: Turn) -> None:
        """Tells the run what it was told in one turn."""
        self._turn = turn
        if turn.has_word:
            self._word.set()
        for command, answer in turn.answers:
            self._answer(command).set_result(answer)

    def has_asked(self, commands: list[Command]) -> bool:
        """Whether the run has asked for all of these by now."""
        return self._asked.issuperset(commands)

    def close(self, turn: Turn) -> None:
        """Tells the run what has come in last; of all else that it waits for, nothing will be heard any more."""
        self.take(turn)
        self._closed = True
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)

    def now(self) -> datetime:
        return self._turn.time

    async def run_step(self, step: Step[Output]) -> Output:
        cancels_before = cancels_asked()
        if step.task_queue is None:
            self._handing_on.sent(self._turn.events)
        answer = await self._recorded("step", step.name)
        if answer is None:
            return await self._at_the_end(step)
        if isinstance(answer.failure, asyncio.CancelledError):
            raise answer.failure
        if answer.failure is not None:
            raise step_failure(_activity_error(step, answer.failure), step, cancels_before)
        told = pieces_told(answer.value, step, self._converter)
        if told is not None:
            return await plan_of(told, self._history.pieces, step, cancels_before, lambda: asyncio.sleep(0))
        return step_output(answer.value, step, cancels_before, self._converter)

    async def _at_the_end(self, step: Step[Output]) -> Output:
        argument, output = step.argument, step.kind.output
        done: BaseModel | None = None
        if isinstance(argument, StoreArtifactsInput):
            try:
                done = await self._store_artifacts(argument)
            except DbtTemporalError as error:
                # No further attempts here: whoever goes through the run makes them.
                self.failure = error
                raise StepFailedError(error.error_type, error.message) from error
        elif isinstance(argument, EndRunInput):
            self.end, done = argument, EndRunOutput()
        if not isinstance(done, output):
            raise asyncio.CancelledError
        return done

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:  # noqa: ARG002 -- the port's
        cancels_before = cancels_asked()
        workflow_id = self.hook_place(hook_id)
        answer = await self._recorded("start of hook", workflow_id)
        ended = self._next("hook", workflow_id)
        if answer is not None and answer.failure is None and not hook.fire_and_forget:
            answer = await self._end_of(ended)
        if answer is None:
            raise asyncio.CancelledError
        if cancels_asked() > cancels_before:
            raise asyncio.CancelledError
        if isinstance(answer.failure, FailureError):
            raise to_hook_failed(answer.failure, hook)
        if answer.failure is not None:
            raise HookFailedError(str(answer.failure))
        return None if answer.value is None else hook_answer(answer.value, self._converter, lambda _error: None)

    def hook_place(self, hook_id: str) -> str:
        return hook_workflow_id(self._history.workflow_id, self._history.first_run_id, hook_id)

    async def sleep(self, seconds: float, why: str | None = None) -> None:  # noqa: ARG002 -- the history knows
        command = self._next("sleep", "")
        if not self._closed:
            await asyncio.shield(self._answer(command))

    async def breathe(self) -> None:
        """Lets others go on."""
        await asyncio.sleep(0)

    async def wait_for_word(self, seconds: float) -> None:
        if not self._word.is_set():
            # What the timer of the wait is in the history.
            waits = {asyncio.ensure_future(each) for each in (self.sleep(seconds), self._word.wait())}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()
        self._word.clear()

    def hands_on(self) -> bool:
        return self._handing_on.has_room(self._turn.events)

    def has_room(self) -> bool:
        return has_room_after(self._turn.events, self._turn.size)

    def is_longer_than(self, limits: HistoryLimits) -> bool:
        return exceeds(limits, self._turn.events, self._turn.size)

    async def answered_all(self) -> None:
        """For ever: if all had been answered, the run would have been handed over, and have another history."""
        await asyncio.get_running_loop().create_future()

    async def take_over(self, carried: bytes) -> list[bytes]:
        parts = split_parts(carried)
        if referred_to(parts):
            await self._recorded("step", FETCH_CARRIED)
        try:
            return resolved(parts, self._history.parts)
        except KeyError:
            raise configuration_error("what the run carries is not in its history") from None

    def can_carry(self, parts: Sequence[bytes]) -> bool:
        return arguments_with(self._converter, self._history.argument, parts, self._history.parts) is not None

    def hand_over(self, parts: Sequence[bytes]) -> NoReturn:
        """Never called, as `answered_all` comes before it."""
        raise AssertionError(f"the run was not handed over; it would carry {len(parts)} parts")

    @property
    def scheduled(self) -> None:
        """Nobody asks: the plan is in the history."""

    @property
    def execution(self) -> str:
        return self._history.run_id

    @property
    def was_reset(self) -> bool:
        """Whatever: nothing runs any more that would go by it."""
        return False

    def publish(self, changed: StateChange) -> None:
        """Nobody looks on."""

    def record(self, fact: Fact) -> None:
        """It was counted when it happened."""

    async def _recorded(self, kind: str, name: str) -> Answer | None:
        return await self._end_of(self._next(kind, name))

    def _next(self, kind: str, name: str) -> Command:
        self._numbers[kind, name] += 1
        command = Command(kind, name, self._numbers[kind, name])
        self._asked.add(command)
        return command

    async def _end_of(self, command: Command) -> Answer | None:
        """How it ended; None where that was not heard of. What is cancelled is waited for, as in the workflow."""
        answer = self._answer(command)
        while not answer.done() and not self._closed:
            try:
                await asyncio.shield(answer)
            except asyncio.CancelledError:
                continue
        return answer.result() if answer.done() else None

    def _answer(self, command: Command) -> asyncio.Future[Answer | None]:
        return self._answers.setdefault(command, asyncio.get_running_loop().create_future())


def _activity_error(step: Step[Any], cause: BaseException) -> ActivityError:
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=0,
        started_event_id=0,
        identity="",
        activity_type=step.name,
        activity_id="",
        retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED,
    )
    error.__cause__ = cause
    return error
