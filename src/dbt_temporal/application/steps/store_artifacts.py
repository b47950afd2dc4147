"""Stores the artifacts of a run."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from dbt_temporal.application.lineage.telling import LineageTelling
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import CompletedNode, EngineRun, Progress, no_progress
from dbt_temporal.application.steps.engine_runs import EngineRuns
from dbt_temporal.application.steps.logical_dates import DATES_FILE
from dbt_temporal.application.steps.messages import StoreArtifactsInput, StoreArtifactsOutput
from dbt_temporal.application.steps.run_report import RunReports
from dbt_temporal.application.stored.earlier_runs import EarlierRuns
from dbt_temporal.application.stored.failed_nodes import tell_of_failed
from dbt_temporal.application.stored.late_writes import LateWrites
from dbt_temporal.application.stored.latest import WHOSE, LatestArtifacts, LatestRule, becomes_latest
from dbt_temporal.application.stored.run_files import RunFiles
from dbt_temporal.application.stored.sql_archive import is_sql, missing_in, store_sql
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.domain.results import ArtifactPaths, NodeExecutionResult, is_project_hook
from dbt_temporal.domain.run.commands import COMMANDS

RUN_LOG_FILE = "log.txt"
RUN_RESULTS_FILE = "run_results.json"

_PATH_OF = {
    RUN_RESULTS_FILE: "run_results_path",
    "manifest.json": "manifest_path",
    "catalog.json": "catalog_path",
    "sources.json": "sources_path",
    RUN_LOG_FILE: "log_path",
}

logger = logging.getLogger(__name__)


class StoreArtifacts:
    """The use case behind `store_artifacts`. Repeating it writes the same files again."""

    def __init__(
        self,
        runs: EngineRuns,
        store: ArtifactStore,
        late: LateWrites,
        reports: RunReports | None = None,
        *,
        write_catalog: bool = False,
        write_sql: bool = False,
        latest: LatestRule = "success",
        lineage: LineageTelling | None = None,
    ) -> None:
        self._runs = runs
        self._reports = reports
        self._store = store
        self._late = late
        self._write_catalog = write_catalog
        self._write_sql = write_sql
        self._latest = latest
        self._lineage = lineage or LineageTelling()

    async def __call__(self, request: StoreArtifactsInput, _progress: Progress = no_progress) -> StoreArtifactsOutput:
        """Has the engine assemble the artifacts from the records, and writes them.

        Raises:
            DbtTemporalError: ArtifactStore, or what the engine raises. The run log is written before anything else.
        """
        invocation = request.invocation
        files = RunFiles(self._store, invocation.invocation_id, self._late)
        paths: dict[str, str] = {}
        if request.run_log is not None:
            paths["log_path"] = await files.write(RUN_LOG_FILE, request.run_log.encode())
        if request.about is not None:
            await files.write(WHOSE, request.about.model_dump_json().encode())
        if request.log_only:
            return StoreArtifactsOutput(artifacts=ArtifactPaths(**paths), log_path=paths.get("log_path"))
        run = await self._runs.open(invocation)
        attempted = COMMANDS[invocation.input.command].executes
        unrecorded = request.unrecorded if attempted else [result.unique_id for result in request.results]
        completed = await files.with_records(
            request.results, unrecorded, request.behind, request.behind_if_failed, with_batches=self._write_sql
        )
        artifacts, sql_problem = await self._artifacts(run, completed, request)
        failed = await run.failed_ephemerals() if request.fail_fast else frozenset()
        report_path, report_problem = None, None
        if self._reports is not None and artifacts:
            report_path, report_problem = await self._reports.make(run, request, files)
        latest_problem: str | None = None
        failed_nodes = await tell_of_failed(run, request.results, files) if attempted and artifacts else []
        names = [name for name in artifacts if not is_sql(name)]
        written = await asyncio.gather(*(files.upload(name, artifacts[name]) for name in names))
        sql, sql_path = {name: place for name, place in artifacts.items() if is_sql(name)}, None
        try:
            sql_path = await store_sql(sql, files)
            sql_problem = sql_problem or missing_in(sql)
        except (DbtTemporalError, OSError, ValueError) as error:
            sql_problem = _told(error)
        if invocation.dates is not None:
            await files.write(DATES_FILE, invocation.dates.model_dump_json().encode())
        if RUN_RESULTS_FILE in artifacts:
            earlier = EarlierRuns(self._store)
            await earlier.note(invocation.project, invocation.input, invocation.invocation_id, request.ended_at)
            latest_problem = await self._make_latest(request)
        await self._lineage.nodes_ended(run, invocation, request.results, request.unrecorded, request.ended_at)
        paths |= {_PATH_OF[name]: place for name, place in zip(names, written, strict=True) if name in _PATH_OF}
        return StoreArtifactsOutput(
            artifacts=ArtifactPaths(**paths, sql_path=sql_path),
            log_path=paths.get("log_path"),
            unstored=files.missing,
            failed_ephemerals=sorted(failed),
            report_path=report_path,
            report_problem=report_problem,
            latest_problem=latest_problem,
            sql_problem=sql_problem,
            failed_nodes=failed_nodes,
        )

    async def _artifacts(
        self, run: EngineRun, completed: list[CompletedNode], request: StoreArtifactsInput
    ) -> tuple[dict[str, Path], str | None]:
        """What the engine has assembled, and what kept it from the SQL, which costs a run nothing else.

        Raises:
            DbtTemporalError: what the engine raises without the SQL as well; at the first attempt also what another one
                may mend.
        """
        problem = None
        if self._write_sql:
            try:
                made = await run.artifacts(
                    completed, request.elapsed_time, with_catalog=self._write_catalog, with_sql=True
                )
                return dict(made), None
            except (DbtTemporalError, OSError) as error:
                if request.attempt == 1 and getattr(error, "retryable", False):
                    raise
                problem = _told(error)
        made = await run.artifacts(completed, request.elapsed_time, with_catalog=self._write_catalog)
        return dict(made), problem

    async def _make_latest(self, request: StoreArtifactsInput) -> str | None:
        """Makes the run the latest of its target, where it is to become that; returns why that cannot be done.

        Raises:
            DbtTemporalError: ArtifactStore, at the first attempt. What goes wrong again does not fail a run that has
                stored its artifacts: a store may keep what is not there a secret from credentials that know no list.
        """
        if request.latest is None or not becomes_latest(request.latest, request.invocation.input, self._latest):
            return None
        if not any(_is_node(result) for result in request.results):
            return None  # a selection that finds nothing has built nothing of what its manifest names
        try:
            await LatestArtifacts(self._store).publish(request.latest)
        except DbtTemporalError as error:
            if request.attempt == 1:
                raise
            logger.warning("run %s is not the latest of its target: %s", request.latest.invocation_id, error.message)
            return error.message
        return None


def _is_node(result: NodeExecutionResult) -> bool:
    """Whether it is a node's, and not that of one of the project's hooks."""
    return not is_project_hook(result.unique_id)


def _told(error: Exception) -> str:
    """What is said of an error that costs a run its SQL alone."""
    message = error.message if isinstance(error, DbtTemporalError) else str(error) or type(error).__name__
    logger.warning("the SQL of a run is left out: %s", message)
    return message
