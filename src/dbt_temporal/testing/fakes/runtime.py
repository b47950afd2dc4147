"""A runtime for the run whose steps and hooks end as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel

from dbt_temporal.application.ports.runtime import (
    UNLIMITED,
    Budget,
    HookFailedError,
    StateChange,
    Step,
    StepFailedError,
)
from dbt_temporal.application.ports.telemetry import Fact
from dbt_temporal.application.run.executions.parts import join_parts, split_parts
from dbt_temporal.application.steps.messages import (
    AfterRunInput,
    EndRunOutput,
    ExecuteNodeInput,
    PlanProjectInput,
    PlanProjectOutput,
    ProjectHooksOutput,
    StoreArtifactsInput,
    StoreArtifactsOutput,
    TakeLeaseOutput,
)
from dbt_temporal.application.steps.table import BEFORE_RUN, END_RUN, RESUME_RUN, STORE_ARTIFACTS, TAKE_LEASE
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.dates.logical_dates import ScheduledStart
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.results import ArtifactPaths, NodeExecutionResult
from dbt_temporal.domain.run.plan import HistoryLimits
from dbt_temporal.testing.builders import result

Output = TypeVar("Output", bound=BaseModel)
Scripted = TypeVar("Scripted")

NodeEnd = NodeExecutionResult | StepFailedError


@dataclass
class StartedHook:
    """One hook that the run started."""

    hook: HookConfig
    argument: Any
    hook_id: str


class HandedOver(BaseException):
    """The execution has ended; another one goes on with what the runtime has of it."""


class FakeRuntime:
    """Implements `RunRuntime`. The clock advances by one second with every step that ends.

    Attributes:
        planned: what `plan_project` ends with, in turn where it is a sequence.
        nodes: for a unique_id, what its step ends with; nodes that are not named succeed.
        parts: for the unique_id of a microbatch model, what makes the ends of its parts.
        lost_queues: queues of workers that are lost: no step that is sent there is taken.
        hands_on_to: the own queue of the worker that takes what is handed on; None where nothing is.
        retries: for a unique_id, the reasons of failed attempts before the end, or their failures.
        gates: a node with a gate ends only when the gate is set.
        at_gates: those that have come to their gates.
        take_lease, before_run, after_run, resume_run, store_artifacts, end_run: what these steps end with; a sequence
            is taken in turn.
        hooks: for a workflow type, its answer, or the error to raise; None for those that are not named.
        steps, hooks_started, changes, slept, waited: what was asked, in order.
        slept_for: why it was slept, for each time.
        awake: while it is not set, whoever sleeps goes on sleeping.
        cancelled: names of the steps that were cancelled.
        facts: what was recorded for metrics, in order.
        most_running: how many nodes ran at once at most.
        room: how many steps there is room for.
        hand_over_after: after so many steps, the run goes on in another execution; None for never.
        carried: what was handed over, in turn.
        can_carry_bytes: how much can be.
        was_reset: whether the executions from now on go on where others were cut off.
        answered: while it is not set, something is to be answered before a hand-over.
        budget: how large messages may be.
        scheduled_start: what the schedule meant that has started the run.
    """

    def __init__(
        self, planned: PlanProjectOutput | StepFailedError | Sequence[PlanProjectOutput | StepFailedError]
    ) -> None:
        self.planned = planned
        self.nodes: dict[str, NodeEnd] = {}
        self.parts: dict[str, Callable[[BatchPart], NodeEnd]] = {}
        self.lost_queues: set[str] = set()
        self.hands_on_to: str | None = None
        self.retries: dict[str, Sequence[str | StepFailedError]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.at_gates: set[str] = set()
        self.take_lease: Sequence[TakeLeaseOutput | StepFailedError] = [TakeLeaseOutput(granted=True)]
        self.before_run: Sequence[ProjectHooksOutput | StepFailedError] = [ProjectHooksOutput()]
        self.after_run: Sequence[ProjectHooksOutput | StepFailedError] = [ProjectHooksOutput()]
        self.store_artifacts: StoreArtifactsOutput | StepFailedError = StoreArtifactsOutput(
            artifacts=ArtifactPaths(run_results_path="/store/run_results.json", log_path="/store/log.txt"),
            log_path="/store/log.txt",
        )
        self.resume_run: ProjectHooksOutput | StepFailedError = ProjectHooksOutput()
        self.end_run: EndRunOutput | StepFailedError = EndRunOutput()
        self.scheduled_start: ScheduledStart | None = None
        self.hooks: dict[str, Any] = {}
        self.steps: list[Step[Any]] = []
        self.hooks_started: list[StartedHook] = []
        self.changes: list[StateChange] = []
        self.slept: list[float] = []
        self.slept_for: list[str | None] = []
        self.waited: list[float] = []
        self.facts: list[Fact] = []
        self.cancelled: list[str] = []
        self.most_running = 0
        self.room = 1_000_000
        self.hand_over_after: int | None = None
        self.carried: list[bytes] = []
        self.can_carry_bytes = 1_000_000
        self.was_reset = False
        self.answered = asyncio.Event()
        self.answered.set()
        self._steps_before = 0
        self.budget: Budget = UNLIMITED
        self.awake = asyncio.Event()
        self.awake.set()
        self._running = 0
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def step_names(self) -> list[str]:
        """The names of all steps, in the order in which they were started."""
        return [str(step.name) for step in self.steps]

    @property
    def nodes_started(self) -> list[str]:
        """The unique_ids of the nodes that were started, in order."""
        arguments = [step.argument for step in self.steps]
        return [argument.unique_id for argument in arguments if isinstance(argument, ExecuteNodeInput)]

    @property
    def stored(self) -> StoreArtifactsInput | None:
        """What was to be stored, or None."""
        for step in self.steps:
            if isinstance(step.argument, StoreArtifactsInput):
                return step.argument
        return None

    @property
    def seen_by_on_run_end(self) -> list[NodeExecutionResult] | None:
        """The results that on-run-end was given, or None where it was not run."""
        for step in self.steps:
            if isinstance(step.argument, AfterRunInput):
                return step.argument.results
        return None

    @property
    def outcome(self) -> str | None:
        """The last DbtStatus that was published."""
        published = [change.search_attributes or {} for change in self.changes]
        return next((each["DbtStatus"] for each in reversed(published) if "DbtStatus" in each), None)

    def now(self) -> datetime:
        """The fake clock."""
        return self._now

    async def run_step(self, step: Step[Output]) -> Output:
        """Ends the step as scripted."""
        self.steps.append(step)
        # A real step never ends in the turn of the loop in which it starts.
        await asyncio.sleep(0)
        try:
            end = await self._end_of(step)
        except asyncio.CancelledError:
            self.cancelled.append(str(step.name))
            raise
        self._now += timedelta(seconds=1)
        if isinstance(end, StepFailedError):
            raise end
        assert isinstance(end, step.kind.output)
        return end

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        """Answers as scripted."""
        self.hooks_started.append(StartedHook(hook, argument, hook_id))
        await asyncio.sleep(0)
        answer = self.hooks.get(hook.workflow_type)
        if isinstance(answer, HookFailedError):
            raise answer
        return None if hook.fire_and_forget else answer

    def hook_place(self, hook_id: str) -> str | None:
        """A name that is easy to find."""
        return f"the-run/{hook_id}"

    async def sleep(self, seconds: float, why: str | None = None) -> None:
        """Lets the fake clock run."""
        self.slept.append(seconds)
        self.slept_for.append(why)
        await self.awake.wait()
        self._now += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    async def breathe(self) -> None:
        """Lets others go on."""
        await asyncio.sleep(0)

    async def wait_for_word(self, seconds: float) -> None:
        """Lets the fake clock run."""
        self.waited.append(seconds)
        self._now += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def hands_on(self) -> bool:
        """Whether anybody takes such steps."""
        return self.hands_on_to is not None

    def has_room(self) -> bool:
        """Whether fewer steps than `room` have been started."""
        return len(self.steps) < self.room

    def is_longer_than(self, limits: HistoryLimits) -> bool:  # noqa: ARG002 -- the test says when
        """Whether `hand_over_after` steps have been started since the last hand-over."""
        return self.hand_over_after is not None and len(self.steps) - self._steps_before >= self.hand_over_after

    async def answered_all(self) -> None:
        """Waits until `answered` is set."""
        await self.answered.wait()

    async def take_over(self, carried: bytes) -> list[bytes]:
        """What was handed over."""
        return split_parts(carried)

    def can_carry(self, parts: Sequence[bytes]) -> bool:
        """Whether they are no more than `can_carry_bytes`."""
        return sum(map(len, parts)) <= self.can_carry_bytes

    def hand_over(self, parts: Sequence[bytes]) -> NoReturn:
        """Takes note. Raises HandedOver."""
        self.carried.append(join_parts(parts))
        self._steps_before = len(self.steps)
        raise HandedOver

    @property
    def scheduled(self) -> ScheduledStart | None:
        """As the test says."""
        return self.scheduled_start

    @property
    def execution(self) -> str:
        """A name for each."""
        return f"execution-{len(self.carried)}"

    def publish(self, changed: StateChange) -> None:
        """Takes note."""
        self.changes.append(changed)

    def record(self, fact: Fact) -> None:
        """Takes note."""
        self.facts.append(fact)

    async def _end_of(self, step: Step[Any]) -> BaseModel | StepFailedError:
        if step.task_queue in self.lost_queues:
            return StepFailedError(ErrorType.ADAPTER, "timed out", retryable=True, never_taken=True)
        if isinstance(step.argument, ExecuteNodeInput):
            if step.argument.keeper not in (None, self.hands_on_to):
                return StepFailedError(ErrorType.CONFIGURATION, "for another worker", refused=True)
            return await self._end_of_node(step, step.argument.unique_id)
        if isinstance(step.argument, PlanProjectInput):
            return self._plan(step, step.argument)
        if step.kind is STORE_ARTIFACTS:
            return self.store_artifacts
        if step.kind is END_RUN:
            return self.end_run
        if step.kind is RESUME_RUN:
            return self.resume_run
        if step.kind is TAKE_LEASE:
            return self._in_turn(step, self.take_lease)
        return self._in_turn(step, self.before_run if step.kind is BEFORE_RUN else self.after_run)

    def _in_turn(self, step: Step[Any], script: Sequence[Scripted]) -> Scripted:
        attempt = self.step_names.count(str(step.name))
        return script[min(attempt, len(script)) - 1]

    def _plan(self, step: Step[Any], request: PlanProjectInput) -> PlanProjectOutput | StepFailedError:
        planned = self._in_turn(step, self.planned) if isinstance(self.planned, Sequence) else self.planned
        if isinstance(planned, StepFailedError):
            return planned
        invocation = planned.invocation.model_copy(
            update={"input": request.input, "invocation_id": request.invocation_id}
        )
        return planned.model_copy(update={"invocation": invocation})

    async def _end_of_node(self, step: Step[Any], unique_id: str) -> NodeEnd:
        self._running += 1
        self.most_running = max(self.most_running, self._running)
        try:
            await asyncio.sleep(0)
            reasons = self.retries.get(unique_id, ())
            attempt = self.step_names.count(str(step.name))
            if attempt <= len(reasons):
                reason = reasons[attempt - 1]
                if isinstance(reason, StepFailedError):
                    return reason
                return StepFailedError(ErrorType.ADAPTER, reason, retryable=True)
            if unique_id in self.gates:
                self.at_gates.add(unique_id)
                await self.gates[unique_id].wait()
        finally:
            self._running -= 1
        part = step.argument.part if isinstance(step.argument, ExecuteNodeInput) else None
        if part is not None and unique_id in self.parts:
            return self.parts[unique_id](part)
        return self.nodes.get(unique_id, result(unique_id))
