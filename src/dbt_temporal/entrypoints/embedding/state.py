"""Where a run stands, as programs are told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from dbt_temporal.application.ports.runs import Snapshot
from dbt_temporal.application.ports.runtime import StateChange


class DbtRunState(BaseModel):
    """Where a run stands at one moment."""

    model_config = ConfigDict(frozen=True)

    phase: str
    """`initializing`, `planning`, `pre_run_hooks`, `executing`, `finalizing`."""
    total_nodes: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    node_status: dict[str, str] = Field(default_factory=dict)
    """By unique_id: `pending`, `running`, `success`, `error`, `skipped`, `cancelled`; empty where not asked for."""
    new_log_lines: list[str] = Field(default_factory=list)
    """Lines of the run's log since the state before this one."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> DbtRunState:
        """A state as the server tells it."""
        return cls(
            phase=snapshot.phase,
            total_nodes=snapshot.total_nodes,
            **snapshot.counts,
            node_status=dict(snapshot.node_status),
            new_log_lines=list(snapshot.new_log_lines),
        )

    @classmethod
    def of_change(cls, change: StateChange) -> DbtRunState:
        """A state as a run in this process tells it."""
        state = change.view.state
        # What a query answers has fields beside these.
        return cls.model_validate(
            {**state.run_status(), "node_status": dict(state.statuses), "new_log_lines": list(change.log_lines)}
        )
