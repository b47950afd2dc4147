"""Plans a run: which nodes, which edges, and what the run needs to know of the project and the profile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from dbt_temporal.application.fitting import fit_said
from dbt_temporal.application.log_context import log_fields
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import EnginePlan, EngineRun, Progress, no_progress
from dbt_temporal.application.ports.schedules import Schedules
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.steps.engine_runs import EngineRuns
from dbt_temporal.application.steps.logical_dates import DatesOfRun, with_dates
from dbt_temporal.application.steps.messages import PlanProjectInput, PlanProjectOutput
from dbt_temporal.application.stored.earlier_runs import EarlierRuns
from dbt_temporal.application.stored.run_files import RunFiles
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error
from dbt_temporal.domain.leases.messages import Lease, LeasePer
from dbt_temporal.domain.limits import MESSAGES_LIMIT_CHARS
from dbt_temporal.domain.log.said import plain
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.run.plan import HistoryLimits, NodeInfo

logger = logging.getLogger(__name__)

DYNAMIC_ATTRIBUTES = ("DbtProject", "DbtCommand", "DbtTarget", "DbtSelector", "DbtStatus")
"""The search attributes that runs set by themselves, all of type Keyword."""

MAX_EDITS = 20
"""So many edits amid planning are taken up at once; nobody saves for so long, and a program that does is to be told."""


class PlanProject:
    """The use case behind `plan_project`.

    Where planning fails after the project was parsed, the manifest is stored all the same, as dbt writes it by then.

    Args:
        write_artifacts: WRITE_ARTIFACTS.
        write_run_log: WRITE_RUN_LOG.
        write_report: WRITE_REPORT.
        priority_scheduling: TEMPORAL_PRIORITY_SCHEDULING.
        continue_after: when runs go on in another execution; None where there are none.
        static_search_attributes: TEMPORAL_SEARCH_ATTRIBUTES; they win over the dynamic ones.
        registered_search_attributes: what the namespace knows; the rest is left out. None where nothing is to be
            left out (runs without Temporal).
        schedules: what knows the times of schedules; None where there are none.
    """

    def __init__(
        self,
        runs: EngineRuns,
        registry: ProjectRegistry,
        store: ArtifactStore,
        *,
        write_artifacts: bool = False,
        write_run_log: bool = True,
        write_report: bool = False,
        priority_scheduling: bool = False,
        continue_after: HistoryLimits | None = None,
        static_search_attributes: Mapping[str, str] | None = None,
        registered_search_attributes: Collection[str] | None = None,
        schedules: Schedules | None = None,
    ) -> None:
        self._runs = runs
        self.registry = registry
        self._store = store
        self._write_artifacts = write_artifacts
        self._write_run_log = write_run_log
        self._write_report = write_report
        self._priority_scheduling = priority_scheduling
        self._continue_after = continue_after
        self._static = dict(static_search_attributes or {})
        self._registered = registered_search_attributes
        self._dates = DatesOfRun(store, schedules)

    async def __call__(self, request: PlanProjectInput, _progress: Progress = no_progress) -> PlanProjectOutput:
        """Plans, on the project as it is now: if it is edited meanwhile, on what it is then.

        Raises:
            DbtTemporalError: ProjectNotFound, Configuration or Compilation; what the engine raises.
        """
        edits = 0
        while True:
            project = await self.registry.resolve(request.input.project)
            try:
                return await self._plan_on(project, request)
            except DbtTemporalError as error:
                edits += 1
                if edits > MAX_EDITS or not await self._is_edited(project, error):
                    raise
            logger.info("the files of %s were edited while a run was planned on them", project.loaded.name)

    async def _is_edited(self, project: ReadyProject, error: DbtTemporalError) -> bool:
        """Whether planning failed since the files are not those of the project's revision any more."""
        if error.error_type is not ErrorType.PROJECT_NOT_FOUND:
            return False
        now = await self.registry.resolve(project.loaded.name)
        return now.loaded.location.revision != project.loaded.location.revision

    async def _plan_on(self, project: ReadyProject, request: PlanProjectInput) -> PlanProjectOutput:
        location = project.loaded.location
        target = request.input.target or location.target or project.loaded.target
        run_input = await EarlierRuns(self._store).resolved(project.loaded.name, request.input, target)
        dates = request.dates
        if not request.is_filled:
            dates = await self._dates(request, run_input)
            run_input = with_dates(run_input, dates)
        invocation = DbtInvocation(
            invocation_id=request.invocation_id,
            project=project.loaded.name,
            revision=location.revision,
            run_hosts=project.config.run_hosts,
            started_at=request.started_at,
            input=run_input,
            dates=dates,
            takes_marks=request.takes_marks,
        )
        limit = project.config.timeouts.plan_secs
        try:
            with log_fields(project=invocation.project):
                run = await self._runs.open_at(location, invocation)
                per = project.config.concurrency.per
                async with asyncio.timeout(limit):
                    engine_plan, lease = await self._planned(run, per, request.invocation_id)
        except TimeoutError as error:
            raise configuration_error(
                f"planning {project.loaded.name!r} took longer than {limit:g} seconds (timeouts.plan_secs)"
            ) from error
        completed = run_input.model_copy(update=dict(engine_plan.taken_over))
        taken_over = tuple(engine_plan.taken_over)
        invocation = invocation.model_copy(update={"input": completed, "taken_over": taken_over})
        in_dbts_order = project.config.scheduling == "dbt"
        plan = engine_plan.plan.model_copy(
            update={
                "nodes": engine_plan.plan.nodes if in_dbts_order else _without_ranks(engine_plan.plan.nodes),
                "write_artifacts": self._write_artifacts,
                "search_attributes": self._search_attributes(invocation, engine_plan),
            }
        )
        # Of parsing, and of planning.
        messages = fit_said("\n".join(engine_plan.messages), 2 * MESSAGES_LIMIT_CHARS)
        return PlanProjectOutput(
            plan=plan,
            config=project.config,
            invocation=invocation,
            target=engine_plan.target,
            threads=engine_plan.threads,
            engine=engine_plan.engine,
            dbt_version=engine_plan.dbt_version,
            adapter_type=engine_plan.adapter_type,
            counts=dict(engine_plan.counts),
            fail_fast=engine_plan.fail_fast,
            ends_on_error=engine_plan.ends_on_error,
            nothing_to_do=engine_plan.nothing_to_do,
            messages=(messages if request.takes_marks else plain(messages)).splitlines(),
            runs_ahead=engine_plan.runs_ahead,
            unrepeatable=sorted(engine_plan.unrepeatable),
            first_come=in_dbts_order,
            looks_at_hooks=True,
            memos_with_turns=True,
            named_activities=True,
            breathes=True,
            ephemerals=dict(engine_plan.ephemerals) if in_dbts_order else {},
            write_run_log=self._write_run_log,
            write_report=self._write_artifacts and self._write_report,
            artifacts_place=self._store.location(request.invocation_id) if self._write_artifacts else None,
            priority_scheduling=self._priority_scheduling,
            continue_after=self._continue_after,
            lease=lease,
        )

    async def _planned(self, run: EngineRun, per: LeasePer, invocation_id: str) -> tuple[EnginePlan, Lease | None]:
        try:
            engine_plan = await run.plan()
            return engine_plan, None if per == "none" else await run.lease(per, engine_plan.plan.nodes)
        except DbtTemporalError as error:
            if self._write_artifacts and error.manifest is not None:
                await self._keep_manifest(error.manifest, invocation_id)
            raise

    async def _keep_manifest(self, manifest: Path, invocation_id: str) -> None:
        try:
            await RunFiles(self._store, invocation_id).upload("manifest.json", manifest)
        except DbtTemporalError as error:
            logger.warning("the manifest of run %s could not be stored: %s", invocation_id, error.message)

    def _search_attributes(self, invocation: DbtInvocation, engine_plan: EnginePlan) -> dict[str, str]:
        dynamic = {
            "DbtProject": invocation.project,
            "DbtCommand": invocation.input.command,
            "DbtTarget": engine_plan.target,
            "DbtSelector": invocation.input.selector,
            # The run keeps it up to date, if it finds it here.
            "DbtStatus": "running",
        }
        attributes = {name: value for name, value in (dynamic | self._static).items() if value}
        if self._registered is None:
            return attributes
        return {name: value for name, value in attributes.items() if name in self._registered}


def _without_ranks(nodes: dict[str, NodeInfo]) -> dict[str, NodeInfo]:
    return {unique_id: node.model_copy(update={"rank": None}) for unique_id, node in nodes.items()}
