"""Shows a run's state to its observers: memos, search attributes, current details, new log lines."""

from __future__ import annotations

from typing import Any

from dbt_temporal.adapters.temporal.workflow.memo import MAX_LOG_LINES, live_memo, memo_size
from dbt_temporal.application.ports.runtime import RunPhase, RunRuntime, StateChange
from dbt_temporal.domain.run.log import RunLog
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
        self._published_lines = 0
        self._command_memo: dict[str, Any] = {}
        self._command_memo_written = False
        self._has_status_attribute = False

    def enter(self, phase: RunPhase) -> None:
        """The run enters a phase."""
        self.state.phase = phase.value
        self.changed()

    def describe(self, command_memo: dict[str, Any], search_attributes: dict[str, str]) -> None:
        """Says once what was asked. DbtStatus is kept up where the plan's attributes hold it."""
        self._command_memo = command_memo
        self._has_status_attribute = search_attributes.get(STATUS_ATTRIBUTE) == RUNNING
        self.changed(search_attributes or None)

    def set_outcome(self, status: str) -> None:
        """The run has ended as passed, failed, skipped or cancelled."""
        self.changed({STATUS_ATTRIBUTE: status} if self._has_status_attribute else None)

    def changed(self, search_attributes: dict[str, str] | None = None) -> None:
        """Publishes what has changed since the last time."""
        lines = self.log.since(self._published_lines)
        self._published_lines = len(self.log)
        self._runtime.publish(
            StateChange(
                memo=self._memo,
                search_attributes=search_attributes,
                details=self.state.details(),
                log_lines=lines,
            )
        )

    def _memo(self) -> dict[str, Any]:
        command: dict[str, Any] = {"command": self._command_memo} if self._command_memo else {}
        live = live_memo(self.state.statuses, self.log.tail(MAX_LOG_LINES), used=memo_size(command))
        if self._command_memo_written:
            return live
        self._command_memo_written = bool(command)
        return command | live
