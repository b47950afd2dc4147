"""dbt's own before_run and after_run: schemas, relation cache, on-run-start and on-run-end."""

from __future__ import annotations

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import CompletedNode, DbtEngine, NodeOutcome, Progress
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.run.fitting import fit_result
from dbt_temporal.application.steps.messages import AfterRunInput, BeforeRunInput, ProjectHooksOutput
from dbt_temporal.application.steps.run_files import RunFiles
from dbt_temporal.application.steps.time_limit import within_limit


class BeforeRun:
    """The use case behind `before_run`."""

    def __init__(self, engine: DbtEngine, registry: ProjectRegistry, store: ArtifactStore) -> None:
        self._engine = engine
        self._registry = registry
        self._store = store

    async def __call__(self, request: BeforeRunInput, progress: Progress) -> ProjectHooksOutput:
        """Sets the run up and runs on-run-start. A failed hook is a result, not an exception.

        Raises:
            DbtTemporalError: the run could not be set up, or took too long.
        """
        invocation = request.invocation
        location = (await self._registry.resolve(invocation.project, invocation.revision)).loaded.location
        outcomes = await within_limit(
            self._engine,
            location,
            request,
            "before_run",
            lambda: self._engine.before_run(location, invocation, progress),
            retryable=request.repeatable,
        )
        files = RunFiles(self._store, invocation.invocation_id) if request.write_artifacts else None
        return await _keep(outcomes, files)


class AfterRun:
    """The use case behind `after_run`."""

    def __init__(self, engine: DbtEngine, registry: ProjectRegistry, store: ArtifactStore) -> None:
        self._engine = engine
        self._registry = registry
        self._store = store

    async def __call__(self, request: AfterRunInput, progress: Progress) -> ProjectHooksOutput:
        """Runs on-run-end, which sees the results. A failed hook is a result, not an exception.

        Raises:
            DbtTemporalError: the hooks could not be run, or took too long.
        """
        invocation = request.invocation
        location = (await self._registry.resolve(invocation.project, invocation.revision)).loaded.location
        files = RunFiles(self._store, invocation.invocation_id) if request.write_artifacts else None
        if files is not None:
            completed = await files.with_records(request.results)
        else:
            completed = [CompletedNode(result) for result in request.results]
        outcomes = await within_limit(
            self._engine,
            location,
            request,
            "on-run-end",
            lambda: self._engine.after_run(location, invocation, completed, progress),
            retryable=request.repeatable,
        )
        return await _keep(outcomes, files)


async def _keep(outcomes: list[NodeOutcome], files: RunFiles | None) -> ProjectHooksOutput:
    if files is not None:
        for outcome in outcomes:
            await files.keep(outcome)
    return ProjectHooksOutput(
        results=[fit_result(outcome.result) for outcome in outcomes],
        retryable=any(outcome.error is not None and outcome.error.retryable for outcome in outcomes),
    )
