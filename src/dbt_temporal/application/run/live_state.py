"""Shows a run's state to its observers: memos, search attributes, current details, new log lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbt_temporal.application.ports.runtime import RunPhase, RunRuntime, RunView, StateChange
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.log import RunLog
from dbt_temporal.domain.run.plan import ExecutionPlan
from dbt_temporal.domain.run.state import RunState

STATUS_ATTRIBUTE = "DbtStatus"
RUNNING = "running"
"""The value that the plan's attributes give it, where it is registered and nobody fixed it to something else."""


class LiveState:
    """The state and the log of one run, and the way they are published."""

    def __init__(self, runtime: RunRuntime) -> None:
        self.state = RunState()
        self.log = RunLog()
        self._runtime = runtime
        self._view = RunView(self.state, self.log)
        self._published_lines = 0
        self._has_status_attribute = False
        self._failed_ephemerals: set[str] = set()

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues; without plan, results and lines of the log."""
        return {
            "state": self.state.snapshot(),
            "log": self.log.snapshot(),
            "has_status_attribute": self._has_status_attribute,
            "failed_ephemerals": sorted(self._failed_ephemerals),
        }

    def restore(
        self,
        snapshot: Mapping[str, Any],
        plan: ExecutionPlan,
        results: Iterable[NodeExecutionResult],
        lines: Iterable[str],
        request: DbtRunInput,
    ) -> None:
        """Continues where the snapshot was taken. What was published stays so."""
        self.state.restore(plan, snapshot["state"], results)
        self.log.restore(snapshot["log"], lines)
        self._published_lines = len(self.log)
        self._has_status_attribute = snapshot["has_status_attribute"]
        self._failed_ephemerals = set(snapshot["failed_ephemerals"])
        self._view.request = (plan.project, request)

    def enter(self, phase: RunPhase) -> None:
        self.state.phase = phase.value
        self.changed()

    def describe(self, project: str, run_input: DbtRunInput, search_attributes: dict[str, str]) -> None:
        """Says what was asked. DbtStatus is kept up where the plan's attributes hold it."""
        self._view.request = (project, run_input)
        self._has_status_attribute = search_attributes.get(STATUS_ATTRIBUTE) == RUNNING
        self.changed(search_attributes or None)

    def set_outcome(self, status: str) -> None:
        """What the run has ended as (passed, failed, skipped, cancelled), or waits for (held)."""
        self.changed({STATUS_ATTRIBUTE: status} if self._has_status_attribute else None)

    def ephemerals_failed(self, unique_ids: Sequence[str]) -> None:
        """Ephemeral models do not compile, and fail-fast ends the run for that. Each is told once."""
        for unique_id in unique_ids:
            if unique_id not in self._failed_ephemerals:
                message = "it does not compile, which ends the run by fail-fast (`compile` tells why)"
                self.state.problem(f"the ephemeral model {unique_id}", "Compilation", message)
                self.log.problem(f"The ephemeral model {unique_id}", message)
                self._failed_ephemerals.add(unique_id)
                self.changed()

    def hold_begins(self, line: str) -> None:
        """The run waits for an operator."""
        self.log.add(line)
        self.state.notice = line
        self.set_outcome("held")

    def hold_ends(self) -> None:
        """The run goes on, or comes to its end."""
        self.state.notice = None
        self.set_outcome(RUNNING)

    def changed(self, search_attributes: dict[str, str] | None = None) -> None:
        """Publishes what has changed since the last time."""
        lines = self.log.since(self._published_lines)
        self._published_lines = len(self.log)
        self._runtime.publish(
            StateChange(
                view=self._view,
                search_attributes=search_attributes,
                details=self.state.details(),
                log_lines=lines,
            )
        )
