"""Inputs and outputs of the run's steps. In Temporal they are activity arguments and results, so they only grow."""

from __future__ import annotations

from typing import Any

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_serializer,
)

from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.dates.logical_dates import LogicalDates, ScheduledStart
from dbt_temporal.domain.failed_nodes import FailedNode
from dbt_temporal.domain.hooks import HooksConfig
from dbt_temporal.domain.leases.messages import Lease, LeaseAnswer
from dbt_temporal.domain.lineage.model import RunEnded
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.report.model import ReportFacts
from dbt_temporal.domain.results import ArtifactPaths, LatestRun, NodeExecutionResult, NodeStatus
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation, HeldDatabase, LostWork
from dbt_temporal.domain.run.plan import EphemeralTurn, ExecutionPlan, HistoryLimits

_FOR_KEEPER = "unique_id_for_keeper"


class StepInput(BaseModel):
    """What every step's input is. One that cannot be read must not tell its values: `env` may hold secrets."""

    model_config = ConfigDict(hide_input_in_errors=True)

    attempt: int = 1
    """Which attempt of the run's at this step it is, from 1; for the worker's log."""


class PlanProjectInput(StepInput):
    """Asks for the plan of a run; `input.project` may be null where one project is loaded."""

    invocation_id: str
    started_at: str
    input: DbtRunInput
    scheduled: ScheduledStart | None = None
    """What a schedule meant, where one has started the run; null in requests from before it was part of them."""
    is_filled: bool = False
    """Whether `input` was planned before, so that it holds its dates, and what hooks have given holds none."""
    dates: LogicalDates | None = None
    """What the run is for, where it was planned before."""
    takes_pieces: bool = False
    """Whether the run may be told a large plan in pieces; false in runs from before it was."""
    takes_marks: bool = False
    """Whether the run knows marks of messages (`domain.log.said`); false in runs of releases from before there were."""

    @field_serializer("input")
    def _explicit_fields(self, run_input: DbtRunInput) -> dict[str, Any]:
        """Only what the caller gave: what a retried run gives must not lose to defaults that nobody asked for."""
        return run_input.model_dump(mode="json", exclude_unset=True)


class PlanProjectOutput(BaseModel):
    plan: ExecutionPlan
    config: ProjectConfig
    invocation: DbtInvocation
    target: str | None = None
    threads: int = 1
    """How many nodes may run at once: `threads` of the profile, as in dbt."""
    engine: str | None = None
    dbt_version: str | None = None
    adapter_type: str | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    """How many of each resource type the project holds, for the log's `Found ...` line."""
    fail_fast: bool | None = None
    """dbt's resolved flag; null in plans from before it was part of them."""
    ends_on_error: bool | None = None
    """Whether the command ends at its first error; null in plans from before, whose runs fail-fast ended at once."""
    runs_ahead: bool = False
    """Whether the engine runs the nodes by itself, and its word is decisive; false in plans from before there was such
    an engine."""
    first_come: bool = False
    """Whether nodes start in dbt's order; false in plans from before it was part of them."""
    ephemerals: dict[str, EphemeralTurn] = Field(default_factory=dict)
    """By unique_id, the selected ephemeral models that take turns between the nodes, in dbt's order."""
    nothing_to_do: bool = True
    """Whether nothing is selected, where the plan has no nodes; plans from before it was part of them meant that."""
    messages: list[str] = Field(default_factory=list)
    """What dbt's console has of parsing and planning beside their progress, a line each (`domain.log.said`)."""
    unrepeatable: list[str] | None = None
    """Nodes that may not be run twice without looking at what the first time has left; null in plans from before it was
    part of them, whose runs do not look how the last attempt at a node ended."""
    looks_at_hooks: bool = False
    """Whether the run finds out how project hooks ended of which nobody has heard; false in plans from before that."""
    memos_with_turns: bool = False
    """Whether memos are written with what the run does anyhow, as far as that may be; false in plans from before, whose
    runs wait for the next one by a timer each time."""
    named_activities: bool = False
    """Whether the activity of a node has an id that people know; false in plans from before it was part of them."""
    write_run_log: bool = True
    """WRITE_RUN_LOG: whether log.txt is among the artifacts."""
    write_report: bool = False
    """WRITE_REPORT: whether report.html is among them, for which the run takes note of times; false in plans from
    before it was part of them."""
    artifacts_place: str | None = None
    """The folder or URL below which the run's artifacts come to lie, for whoever looks for them; null where there are
    none, and in plans from before it was part of them."""
    priority_scheduling: bool = False
    """TEMPORAL_PRIORITY_SCHEDULING: whether steps carry priorities."""
    lease: Lease | None = None
    """What the run has to have for itself alone; null where it needs nothing, and in plans from before there were
    leases."""
    breathes: bool = False
    """Whether the run ends its turns (`RunRuntime.breathe`) while it works through what a large run has come to; false
    in plans from before it did."""
    continue_after: HistoryLimits | None = None
    """When the run goes on in another execution (continue-as-new); null in plans from before it did."""

    @property
    def hooks(self) -> HooksConfig:
        """The lifecycle hooks: the input's own in place of the project's."""
        given = self.invocation.input.hooks
        return self.config.hooks if given is None else given


class TakeLeaseInput(StepInput):
    """Asks for a lease, or how the request for it stands."""

    invocation_id: str
    lease: Lease
    waits: bool = True
    """Whether the run gets a place in the queue where it cannot have it now."""
    instead_of: str | None = None
    """The scope in which the run has another lease, or waits for one, and does not need it any more."""


class TakeLeaseOutput(LeaseAnswer):
    """How it stands."""


class StatementsInput(StepInput):
    """What every step has that runs statements of the user's in the database."""

    invocation: DbtInvocation
    timeout_secs: float | None = None
    """How long the step may take; then its statements are ended in the database."""
    from_begin: bool = False
    """Whether that counts from when the engine says that it has begun, and not from when it was asked."""
    write_artifacts: bool = False


class ProjectHooksInput(StatementsInput):
    repeatable: bool = False
    """Whether hooks that took too long, and may have had their effect, may be run again."""
    unheard: list[int] = Field(default_factory=list)
    """Attempts before this one of which nobody has heard how they ended."""


class BeforeRunInput(ProjectHooksInput):
    """Asks for dbt's `before_run`: defer, schemas, relation cache, on-run-start."""

    lost: LostWork | None = None
    """Where the engine runs ahead, the nodes that the attempts of which nobody has heard may have run."""


class ResumeRunInput(StatementsInput):
    """Asks for a process that goes on with a run in place of one that is lost, with what hooks and nodes left there."""

    without: list[str] = Field(default_factory=list)
    """Nodes that are run again: what they have left does not count."""
    ended: dict[str, NodeStatus] = Field(default_factory=dict)
    """Where the engine runs ahead, the nodes that have ended, and how."""
    lost: LostWork | None = None
    """There, what may have run on the worker that is lost."""


class AfterRunInput(ProjectHooksInput):
    """Asks for dbt's `after_run`: on-run-end, which sees the results of on-run-start and of the nodes."""

    results: list[NodeExecutionResult] = Field(default_factory=list)
    unrecorded: list[str] = Field(default_factory=list)
    """Nodes whose result is no attempt's own word: what an attempt has recorded of them does not count."""
    behind: dict[str, str] | None = None
    """Skipped nodes with the ephemeral model that dbt names as the cause; null where the run does not know."""
    behind_if_failed: dict[str, str] = Field(default_factory=dict)
    """Skipped nodes with the one that it names in place of that, if it turns out not to compile."""


class Keeper(BaseModel):
    """The worker whose process has a run's database or state.

    Attributes:
        task_queue: where it alone takes steps.
        name: for people.
    """

    model_config = ConfigDict(frozen=True)

    task_queue: str
    name: str
    mark: str = ""
    """By which its engine knows it, where that runs ahead."""
    takes_handed_on: bool = False
    """Whether nodes may be sent to the run's own queue that are for it alone; false from releases of before."""


class ProjectHooksOutput(BaseModel):
    """Results of on-run-start or on-run-end hooks, in order; their unique_ids are `operation.<project>....`."""

    results: list[NodeExecutionResult] = Field(default_factory=list)
    messages: list[str] = Field(default_factory=list)
    """What dbt's console has beside them of setting the run up, a line each (`domain.log.said`)."""
    retryable: bool = False
    """A hook failed with an error that another attempt may mend."""
    nodes_may_run: bool = True
    """False where the engine's rules skip all nodes after a failed on-run-start hook."""
    database: HeldDatabase | None = None
    """The run's database, where it is in the memory of the process that ran on-run-start."""
    keeps_worker: str | None = None
    """Why the run keeps to the worker for another reason than these two; null where it need not."""
    knows_all: bool = False
    """Of `resume_run`, whether the worker knows of all nodes that the one before had begun."""
    may_have_run: bool = False
    """Of `before_run`, whether a lost attempt may have run nodes of which the worker knows nothing."""
    keeps_state: str | None = None
    """Why all nodes must have what hooks and nodes leave in their process; null where they need not."""
    state_begun: bool = False
    """Whether on-run-start has left something there."""
    worker: Keeper | None = None
    """Who has done this; null where the worker takes no steps of its own."""


class ExecuteNodeInput(StatementsInput):
    unique_id: str = Field(validation_alias=AliasChoices("unique_id", _FOR_KEEPER))
    ephemerals: list[str] = Field(default_factory=list)
    """Ephemeral models whose turns come before the node, in order: they are compiled first."""
    part: BatchPart | None = None
    """Of a microbatch model, what of it is to be done; null where it is the whole, as in plans from before there were
    parts."""
    non_retryable_errors: list[str] = Field(default_factory=list)
    unheard: list[int] = Field(default_factory=list)
    """Attempts before this one of which nobody has heard how they ended."""
    told: list[int] = Field(default_factory=list)
    """Those of them whose worker has told itself that they were lost, as where their process died."""
    again: bool = True
    """Whether the node is run again where nothing is known of these; and where it was ended for another one's sake."""
    behind_failure: bool = False
    """Where the engine runs ahead, whether something above the node has not ended well."""
    keeper: str | None = None
    """The own queue of the worker that the node is for, on a queue from which others may take it; they refuse it."""

    @model_serializer(mode="wrap")
    def _unknown_to_releases_of_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """They would run what is for another worker; without a `unique_id` they fail, and have done nothing."""
        dumped: dict[str, Any] = dump(self)
        if self.keeper is not None:
            dumped[_FOR_KEEPER] = dumped.pop("unique_id")
        return dumped


class StoreArtifactsInput(StepInput):
    """Asks for the artifacts of a run. `results` holds nodes and hooks in the order in which they ended."""

    invocation: DbtInvocation
    results: list[NodeExecutionResult] = Field(default_factory=list)
    unrecorded: list[str] = Field(default_factory=list)
    behind: dict[str, str] | None = None
    behind_if_failed: dict[str, str] = Field(default_factory=dict)
    """All three as in `AfterRunInput`."""
    elapsed_time: float = 0.0
    run_log: str | None = None
    """The text of log.txt; null where WRITE_RUN_LOG is off."""
    log_only: bool = False
    """Writes log.txt alone: again, with what hooks added to it, or where the run got no further."""
    ended_at: str | None = None
    """When the run ended, where its artifacts are only stored later: those of another run may be newer."""
    fail_fast: bool = False
    """Whether an ephemeral model that fails ends the run, though nothing uses it."""
    report: ReportFacts | None = None
    """What the run says of itself, for its report; null where it has none."""
    latest: LatestRun | None = None
    """The run as the latest one of its target, should it become that, without a word of hooks that come after; null
    where artifacts are stored later than the run ended, and in requests from before it was part of them."""
    about: LatestRun | None = None
    """The run, for `run.json` in its own folder; null in requests from before it was part of them."""


class StoreArtifactsOutput(BaseModel):
    artifacts: ArtifactPaths
    log_path: str | None = None
    unstored: list[str] = Field(default_factory=list)
    """Nodes of which the artifacts have the small result alone, because their record could not be stored."""
    failed_ephemerals: list[str] = Field(default_factory=list)
    """Ephemeral models that do not compile, where `fail_fast` asks for them."""
    report_path: str | None = None
    report_problem: str | None = None
    """Why there is no report, where there should be one."""
    latest_problem: str | None = None
    """Why the run is not the latest of its target, where it should be."""
    sql_problem: str | None = None
    """Why the SQL of its nodes is not stored, where it should be."""
    failed_nodes: list[FailedNode] = Field(default_factory=list)
    """The first of them, where artifacts were stored."""


class EndRunInput(StepInput):
    """Says that a run has ended, so that what a worker holds for it can go."""

    invocation: DbtInvocation
    has_artifacts: bool = False
    """Whether its artifacts are stored, so that the records they were made from can go too."""
    lease_scope: str | None = None
    """Where the run has a lease, or waits for one."""
    ended: RunEnded | None = None
    """How the run has ended, for those who gather lineage; null in requests from before it was part of them."""


class EndRunOutput(BaseModel):
    """Nothing to say."""
