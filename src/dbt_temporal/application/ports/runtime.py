"""What the run needs of whatever carries it: a Temporal workflow, or this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from pydantic import BaseModel

from dbt_temporal.application.ports.telemetry import Fact
from dbt_temporal.domain.dates.logical_dates import ScheduledStart
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.log.run_log import RunLog
from dbt_temporal.domain.project_config import TimeoutsConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.plan import HistoryLimits
from dbt_temporal.domain.run.state import RunState

Input = TypeVar("Input", bound=BaseModel)
Output = TypeVar("Output", bound=BaseModel)


@dataclass(frozen=True)
class StepLimits:
    """How long one attempt may take, in seconds.

    Attributes:
        timeout_secs: start to close.
        heartbeat_secs: silence after which the attempt counts as lost; None where it does not heartbeat.
    """

    timeout_secs: float
    heartbeat_secs: float | None = None


@dataclass(frozen=True)
class StepKind(Generic[Input, Output]):
    """What a run can have done (`application.steps.table` declares all of them).

    Attributes:
        name: the activity type, and the name of the use case. A node's steps are named by themselves,
            `<resource_type>:<node_name>`.
        input: the one argument.
        output: what the step returns.
        limits: of one attempt, by the project's `timeouts`.
    """

    name: str
    input: type[Input]
    output: type[Output]
    limits: Callable[[TimeoutsConfig], StepLimits]


@dataclass(frozen=True)
class StepPriority:
    """A step's place among the steps that wait for a free worker.

    Attributes:
        level: 1 (first) to 5.
        fairness_key: among steps of one level, those of different keys take turns.
    """

    level: int
    fairness_key: str


@dataclass(frozen=True)
class Step(Generic[Output]):
    """One attempt at a step of the run; `application.run.retries` makes further ones.

    Attributes:
        kind: which step.
        argument: its input.
        limits: its time.
        label: the activity type where that is not the kind's name, as with nodes.
        activity_id: what operators call it by, unique among the steps under way; None for one that nobody knows.
        summary: one line for the UI.
        task_queue: another queue than the run's own, or None.
        priority: None for first come, first served.
        taken_within_secs: how long it may wait for a worker; None for ever.
    """

    kind: StepKind[Any, Output]
    argument: BaseModel
    limits: StepLimits
    label: str | None = None
    activity_id: str | None = None
    summary: str | None = None
    task_queue: str | None = None
    priority: StepPriority | None = None
    taken_within_secs: float | None = None

    @property
    def name(self) -> str:
        """The activity type."""
        return self.label or self.kind.name


@dataclass(frozen=True)
class Budget:
    """How large what a run sends to others may be. None means that nothing limits it.

    Attributes:
        output_bytes: all results in the run's output, as JSON.
        hook_bytes: what a hook is sent.
        step_results_bytes: all results in a step's input.
        log_bytes: the log in a step's input.
        message_chars: one message.
        code_chars: the compiled code of one result.
        input_chars: the run's input, in the step of each node.
    """

    output_bytes: int | None = None
    hook_bytes: int | None = None
    step_results_bytes: int | None = None
    log_bytes: int | None = None
    message_chars: int | None = None
    code_chars: int | None = None
    input_chars: int | None = None


UNLIMITED = Budget()


class StepFailedError(Exception):
    """A step that failed.

    Attributes:
        error_type: what kind of error it was.
        message: what went wrong.
        retryable: whether another attempt may help.
        result: the node's result, where the step ran a node that came to one.
        timed_out: whether it ran out of time.
        never_taken: whether no worker took it in time.
        unreachable: whether the database took no connection.
        reset: whether an operator has ended the attempt, so that another begins.
        refused: whether it has not come to the worker that it was for; then nothing was done.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        retryable: bool = False,
        result: NodeExecutionResult | None = None,
        timed_out: bool = False,
        never_taken: bool = False,
        unreachable: bool = False,
        reset: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.retryable = retryable
        self.result = result
        self.timed_out = timed_out
        self.never_taken = never_taken
        self.unreachable = unreachable
        self.reset = reset
        self.refused = refused

    @property
    def unheard(self) -> bool:
        """Whether nobody has heard how the step ended, although it may have done all its work."""
        if self.reset:
            return False
        return self.error_type is ErrorType.ENGINE_CRASHED or (self.timed_out and not self.never_taken)


class HookFailedError(Exception):
    """A hook workflow that could not be started, failed, was cancelled, or ran out of time."""


class RunPhase(StrEnum):
    """Where a run stands."""

    INITIALIZING = "initializing"
    PLANNING = "planning"
    PRE_RUN_HOOKS = "pre_run_hooks"
    EXECUTING = "executing"
    FINALIZING = "finalizing"


class RunRuntime(Protocol):
    """The run's world. All methods are deterministic on replay where the runtime is a workflow.

    Cancellation of the run reaches it as asyncio.CancelledError at whatever it awaits.
    """

    def now(self) -> datetime:
        """The time, with time zone."""

    @property
    def budget(self) -> Budget:
        """How large messages may be."""

    async def run_step(self, step: Step[Output]) -> Output:
        """Makes one attempt at a step. Cancelling the awaiting task cancels the step and waits for it.

        Raises:
            StepFailedError: the attempt failed; `retryable` says whether another may help.
            asyncio.CancelledError: the step was cancelled.
        """

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        """Starts a hook workflow and returns its result; with `fire_and_forget`, returns None once it has started.

        Args:
            hook: what to start.
            argument: its one JSON argument.
            hook_id: a name for it that is unique within the run.

        Raises:
            HookFailedError: with the reason.
        """

    def hook_place(self, hook_id: str) -> str | None:
        """The id of a hook's workflow, for whoever looks for it; None where hooks are no workflows."""

    async def sleep(self, seconds: float, why: str | None = None) -> None:
        """Waits (a timer, where the runtime is a workflow). `why` is told to people where waits are seen."""

    async def breathe(self) -> None:
        """Ends a turn of the run's code, of which none may take long. A cancel that comes meanwhile is not lost.

        For what is computed piece by piece; it takes no time that counts.
        """

    async def wait_for_word(self, seconds: float) -> None:
        """Waits until somebody says that something has changed that the run waits for, but no longer than this.

        It may end without that, and ends at once where it was said since the last wait.
        """

    def hands_on(self) -> bool:
        """Whether a step that is sent now to the run's own queue comes to the worker that has sent it, past the queue.

        It may come to another one all the same.
        """

    def has_room(self) -> bool:
        """Whether further attempts at nodes may start. Where not, what runs may end, and the run in order."""

    def is_longer_than(self, limits: HistoryLimits) -> bool:
        """Whether what this execution has done so far is more than that, so that the run should go on in another one.

        Never where runs have no executions.
        """

    async def answered_all(self) -> None:
        """Waits for what others have asked of the run and is under way: another execution has no answers to it."""

    async def take_over(self, carried: bytes) -> list[bytes]:
        """The parts of what the execution before this one has handed over, by what came with the start of this one.

        Raises:
            DbtTemporalError: of type Configuration, where they are not to be had any more.
        """

    def can_carry(self, parts: Sequence[bytes]) -> bool:
        """Whether another execution can be given as much, beside the run's input."""

    def hand_over(self, parts: Sequence[bytes]) -> NoReturn:
        """Ends this execution, and has another one go on with what is carried; only after `is_longer_than`.

        Raises:
            BaseException: the runtime's own, which is no Exception and must not be caught.
        """

    @property
    def scheduled(self) -> ScheduledStart | None:
        """What the schedule meant that has started the run; None where none has."""

    @property
    def execution(self) -> str:
        """What tells this execution from the others of the run; empty where there are none. A reset keeps it."""

    @property
    def was_reset(self) -> bool:
        """Whether this execution goes on where another one was cut off, which may have done more than it knows."""

    def publish(self, changed: StateChange) -> None:
        """Tells observers that the run's state has changed. Cheap; a runtime may gather changes."""

    def record(self, fact: Fact) -> None:
        """Takes note of a fact for metrics, once: never again on replay."""


@dataclass
class RunView:
    """What observers may see of a run. It goes on changing with the run, so a runtime reads it when it shows it.

    Attributes:
        state: statuses and counts.
        log: the run log.
        request: the project and the input, once the run is planned.
        with_turns: whether it is shown with what the run does anyhow, so that few timers are begun for it.
    """

    state: RunState
    log: RunLog
    request: tuple[str, DbtRunInput] | None = None
    with_turns: bool = False


@dataclass(frozen=True)
class StateChange:
    """What a runtime may show of the run. Fields left None have not changed.

    Attributes:
        view: the run as a whole.
        search_attributes: keyword search attributes to set.
        details: a few lines of Markdown on where the run stands, for the UI.
        log_lines: new lines of the run log, for whoever follows it.
    """

    view: RunView
    search_attributes: dict[str, str] | None = None
    details: str | None = None
    log_lines: Sequence[str] = ()
