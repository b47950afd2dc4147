"""The use cases that steps call, together: what an activity worker or an in-process run is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from dbt_temporal.application.lineage.telling import LineageTelling
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import DbtEngine, Progress
from dbt_temporal.application.ports.leases import Leases
from dbt_temporal.application.ports.left_out import LeftOutInputs
from dbt_temporal.application.ports.lineage.sender import LineageSender
from dbt_temporal.application.ports.report_page import ReportPage
from dbt_temporal.application.ports.runtime import UNLIMITED, Budget, StepKind
from dbt_temporal.application.ports.schedules import Schedules
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.end_run import EndRun
from dbt_temporal.application.steps.engine_runs import EngineRuns, StepOfRun
from dbt_temporal.application.steps.execute_node import ExecuteNode
from dbt_temporal.application.steps.plan_project import PlanProject
from dbt_temporal.application.steps.project_hooks import AfterRun, BeforeRun, OwnQueue, ResumeRun
from dbt_temporal.application.steps.run_report import RunReports
from dbt_temporal.application.steps.store_artifacts import StoreArtifacts
from dbt_temporal.application.steps.take_lease import LeasesOfThisProcess, TakeLease
from dbt_temporal.application.stored.kept_state import KeptState
from dbt_temporal.application.stored.late_writes import LateWrites, Patience
from dbt_temporal.application.stored.latest import LatestRule
from dbt_temporal.domain.run.plan import HistoryLimits

Output = TypeVar("Output", bound=BaseModel)


@dataclass(frozen=True)
class UseCases:
    """One of each step's, under the step's name."""

    plan_project: PlanProject
    take_lease: TakeLease
    before_run: BeforeRun
    resume_run: ResumeRun
    execute_node: ExecuteNode
    after_run: AfterRun
    store_artifacts: StoreArtifacts
    end_run: EndRun
    own_queue: str | None = None
    """The task queue of which this worker alone takes steps; None where there is none."""

    def only_project(self) -> str | None:
        """The project of runs that name none; None where there is not just one."""
        return self.plan_project.registry.only

    def of(self, kind: StepKind[Any, Output]) -> Callable[[Any, Progress], Awaitable[Output]]:
        use_case: Callable[[Any, Progress], Awaitable[Output]] = getattr(self, kind.name)
        return use_case

    @classmethod
    def build(
        cls,
        engine: DbtEngine,
        registry: ProjectRegistry,
        store: ArtifactStore,
        *,
        budget: Budget = UNLIMITED,
        write_artifacts: bool = False,
        write_run_log: bool = True,
        report_page: ReportPage | None = None,
        priority_scheduling: bool = False,
        continue_after: HistoryLimits | None = None,
        write_catalog: bool = False,
        write_sql: bool = False,
        latest: LatestRule = "success",
        own_queue: str | None = None,
        takes_handed_on: bool = True,
        step: Callable[[], StepOfRun] = StepOfRun,
        static_search_attributes: Mapping[str, str] | None = None,
        registered_search_attributes: Collection[str] | None = None,
        patience: Patience | None = None,
        leases: Leases | None = None,
        left_out: LeftOutInputs | None = None,
        schedules: Schedules | None = None,
        lineage: LineageSender | None = None,
    ) -> UseCases:
        """All use cases on the same ports.

        `write_catalog` is WRITE_CATALOG, `write_sql` WRITE_SQL, `latest` ARTIFACT_LATEST; `report_page` makes reports,
        where there are any (WRITE_REPORT); `own_queue` is that of the whole, `takes_handed_on` that of `OwnQueue`;
        `step` and `left_out` are those of `EngineRuns`; `patience` is with the store; `leases` are by default those of
        this process; `lineage` is told of runs and nodes; the others are those of `PlanProject`.
        """
        runs = EngineRuns(engine, registry, step, left_out)
        late = LateWrites(patience)
        own = None if own_queue is None else OwnQueue(own_queue, takes_handed_on)
        state = KeptState(store)
        leases = leases or LeasesOfThisProcess()
        telling = LineageTelling(lineage)
        return cls(
            plan_project=PlanProject(
                runs,
                registry,
                store,
                write_artifacts=write_artifacts,
                write_run_log=write_run_log,
                write_report=report_page is not None,
                priority_scheduling=priority_scheduling,
                continue_after=continue_after,
                static_search_attributes=static_search_attributes,
                registered_search_attributes=registered_search_attributes,
                schedules=schedules,
            ),
            take_lease=TakeLease(leases),
            before_run=BeforeRun(runs, store, budget, late, state, own, telling),
            resume_run=ResumeRun(runs, store, budget, late, state, own),
            execute_node=ExecuteNode(runs, store, budget, late, state, telling),
            after_run=AfterRun(runs, store, budget, late, state),
            store_artifacts=StoreArtifacts(
                runs,
                store,
                late,
                None if report_page is None else RunReports(store, report_page),
                write_catalog=write_catalog,
                write_sql=write_sql,
                latest=latest,
                lineage=telling,
            ),
            end_run=EndRun(engine, store, late, state, leases, telling),
            own_queue=own_queue,
        )
