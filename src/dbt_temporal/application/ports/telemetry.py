"""Facts that metrics are made of. Their fields are labels, so they are few: never a run's id, and of nodes those alone
that failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class NodeEnded:
    """A node of a run has its final status.

    Attributes:
        seconds: what dbt measured; None where it never ran.
        failed: the unique_id of a node that has failed.
        source: the unique_id of a source whose age was found.
        loaded_at: its newest row, in seconds since 1970.
    """

    project: str
    resource_type: str
    status: str
    seconds: float | None = None
    failed: str | None = None
    source: str | None = None
    loaded_at: float | None = None


@dataclass(frozen=True)
class RunEnded:
    """A run has ended as passed, failed, skipped or cancelled; `project` is empty where it never got a plan."""

    project: str
    command: str
    status: str
    seconds: float
    ended_at: datetime


@dataclass(frozen=True)
class StepStarted:
    """A worker took a step up after `waited_seconds` in the queue; `step` is a resource type, or the step's name."""

    project: str
    step: str
    waited_seconds: float


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt at a step failed; others may follow."""

    project: str
    step: str
    error_type: str


@dataclass(frozen=True)
class ProjectParsed:
    """The engine has parsed a project: which engine, and its version of dbt."""

    project: str
    seconds: float
    engine: str
    dbt_version: str


@dataclass(frozen=True)
class HostsCounted:
    """How many processes that execute runs this worker has now."""

    count: int


@dataclass(frozen=True)
class ActionsTaken:
    """What Temporal Cloud bills: a run's start, an activity's attempt, a heartbeat, a timer, ...; `kind` says what."""

    kind: str
    count: int = 1


Fact = NodeEnded | RunEnded | StepStarted | AttemptFailed | ProjectParsed | HostsCounted | ActionsTaken


class Telemetry(Protocol):
    """Takes note of facts. It never raises, and costs next to nothing."""

    def record(self, fact: Fact) -> None:
        """Takes note of one."""


class NoTelemetry:
    """Takes no note."""

    def record(self, fact: Fact) -> None:
        """Does nothing."""
