"""The dbt engine, seen from the application: projects, runs, nodes and results, never dbt's Python types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from dbt_temporal.application.ports.lineage.source import LineageSource
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.leases.messages import Lease, LeasePer
from dbt_temporal.domain.report.model import RunGraph
from dbt_temporal.domain.results import NodeExecutionResult, NodeStatus
from dbt_temporal.domain.run.invocation import DbtInvocation, HeldDatabase, LostWork
from dbt_temporal.domain.run.plan import EphemeralTurn, ExecutionPlan


@dataclass(frozen=True)
class ProjectLocation:
    """Where a project lies on this machine. Nothing is ever written there."""

    project_dir: Path
    profiles_dir: Path
    revision: str | None = None
    source: str = ""
    """The source as the user gave it: a path, or a URL without credentials."""
    target: str | None = None
    """The worker's DBT_TARGET; a run's own target comes first."""
    engine: str | None = None
    """`engine` in dbt_temporal.yml; None means the worker's default."""
    changeable: bool = False
    """Whether somebody may edit it while the worker runs, as a local folder; `revision` is then of the last reading."""


@dataclass(frozen=True)
class LoadedProject:
    """A project, with what the start-up table shows of it. The defaults are those of one that is not parsed yet."""

    name: str
    location: ProjectLocation
    adapter_type: str = ""
    target: str = ""
    threads: int = 0
    engine: str = "dbt-core"
    dbt_version: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    load_seconds: float = 0.0


@dataclass(frozen=True)
class EnginePlan:
    """A plan with the facts of the profile that the run needs. `plan.write_artifacts` is not the engine's to say.

    Attributes:
        engine: which engine has made it.
        ephemerals: selected ephemeral models that are no nodes of the plan, by unique_id.
        taken_over: fields of the run's input that a retried run gives, because the input does not.
        fail_fast: dbt's resolved flag: of the run's input, else of the environment or the project's `flags:`.
        ends_on_error: whether the command ends at its first error.
        unrepeatable: nodes that may leave something else in the database when run twice, as their materialization says.
        nothing_to_do: whether nothing is selected; a plan without nodes may stand for ephemeral models, with hooks.
        messages: what the console has of parsing and planning beside their progress, a line each.
        runs_ahead: whether the engine runs the nodes by itself once `before_run` has begun, in its own order, and
            `execute_node` waits for their ends. It is the engine then that says which nodes are skipped, and that ends
            a run by fail-fast; nobody can keep it from a node whose turn has not come.
    """

    plan: ExecutionPlan
    target: str
    threads: int
    dbt_version: str
    adapter_type: str
    counts: Mapping[str, int] = field(default_factory=dict)
    fail_fast: bool = False
    engine: str = "dbt-core"
    ends_on_error: bool = False
    unrepeatable: frozenset[str] = frozenset()
    nothing_to_do: bool = False
    messages: Sequence[str] = ()
    runs_ahead: bool = False
    ephemerals: Mapping[str, EphemeralTurn] = field(default_factory=dict)
    taken_over: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StatePart:
    """What a node or hook has left in the memory of the run's process, for later ones. Opaque to all but the engine.
    Its number counts up from 1, with gaps, and no other part of the run has it."""

    number: int
    content: bytes


@dataclass(frozen=True)
class NodeOutcome:
    """What one attempt at a node, or one hook, left behind.

    Attributes:
        result: the small result that travels through the run.
        error: None, or (error type, retryable) as the engine classified the failure, where the exception still was.
        record: the engine's own document about the node, of which artifacts are made later, perhaps on another worker.
        log: the text that dbt logged while the node ran.
        state: what it has left in the process, or None.
    """

    result: NodeExecutionResult
    error: NodeErrorClass | None = None
    record: bytes = b""
    log: str = ""
    state: StatePart | None = None


@dataclass(frozen=True)
class NodeErrorClass:
    """The classification of a failure, as in `dbt_temporal.domain.errors.DbtTemporalError`."""

    error_type: str
    retryable: bool
    unreachable: bool = False


@dataclass(frozen=True)
class Prepared:
    """How the work before the first node ended.

    Attributes:
        hooks: outcomes of on-run-start, in order.
        nodes_may_run: whether the nodes are to be run; where not, a failed hook skips them by the engine's own rule.
        database: the run's database, where it is in the memory of the process that did this work.
        state: what the hooks have left in the process, or None.
        keeps_state: why all nodes of the run must have what hooks and nodes leave there; None where they need not.
        keeps_worker: why all steps go to this worker for another reason than these; another can go on when it is lost.
        knows_all: of `resume`, whether this machine knows of all nodes that were begun before, how they have ended.
        may_have_run: of `before_run`, whether a lost attempt may have run nodes of which this machine knows nothing.
        worker, mark: its worker's name for people, and one that no other worker ever has, for `LostWork`.
        messages: what the console has of this work beside hooks, a line each.
    """

    hooks: list[NodeOutcome] = field(default_factory=list)
    nodes_may_run: bool = True
    database: HeldDatabase | None = None
    state: StatePart | None = None
    keeps_state: str | None = None
    keeps_worker: str | None = None
    knows_all: bool = False
    may_have_run: bool = False
    worker: str = ""
    messages: Sequence[str] = ()
    mark: str = ""


@dataclass(frozen=True)
class CompletedNode:
    """A result with the engine's record of it.

    Attributes:
        result: the result.
        record: empty for nodes that never ran.
        behind: of a skipped node, the ephemeral model that dbt names as the cause; empty for none, None for not known.
        behind_if_failed: the one that it names in place of that, if that does not compile; empty where there is none.
        batches: records of a node's batches, where it has any.
    """

    result: NodeExecutionResult
    record: bytes = b""
    behind: str | None = None
    behind_if_failed: str = ""
    batches: Sequence[bytes] = ()


ReadState = Callable[[], Awaitable[Sequence[StatePart]]]
Progress = Callable[[Mapping[str, Any]], None]
"""Called with facts about what runs (its process), which heartbeats carry on."""
BEGUN = "begun"
"""The fact by which an engine that runs ahead tells that a node has begun, for which a step has waited until then; or,
where it is false, that the node was ended for another one's sake, and is to begin once more."""


def no_progress(_facts: Mapping[str, Any]) -> None:
    """For callers whom nobody watches."""


class EngineRun(LineageSource, Protocol):
    """One invocation on one engine, as `DbtEngine.open` gives it. All methods raise `DbtTemporalError`s that fit.

    `execute_node` and `after_run` raise Configuration where the run's database was in the memory of another process, or
    of one that has ended (`DbtInvocation.database`), or what hooks and nodes left there cannot be had here; and
    ProjectNotFound, retryable, where the files have another revision and nothing that was parsed of its own is at hand.

    The statements of `before_run`, `execute_node` and `after_run` begin when no other attempt at the same step runs any
    more in the database, as far as it has means to end them: not even one of another run with the same
    `DbtInvocation.owner`.

    Cancelling the task that awaits `before_run`, `execute_node` or `after_run` cancels the statements of that call in
    the database, and only those (an engine that runs ahead may have to begin others anew for that); the call returns
    (by raising CancelledError) when they have ended or could not be reached any more.
    """

    async def plan(self) -> EnginePlan:
        """Selects nodes and edges by dbt's own code for the invocation's command."""

    async def lease(self, per: LeasePer, unique_ids: Collection[str]) -> Lease | None:
        """What the run has to have for itself alone, in order to run these nodes.

        Args:
            per: of which kind.
            unique_ids: the nodes of the plan.

        Returns:
            None where it writes nothing of the kind, or no other process reaches what it writes.
        """

    async def before_run(self, progress: Progress, attempt: int = 1, lost: LostWork | None = None) -> Prepared:
        """Does what the engine does once before the first node, on-run-start with it.

        Args:
            progress: hears of what runs.
            attempt: its number, by which `outcome_of_before_run` finds how it ended.
            lost: of an engine that runs ahead, the attempts before, and the nodes that these may have run.
        """

    async def outcome_of_before_run(self, attempt: int) -> Prepared | None:
        """How an attempt at `before_run` ended of which nobody has heard, as `outcome_of` says it of nodes."""

    async def use_state(self, read: ReadState, without: Collection[str] = ()) -> None:
        """Says where the parts of the run's state are, to be read where a process that is to do something has none.

        Args:
            read: reads all parts.
            without: nodes that are run again, and leave again what they have left.
        """

    async def resume(
        self, progress: Progress, ended: Mapping[str, NodeStatus] = MappingProxyType({}), lost: LostWork | None = None
    ) -> Prepared:
        """Sets up a process that goes on with the run in place of the one that `before_run` had, with its state.

        Args:
            progress: hears of what runs.
            ended: of an engine that runs ahead, the nodes that have ended as far as the run knows, and how.
            lost: of one, too: the worker in whose place it goes on, and the nodes that may have run there.

        Returns:
            `Prepared` without hooks; its `state` says with what the process has begun.

        Raises:
            DbtTemporalError: of type Configuration, where the state or the run's database is not to be had here.
        """

    async def execute_node(
        self,
        unique_id: str,
        progress: Progress,
        ephemerals: Sequence[str] = (),
        part: BatchPart | None = None,
        attempt: int = 1,
        *,
        behind_failure: bool = False,
        again: bool = True,
    ) -> NodeOutcome:
        """Makes one attempt at one node. A failed node is an outcome with `error` set, not an exception.

        Args:
            unique_id: the node.
            progress: hears of what runs.
            ephemerals: of the plan's, those whose turns come before the node.
            part: of a node that the plan calls `batched`, what of it is to be done.
            attempt: its number, by which `outcome_of` finds how it ended.
            behind_failure: of an engine that runs ahead, that something above the node has not ended well, as the run
                has it: where the engine has no word of the node, it is skipped.
            again: of an engine that runs ahead, whether it may begin the node once more for the same attempt, where it
                had to end it for another node's sake; else the attempt is lost.

        Raises:
            DbtTemporalError: EngineCrashed where the process that ran the node died; Adapter, Compilation or
                Configuration where the run could not be set up.
        """

    async def outcome_of(self, unique_id: str, attempt: int, part: BatchPart | None = None) -> NodeOutcome | None:
        """How an attempt ended of which nobody has heard, as far as this machine knows.

        What still runs of it, or of any other attempt at the node, is ended first, in the database too; raises where it
        could not be.

        Returns:
            The outcome, where the attempt came to its own end; None where it did not, or nothing is known of it.
        """

    async def after_run(self, results: list[CompletedNode], progress: Progress, attempt: int = 1) -> list[NodeOutcome]:
        """Runs on-run-end, which sees `results`. Returns the hooks' outcomes.

        An engine that runs ahead is asked for it without hooks, too: it raises what went wrong besides.

        Args:
            results: of on-run-start and of the nodes.
            progress: hears of what runs.
            attempt: its number, by which `outcome_of_after_run` finds how it ended.
        """

    async def outcome_of_after_run(self, attempt: int) -> list[NodeOutcome] | None:
        """How an attempt at `after_run` ended of which nobody has heard, as `outcome_of` says it of nodes."""

    async def artifacts(
        self, results: list[CompletedNode], elapsed_time: float, *, with_catalog: bool = False, with_sql: bool = False
    ) -> Mapping[str, Path]:
        """Writes the artifacts as dbt does: run_results.json, manifest.json, and what applies.

        Args:
            results: of nodes and hooks, in the order of run_results.json.
            elapsed_time: of the run, in seconds.
            with_catalog: whether the warehouse is asked for the columns of all relations, for catalog.json.
            with_sql: whether `compiled/` and `run/` of dbt's target folder are among them, by their paths in it.

        Returns:
            The place of each on this machine, by file name. They stay there until the run ends.
        """

    async def graph(self, with_code: Collection[str] = ()) -> RunGraph:
        """What the nodes of the run are, what each waits for, and code of some: once artifacts are made."""

    async def failed_ephemerals(self) -> frozenset[str]:
        """The selected ephemeral models of which this process knows that they do not compile, once artifacts are made.

        dbt has no results of them, and does not fail a run for one that nothing uses, but fail-fast ends with it.
        """


class DbtEngine(Protocol):
    """Runs dbt."""

    async def prepare(self) -> None:
        """Does what takes long and needs no project, for `load_project` to find it done. It need not be called."""

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        """Parses a project. Raises Compilation or Configuration with dbt's own message."""

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
        """The run of an invocation. Cheap: what the run needs is made by whatever is asked of it first. Raises
        Configuration where the invocation cannot be run as it is."""

    async def end_run(self, invocation_id: str) -> None:
        """Frees what this worker holds for a run. Safe to call for a run that is not known here."""

    async def ping(self) -> None:
        """Returns when the engine's processes answer. One that has died does not count: another takes its place."""

    async def close(self) -> None:
        """Ends every engine process."""
