"""The execution plan: which nodes a run executes, and what each waits for. Ids and edges only, no SQL."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dbt_temporal.domain.limits import Seconds, TaskQueueName, fit_name
from dbt_temporal.domain.project_config import OnLostAttempt
from dbt_temporal.domain.run.commands import OPERATION_KINDS

OnNodeError = Literal["continue", "skip_children"]


class NodeOverrides(BaseModel):
    """What a node's dbt meta says of its execution: `config.meta.dbt_temporal`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int | None = Field(default=None, ge=1)
    initial_interval_secs: Seconds | None = None
    backoff_coefficient: float | None = Field(default=None, ge=1)
    max_interval_secs: Seconds | None = None
    timeout_secs: Seconds | None = None
    task_queue: TaskQueueName | None = None
    on_lost_attempt: OnLostAttempt | None = None


class NodeInfo(BaseModel):
    """One node of the plan.

    `depends_on` holds unique_ids within the plan; paths through nodes that are not in it are bridged.
    `priority` is 1 (highest) to 5, from the height of the critical path below the node.
    """

    unique_id: str
    name: str
    resource_type: str
    materialization: str | None = None
    package_name: str
    depends_on: list[str] = Field(default_factory=list)
    priority: int = 5
    rank: int | None = None
    """dbt's own score of the node (`GraphQueue`: its level): of the nodes that become ready together, lower ranks start
    first. Null where the project's `scheduling` is `critical_path`."""
    on_error: OnNodeError | None = None
    relation: str | None = None
    """The name as dbt's console shows it (`schema.identifier`), for the run log."""
    overrides: NodeOverrides | None = None
    unreported: bool = False
    """Whether dbt has no result of the node where it succeeds; its error is one of the run."""
    batched: bool = False
    """Whether it is a microbatch model, whose batches are steps of their own."""
    listing: str | None = None
    """The line that `dbt list` prints for the node; set for the command `list` alone."""

    @property
    def in_queue(self) -> bool:
        """Whether it is in dbt's queue of nodes; dbt looks at the errors of these alone when it ends a run early."""
        return self.resource_type not in OPERATION_KINDS

    @property
    def activity_type(self) -> str:
        """The name of the node's activity: `<resource_type>:<node_name>`.

        The name of a generic test holds all its arguments, and may be longer than Temporal takes.
        """
        return fit_name(f"{self.resource_type}:{self.name}")


class HistoryLimits(BaseModel):
    """How long the history of one execution of a workflow may become before the run goes on in another one."""

    model_config = ConfigDict(frozen=True)

    events: int
    size_bytes: int


class EphemeralTurn(BaseModel):
    """An ephemeral model that dbt hands out between the nodes. It has no result, but what waits for it gets ready then.

    `depends_on` holds nodes and ephemeral models, `children` nodes alone; neither bridges anything.
    """

    depends_on: list[str] = Field(default_factory=list)
    children: list[str] = Field(default_factory=list)
    rank: int = 0
    on_error: OnNodeError | None = None
    """As in `NodeInfo`."""


class ExecutionPlan(BaseModel):
    """A planned run. `levels` is for readers and for the log; scheduling follows `depends_on`."""

    project: str
    invocation_id: str
    levels: list[list[str]] = Field(default_factory=list)
    nodes: dict[str, NodeInfo] = Field(default_factory=dict)
    search_attributes: dict[str, str] = Field(default_factory=dict)
    write_artifacts: bool = False
    has_on_run_start: bool = False
    has_on_run_end: bool = False
