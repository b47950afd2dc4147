"""Submitting runs and watching them from outside, apart from how they are reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from dbt_temporal.domain.log.said import SaidEvent
from dbt_temporal.domain.results import ArtifactPaths, DbtRunOutput
from dbt_temporal.domain.run.input import DbtRunInput

RUN_STATUSES = ("running", "held", "passed", "failed", "skipped", "cancelled", "terminated", "timed out")
"""How a run stands, as lists of runs have it."""


class Ending(StrEnum):
    """How the workflow ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed out"


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        ending: how the workflow ended.
        output: what the run returned, or carried in its failure; of a cancelled one, what a worker answers. None where
            it never got that far, and where no worker answers.
        error_type: the application failure's type, where the workflow failed.
        message: the failure's message.
    """

    ending: Ending
    output: DbtRunOutput | None = None
    error_type: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands at one moment. What could not be learnt is empty."""

    phase: str = ""
    total_nodes: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """Nodes by status: succeeded, failed, skipped, running."""
    node_status: Mapping[str, str] = field(default_factory=dict)
    new_log_lines: Sequence[str] = ()
    new_numbered: Sequence[str] = ()
    """unique_ids of the nodes that have got numbers in the log since, in the order of these."""
    new_said: Sequence[SaidEvent] = ()
    """What dbt and the project have said in the new lines; their places are among these."""


@dataclass(frozen=True)
class StoredRun:
    """What a run has left in the artifact store: its artifacts, and its report where it has one."""

    artifacts: ArtifactPaths
    report_path: str | None = None


class SubmittedRun(Protocol):
    """A run that a Temporal server knows. Its methods raise nothing for a worker that does not answer."""

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""

    async def snapshot(self, *, with_nodes: bool, with_events: bool = False) -> Snapshot | None:
        """Where the run stands, with the log lines that no earlier snapshot had; None where no worker answers.

        Args:
            with_nodes: with the state of each node.
            with_events: with what events are made of beside lines: the nodes that have got numbers, and what was said;
                nothing of it where the run's worker does not know that yet.
        """

    async def outcome(self) -> Outcome:
        """Waits for the end of the run, through outages of the server too.

        Raises:
            DbtTemporalError: of type Configuration, where the server says that it will not tell.
        """

    async def cancel(self) -> None:
        """Asks the run to stop; it ends its running nodes first.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not answer.
        """

    async def terminate(self, reason: str) -> None:
        """Ends the workflow at once, without a worker's part in it.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not answer.
        """


class RunGateway(Protocol):
    """Where runs are submitted."""

    @property
    def place(self) -> str:
        """The task queue, namespace and server in words, for messages."""

    async def submit(self, run_input: DbtRunInput, workflow_id: str) -> SubmittedRun:
        """Starts the workflow `dbt_run`.

        Raises:
            DbtTemporalError: of type Configuration, where the server does not take it.
        """

    async def invocation_id(self, workflow_id: str) -> str:
        """dbt's invocation id of a run, by the id of its workflow.

        Raises:
            DbtTemporalError: of type Configuration, where there is no such workflow, or the server does not answer.
        """

    async def stored(self, workflow_id: str) -> StoredRun | None:
        """What a run has stored that has no output, as one that was cancelled; None where nothing is known of it."""

    async def answers(self) -> bool:
        """Whether the server itself answers, apart from workers; known within two seconds."""

    async def has_workers(self) -> bool:
        """Whether a worker has asked for work lately. True where the server does not say."""
