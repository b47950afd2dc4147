"""What is known of a project's data, and the events that are made of it, in OpenLineage's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel


class EventType(StrEnum):
    """How a run goes on. A run has one START, and one of the others."""

    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


@dataclass(frozen=True)
class Dataset:
    """A table or view, by the server that it is on and its name there."""

    namespace: str
    name: str


@dataclass(frozen=True)
class LineageNode:
    """A node or source of dbt's.

    Attributes:
        resource_type: dbt's word.
        database, schema: where it is, or would be.
        table: its name there; None where nothing in the database is its own: of tests, and of ephemeral models.
        parents: the nodes and sources that it names.
        tests: of a test, which node or source it is about.
        assertion: of a test, what it says of that, such as `not_null`.
        column: of a test, the column that it is about.
    """

    resource_type: str
    database: str | None = None
    schema: str | None = None
    table: str | None = None
    parents: tuple[str, ...] = ()
    tests: str | None = None
    assertion: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class LineageGraph:
    """The nodes of a run, and all that these read.

    Attributes:
        namespace: the datasets' own; None where nobody has said what it is called on that adapter.
        nodes: by unique_id.
    """

    namespace: str | None = None
    nodes: Mapping[str, LineageNode] = field(default_factory=dict)


@dataclass(frozen=True)
class Assertion:
    """What a test has found of a dataset."""

    dataset: Dataset
    name: str
    success: bool
    column: str | None = None


@dataclass(frozen=True)
class ParentRun:
    """The run that another one is a part of, and its job."""

    run_id: str
    job: str


@dataclass(frozen=True)
class LineageEvent:
    """One event about one run of a job.

    Attributes:
        type: what has happened.
        time: when, in ISO 8601 with time zone.
        run_id: a UUID: the same one whoever tells the event, and however often.
        job: the job's name, in the namespace that the sender has for all of them.
        job_type: JOB for a run of dbt's, else MODEL, SNAPSHOT, SEED, TEST, ...
        parent: the run of dbt's that the run of a node is a part of.
        inputs, output: what the node reads and writes.
        rows: how many rows it has written, where the database has said so.
        assertion: what a test has found.
        message: what went wrong.
    """

    type: EventType
    time: str
    run_id: str
    job: str
    job_type: str
    parent: ParentRun | None = None
    inputs: tuple[Dataset, ...] = ()
    output: Dataset | None = None
    rows: int | None = None
    assertion: Assertion | None = None
    message: str | None = None


class RunEnded(BaseModel):
    """How a run has ended, and when (ISO 8601)."""

    outcome: Literal["passed", "failed", "skipped", "cancelled"]
    at: str
    message: str | None = None
