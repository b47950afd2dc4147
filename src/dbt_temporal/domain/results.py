"""What nodes and runs end with."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from dbt_temporal.domain.batches import Batches, BatchResults, EndedBatch
from dbt_temporal.domain.dates.logical_dates import in_utc
from dbt_temporal.domain.failed_nodes import FailedNode
from dbt_temporal.domain.hooks import HookError
from dbt_temporal.domain.times import NodeTimes, span

NodeStatus = Literal["success", "error", "skipped", "cancelled"]


def is_project_hook(unique_id: str) -> bool:
    """Whether a result is that of an on-run-start or on-run-end hook, by its unique_id: that of no node begins so."""
    return unique_id.startswith("operation.")


def _is_none(value: object) -> bool:
    return value is None


class TimingEntry(BaseModel):
    """One phase of a node (`compile`, `execute`), as dbt times it; ISO 8601 instants."""

    name: str
    started_at: str | None = None
    completed_at: str | None = None


class Freshness(BaseModel):
    """What `source-freshness` found for one source."""

    max_loaded_at: str | None = None
    snapshotted_at: str | None = None
    max_loaded_at_time_ago_in_s: float | None = None
    status: str
    criteria: dict[str, Any] = Field(default_factory=dict)

    def loaded_at(self) -> float | None:
        """When the newest data came, in seconds since 1970; None where that is not known."""
        try:
            return in_utc(self.max_loaded_at).timestamp() if self.max_loaded_at else None
        except ValueError:
            return None

    def age_in_words(self) -> str | None:
        """How old the newest data is, and how old it may be where it is older: `13h 05m old, more than 12 hours`.

        None where that is not known.
        """
        if self.max_loaded_at_time_ago_in_s is None:
            return None
        age = f"{span(self.max_loaded_at_time_ago_in_s)} old"
        allowed = self.criteria.get(f"{self.status}_after") or {}
        count, period = allowed.get("count"), allowed.get("period")
        if count is None or period is None:
            return age
        return f"{age}, more than {count} {period}" + ("" if count == 1 else "s")


class NodeExecutionResult(BaseModel):
    """The outcome of one node. `dbt_status` keeps dbt's own word (pass, warn, fail, no-op, ...)."""

    unique_id: str
    status: NodeStatus
    dbt_status: str | None = None
    execution_time: float = 0.0
    message: str | None = None
    adapter_response: dict[str, Any] = Field(default_factory=dict)
    compiled_code: str | None = None
    timing: list[TimingEntry] = Field(default_factory=list)
    failures: int | None = None
    freshness: Freshness | None = None
    output: str | None = None
    """What dbt's console says of the node beside its progress: its preview, its compiled code, what a macro printed."""
    rows: list[dict[str, Any]] | None = None
    """Of `show`: the rows of the node, columns by name, as `--output json` has them."""
    attempts: int = 1
    """How many attempts were made; the last of them is the one that counted."""
    batch_results: BatchResults | None = None
    """Of a microbatch model, as in run_results.json."""
    batches: Batches | None = Field(default=None, exclude_if=_is_none)
    batch: EndedBatch | None = Field(default=None, exclude_if=_is_none)
    """Of a part of a microbatch model, for the run alone."""
    failed_ephemerals: list[str] | None = Field(default=None, exclude_if=_is_none)
    """Ephemeral models of the run that had failed by then: of them dbt has no results. For the run alone."""
    times: NodeTimes | None = Field(default=None, exclude_if=_is_none)
    """When its attempts began and ended. For the run's report alone."""
    messages: str | None = Field(default=None, exclude_if=_is_none)
    """What the node has had dbt print, log at info level and warn of, a line each (`domain.log.said`).

    For the run's log alone."""

    def told(self) -> NodeExecutionResult:
        """The result once the run's log has its messages."""
        return self if self.messages is None else self.model_copy(update={"messages": None})


class ArtifactPaths(BaseModel):
    """Where the artifacts of a run lie; a path is null when that artifact was not written."""

    run_results_path: str | None = None
    manifest_path: str | None = None
    log_path: str | None = None
    catalog_path: str | None = None
    sources_path: str | None = None
    sql_path: str | None = Field(default=None, exclude_if=_is_none)
    """Of the archive with `compiled/` and `run/` of dbt's target folder."""


class DbtRunOutput(BaseModel):
    """The result of the workflow `dbt_run`."""

    invocation_id: str
    success: bool
    skipped: bool = False
    skip_reason: str | None = None
    node_results: list[NodeExecutionResult] = Field(default_factory=list)
    rows: list[dict[str, Any]] | None = None
    """Of `show`: the rows of the first node that it shows."""
    elapsed_time: float = 0.0
    artifacts: ArtifactPaths | None = None
    log_path: str | None = None
    hook_errors: list[HookError] = Field(default_factory=list)
    project: str | None = None
    revision: str | None = None
    """Of the project, where its source has one."""
    engine: str | None = None
    """`dbt-core`, or the name of another engine that the project has."""
    dbt_version: str | None = None
    report_path: str | None = None
    """Where the report of the run lies; null where there is none."""
    failed_nodes: list[FailedNode] | None = Field(default=None, exclude_if=_is_none)
    """Where to look for the first nodes that failed, where artifacts were stored."""


class LatestRun(BaseModel):
    """What is known of the newest run of a project and target: `run.json`, beside its artifacts."""

    invocation_id: str
    project: str
    target: str
    command: str
    success: bool
    ended_at: str
    """In ISO 8601, by the clock that all runs have in common."""
    engine: str | None = None
    dbt_version: str | None = None
    revision: str | None = None

    @field_validator("ended_at")
    @classmethod
    def _is_instant(cls, value: str) -> str:
        in_utc(value)
        return value

    def ended_after(self, other: LatestRun) -> bool:
        """Whether it is another run than that, and ended later."""
        if self.invocation_id == other.invocation_id:
            return False
        return in_utc(self.ended_at) > in_utc(other.ended_at)
