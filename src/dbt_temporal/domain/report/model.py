"""What a report tells of a run and its nodes. All times are seconds since the run began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.times import FailedAttempt


class ReportFacts(BaseModel):
    """What the run itself says of it.

    Attributes:
        target: the profile's target.
        threads: how many nodes might run at once.
        executing_since: when on-run-start began.
        ended: when all nodes and on-run-end had ended.
        success: whether all went well.
        cancelled: whether the run was cancelled.
        engine: what ran it, with its version; None in reports from before it was told.
    """

    target: str | None = None
    threads: int = 1
    executing_since: float = 0.0
    ended: float = 0.0
    success: bool = True
    cancelled: bool = False
    engine: str | None = None


@dataclass(frozen=True)
class NodeFacts:
    """What the project says of a node.

    Attributes:
        name: its name.
        resource_type: dbt's word: model, test, ...
        materialization: of what has one.
        relation: as dbt's console shows it.
        path: of its file, within the project.
        depends_on: unique_ids of the nodes of the run that it waits for.
    """

    name: str
    resource_type: str
    materialization: str | None = None
    relation: str | None = None
    path: str | None = None
    depends_on: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """In words: `table model`, `seed`, `test`."""
        if self.resource_type == "model" and self.materialization:
            return f"{self.materialization} model"
        return self.resource_type.replace("_", " ")


@dataclass(frozen=True)
class RunGraph:
    """The nodes of a run, by unique_id; of some of them the code, and of tests among these the relation in which they
    store the rows that they find, where they do."""

    nodes: Mapping[str, NodeFacts] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    stored_failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportNode:
    """A node, or an on-run-start or on-run-end hook.

    Attributes:
        result: how it ended.
        facts: what it is.
        ready: when all that it waits for had ended.
        last_parent: which of that was the last.
        started: when the run gave it a thread; None for what never ran.
        attempt_began: when its last attempt began.
        taken: when dbt began with it, on a worker; None where nobody knows.
        ended: None for what never ran.
        failed: earlier attempts, and the last one where it failed.
        phases: what dbt was busy with: name, begin, end.
        code: its compiled code, of nodes that failed or were slow.
    """

    result: NodeExecutionResult
    facts: NodeFacts
    ready: float
    last_parent: str | None = None
    started: float | None = None
    attempt_began: float | None = None
    taken: float | None = None
    ended: float | None = None
    failed: Sequence[FailedAttempt] = ()
    phases: Sequence[tuple[str, float, float]] = ()
    code: str | None = None

    @property
    def unique_id(self) -> str:
        """The node's."""
        return self.result.unique_id

    @property
    def span(self) -> float:
        """How long it had a thread, with all its attempts and the pauses between them."""
        return 0.0 if self.started is None or self.ended is None else self.ended - self.started

    @property
    def took(self) -> float:
        """What it took in dbt; of a node that was cancelled, of which dbt says nothing, how long it was under way."""
        if self.started is None:
            return 0.0
        return self.span if self.result.status == "cancelled" else self.result.execution_time

    @property
    def thread_wait(self) -> float:
        """How long it was ready and had no thread."""
        return 0.0 if self.started is None else max(self.started - self.ready, 0.0)

    @property
    def worker_wait(self) -> float:
        """How long its last attempt took to get to dbt: waiting for a worker, and for its process to be ready."""
        return 0.0 if self.taken is None or self.attempt_began is None else max(self.taken - self.attempt_began, 0.0)

    @property
    def is_failed(self) -> bool:
        """Whether it ran and did not succeed."""
        return self.result.status in ("error", "cancelled")


@dataclass(frozen=True)
class Critical:
    """The chain of nodes, each waiting for the one before, that took longest: no number of threads makes a run
    quicker."""

    nodes: Sequence[ReportNode]
    seconds: float


@dataclass(frozen=True)
class Change:
    """A node that took another time than in the run before."""

    node: ReportNode
    before: float

    @property
    def difference(self) -> float:
        """In seconds; above 0 where it takes longer now."""
        return self.node.result.execution_time - self.before


@dataclass(frozen=True)
class Comparison:
    """With the run before, of the same project, target and command.

    Attributes:
        invocation_id: of the run before.
        ended_at: when that ended, in ISO 8601.
        elapsed: how long it took; None where it had other nodes, so that the two cannot be compared.
        common: how many nodes have succeeded in both.
        seconds: how long these took now, together.
        before: how long they took then.
        changes: those that changed most, the largest first.
        newly_failed: nodes that did well before.
        mended: nodes that did not.
        added: how many nodes were not in the run before.
        gone: how many only that had.
    """

    invocation_id: str
    ended_at: str
    elapsed: float | None
    common: int
    seconds: float
    before: float
    changes: Sequence[Change]
    newly_failed: Sequence[ReportNode]
    mended: Sequence[ReportNode]
    added: int
    gone: int


@dataclass(frozen=True)
class RunReport:
    """All of it.

    Attributes:
        project: the project's name.
        command: what was run, in dbt's words.
        invocation_id: the run's.
        started_at: in ISO 8601.
        revision: of the project, where it has one.
        facts: of the run.
        nodes: in the order in which they started; then what never ran.
        critical: the longest chain.
        comparison: None where there is no run before.
    """

    project: str
    command: str
    invocation_id: str
    started_at: str
    revision: str | None
    facts: ReportFacts
    nodes: Sequence[ReportNode]
    critical: Critical
    comparison: Comparison | None = None
