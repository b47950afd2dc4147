"""Shows a run's state to its observers: memos, search attributes, current details, new log lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbt_temporal.application.ports.runtime import RunPhase, RunRuntime, RunView, StateChange
from dbt_temporal.application.steps.messages import PlanProjectOutput, StoreArtifactsOutput
from dbt_temporal.domain.details.headline import headline
from dbt_temporal.domain.details.run_details import RunFacts, details
from dbt_temporal.domain.log.run_log import RunLog
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.commands import COMMANDS
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.plan import ExecutionPlan
from dbt_temporal.domain.run.state import RunState

STATUS_ATTRIBUTE = "DbtStatus"
RUNNING = "running"
"""The value that the plan's attributes give it, where it is registered and nobody fixed it to something else."""


_EPHEMERAL = "the ephemeral model "


class LiveState:
    """The state and the log of one run, and the way they are published.

    Attributes:
        facts: what the run's details tell besides.
    """

    def __init__(self, runtime: RunRuntime, invocation_id: str) -> None:
        self.state = RunState()
        self.log = RunLog()
        self.facts = RunFacts()
        self._runtime = runtime
        self._invocation_id = invocation_id
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
        self.asked(request)
        self.facts.project = plan.project

    def planned(self, planned: PlanProjectOutput) -> None:
        """How the run is shown from now on, as far as its plan says that."""
        self._view.with_turns = planned.memos_with_turns

    def asked(self, run_input: DbtRunInput) -> None:
        """Says what was asked."""
        self.facts.headline = headline(run_input.model_dump(mode="json", exclude_unset=True))

    def enter(self, phase: RunPhase) -> None:
        self.state.phase = phase.value
        self.changed()

    def describe(self, planned: PlanProjectOutput) -> None:
        """Says what is planned. DbtStatus is kept up where the plan's attributes hold it."""
        plan, invocation = planned.plan, planned.invocation
        self.planned(planned)
        self.log.project(
            plan.project,
            engine=planned.engine,
            dbt=planned.dbt_version,
            adapter=planned.adapter_type,
            revision=invocation.revision,
        )
        if invocation.dates is not None:
            self.log.add(invocation.dates.in_words())
        self.log.say("\n".join(planned.messages))
        self.log.planned(planned.counts, len(plan.nodes), len(plan.levels), planned.threads, planned.target)
        self._view.request = (plan.project, invocation.input)
        self.facts.project = plan.project
        self._has_status_attribute = plan.search_attributes.get(STATUS_ATTRIBUTE) == RUNNING
        self.changed(plan.search_attributes or None)

    def set_outcome(self, status: str) -> None:
        """What the run has ended as: passed, failed, skipped, cancelled."""
        self.facts.outcome = status
        self._set_status(status)

    def stored(self, stored: StoreArtifactsOutput) -> None:
        """Where the artifacts, or the log alone, lie."""
        artifacts = stored.artifacts
        places = {
            "Log": stored.log_path or artifacts.log_path,
            "Report": stored.report_path,
            "run_results.json": artifacts.run_results_path,
            "manifest.json": artifacts.manifest_path,
            "catalog.json": artifacts.catalog_path,
            "sources.json": artifacts.sources_path,
        }
        self.facts.places = {**self.facts.places, **{what: path for what, path in places.items() if path is not None}}
        request = self._view.request
        may_retry = request is not None and COMMANDS[request[1].command].can_be_retried
        if artifacts.run_results_path is not None and may_retry and not self.state.success:
            self.facts.retry_command = f"dbt-temporal retry {self._invocation_id}"

    def _set_status(self, status: str) -> None:
        self.changed({STATUS_ATTRIBUTE: status} if self._has_status_attribute else None)

    def ephemerals_failed(self, unique_ids: Sequence[str]) -> None:
        """Ephemeral models do not compile, and fail-fast ends the run for that. Each is told once."""
        for unique_id in unique_ids:
            if unique_id not in self._failed_ephemerals:
                message = "it does not compile, which ends the run by fail-fast (`compile` tells why)"
                self.state.problem(_EPHEMERAL + unique_id, "Compilation", message)
                self.log.problem(f"The ephemeral model {unique_id}", message)
                self._failed_ephemerals.add(unique_id)
                self.changed()

    def opened_again(self) -> None:
        """Nodes take their turns again, and with them ephemeral models: what was wrong with these may be mended."""
        for unique_id in self._failed_ephemerals:
            self.state.problem_is_past(_EPHEMERAL + unique_id)
        self._failed_ephemerals.clear()

    def hold_begins(self, line: str) -> None:
        """The run waits for an operator."""
        self.log.add(line)
        self.state.notice = line
        self._set_status("held")

    def hold_ends(self) -> None:
        """The run goes on, or comes to its end."""
        self.state.notice = None
        self._set_status(RUNNING)

    def changed(self, search_attributes: dict[str, str] | None = None) -> None:
        """Publishes what has changed since the last time."""
        lines = self.log.since(self._published_lines)
        self._published_lines = len(self.log)
        self._runtime.publish(
            StateChange(
                view=self._view,
                search_attributes=search_attributes,
                details=details(self.state, self.facts),
                log_lines=lines,
            )
        )
