"""What the run needs of whatever carries it: a Temporal workflow, or this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from dbt_temporal.application.ports.telemetry import Fact
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.domain.hooks import HookConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.log import RunLog
from dbt_temporal.domain.run.state import RunState

Output = TypeVar("Output", bound=BaseModel)


class StepName(StrEnum):
    """The named steps. A node's step has a name of its own, `<resource_type>:<node_name>`."""

    PLAN_PROJECT = "plan_project"
    BEFORE_RUN = "before_run"
    AFTER_RUN = "after_run"
    STORE_ARTIFACTS = "store_artifacts"
    END_RUN = "end_run"


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
class Step:
    """One attempt at an activity-like step of the run; `application.retries` makes further ones.

    Attributes:
        name: the activity type.
        argument: its input.
        timeout_secs: time for one attempt (start to close).
        heartbeat_secs: silence after which the attempt counts as lost; None where it does not heartbeat.
        summary: one line for the UI.
        task_queue: another queue than the run's own, or None.
        priority: None for first come, first served.
    """

    name: str
    argument: BaseModel
    timeout_secs: float
    heartbeat_secs: float | None = None
    summary: str | None = None
    task_queue: str | None = None
    priority: StepPriority | None = None


class StepFailedError(Exception):
    """A step that failed.

    Attributes:
        error_type: what kind of error it was.
        message: what went wrong.
        retryable: whether another attempt may help.
        result: the node's result, where the step ran a node that came to one.
        timed_out: whether it ran out of time.
        last_facts: what the step last told of itself by a heartbeat, where it was lost.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        retryable: bool = False,
        result: NodeExecutionResult | None = None,
        timed_out: bool = False,
        last_facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.retryable = retryable
        self.result = result
        self.timed_out = timed_out
        self.last_facts = last_facts


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
        ...

    async def run_step(self, step: Step, output_type: type[Output]) -> Output:
        """Makes one attempt at a step. Cancelling the awaiting task cancels the step and waits for it.

        Raises:
            StepFailedError: the attempt failed; `retryable` says whether another may help.
            asyncio.CancelledError: the step was cancelled.
        """
        ...

    async def run_hook(self, hook: HookConfig, argument: Any, hook_id: str) -> Any:
        """Starts a hook workflow and returns its result; with `fire_and_forget`, returns None once it has started.

        Args:
            hook: what to start.
            argument: its one JSON argument.
            hook_id: a name for it that is unique within the run.

        Raises:
            HookFailedError: with the reason.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits (a timer, where the runtime is a workflow)."""
        ...

    def has_room(self) -> bool:
        """Whether further attempts at nodes may start. Where not, what runs may end, and the run in order."""
        ...

    def publish(self, changed: StateChange) -> None:
        """Tells observers that the run's state has changed. Cheap; a runtime may gather changes."""
        ...

    def record(self, fact: Fact) -> None:
        """Takes note of a fact for metrics, once: never again on replay."""
        ...


@dataclass
class RunView:
    """What observers may see of a run. It goes on changing with the run, so a runtime reads it when it shows it.

    Attributes:
        state: statuses and counts.
        log: the run log.
        asked: the project and the input, once the run is planned.
    """

    state: RunState
    log: RunLog
    asked: tuple[str, DbtRunInput] | None = None


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
