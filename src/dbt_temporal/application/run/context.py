"""What the parts of a run share once it is planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from dbt_temporal.application.ports.runtime import RunRuntime, StepPriority
from dbt_temporal.application.ports.telemetry import NodeEnded
from dbt_temporal.application.run.keeping import Keeping
from dbt_temporal.application.run.live_state import LiveState
from dbt_temporal.application.steps.messages import PlanProjectOutput, ProjectHooksOutput
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.input import DbtRunInput
from dbt_temporal.domain.run.invocation import DbtInvocation, LostWork
from dbt_temporal.domain.run.plan import ExecutionPlan, NodeInfo


@dataclass
class RunContext:
    runtime: RunRuntime
    live: LiveState
    keeping: Keeping
    planned: PlanProjectOutput
    may_have_run: bool = False
    """Whether nodes that the run has asked nobody for may have run all the same, on a worker that is lost."""

    @property
    def plan(self) -> ExecutionPlan:
        return self.planned.plan

    @property
    def config(self) -> ProjectConfig:
        return self.planned.config

    @cached_property
    def invocation(self) -> DbtInvocation:
        """The invocation that the step of every node carries: without lifecycle hooks, which are the run's alone."""
        without_hooks = self.run_input.model_copy(update={"hooks": None})
        invocation = self.planned.invocation.model_copy(update={"input": without_hooks})
        limit = self.runtime.budget.input_chars
        return invocation if limit is None else invocation.shortened(limit)

    @property
    def run_input(self) -> DbtRunInput:
        """The run's input, with what pre_run hooks added to `env`."""
        return self.planned.invocation.input

    def keep(self, output: ProjectHooksOutput) -> None:
        """Has all further steps say what of the run is in the memory of its process."""
        if output.database is not None or output.keeps_state is not None:
            kept = {
                "database": output.database,
                "keeps_state": output.keeps_state is not None,
                "state_begun": output.state_begun,
            }
            invocation = self.planned.invocation.model_copy(update=kept)
            self.planned = self.planned.model_copy(update={"invocation": invocation})
            self.__dict__.pop("invocation", None)

    def take_plan(self, planned: PlanProjectOutput) -> None:
        """Goes on by another plan, of the same run."""
        self.planned = planned
        self.__dict__.pop("invocation", None)
        self.__dict__.pop("_unrepeatable", None)

    def runs_again(self, node: NodeInfo) -> bool:
        """Whether a node is run again of whose lost attempt nothing is known."""
        own = None if node.overrides is None else node.overrides.on_lost_attempt
        is_repeatable = node.unique_id not in self._unrepeatable
        return self.config.retry.runs_again(node.materialization, own, repeatable=is_repeatable)

    def lost_work(self, attempts: Sequence[int] = (), mark: str = "") -> LostWork | None:
        """What an engine that runs ahead may have done on a worker that is lost; None where none runs ahead.

        Args:
            attempts: at what is to be done again, of which nobody has heard.
            mark: of the worker.
        """
        if not self.planned.runs_ahead:
            return None
        ended = self.live.state.ended
        not_again = [uid for uid, node in self.plan.nodes.items() if uid not in ended and not self.runs_again(node)]
        return LostWork(attempts=tuple(attempts), mark=mark, earlier=self.may_have_run, not_again=tuple(not_again))

    @cached_property
    def _unrepeatable(self) -> frozenset[str]:
        return frozenset(self.planned.unrepeatable or ())

    def priority(self, level: int) -> StepPriority | None:
        return step_priority(self.planned, level)

    def count(self, node: NodeInfo, result: NodeExecutionResult) -> None:
        never_ran = result.status == "skipped"
        failed = node.unique_id if result.status == "error" else None
        seconds = None if never_ran else result.execution_time
        loaded_at = result.freshness.loaded_at() if result.freshness is not None else None
        source = node.unique_id if loaded_at is not None else None
        project, kind = self.plan.project, node.resource_type
        self.runtime.record(NodeEnded(project, kind, result.status, seconds, failed, source, loaded_at))


def step_priority(planned: PlanProjectOutput, level: int) -> StepPriority | None:
    """A step's priority, where the run uses them: a large run must not keep small ones waiting."""
    return StepPriority(level, planned.invocation.invocation_id) if planned.priority_scheduling else None
