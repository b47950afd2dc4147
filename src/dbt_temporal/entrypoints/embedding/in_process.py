"""Runs in the caller's own process: no Temporal server, and one call in place of a worker's wiring."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dependency_injector import providers

from dbt_temporal.adapters.in_process import HookFunction, run_in_process
from dbt_temporal.adapters.project_sources.local import LocalFolder
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.entrypoints.container import WorkerContainer, close_lineage, report_page
from dbt_temporal.entrypoints.embedding.state import DbtRunState
from dbt_temporal.entrypoints.settings import Settings, SettingsError, read_settings


class DbtInProcess:
    """A project, loaded once for as many runs as its block does, also several at a time.

    Args:
        project_dir: the project's folder, or one whose subfolders are projects.
        profiles_dir: where its profiles.yml is; by default as for a worker (DBT_PROFILES_DIR, the project's folder,
            ~/.dbt).
        hooks: functions for the lifecycle hooks that the project or a run names, by workflow type. Each takes the
            payload (or the hook's own `input`) and returns its answer; raises to fail.
        environ: in place of this process's environment: what dbt sees, and our settings (docs/configuration.md).

    Raises:
        DbtTemporalError: on entering the block: a setting is wrong, or the project cannot be loaded.
    """

    def __init__(
        self,
        project_dir: str | Path,
        *,
        profiles_dir: str | Path | None = None,
        hooks: Mapping[str, HookFunction] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._project_dir = project_dir
        self._profiles_dir = profiles_dir
        self._hooks = dict(hooks or {})
        self._environ = dict(os.environ if environ is None else environ)
        self._container: WorkerContainer | None = None
        self._use_cases: UseCases | None = None

    async def __aenter__(self) -> DbtInProcess:
        try:
            settings = read_settings(self._environ)
        except SettingsError as error:
            raise configuration_error(str(error)) from error
        profiles_dir = Path(self._profiles_dir) if self._profiles_dir else settings.projects.profiles_dir
        source = LocalFolder(
            self._project_dir, named_by="project_dir", profiles_dir=profiles_dir, target=settings.projects.target
        )
        self._container = container = WorkerContainer(
            settings=settings, environ=providers.Object(self._environ), current_dir=Path.cwd()
        )
        container.sources.override(providers.Object([source]))
        try:
            container.lineage_sender()
            for project in await container.load_projects()():
                container.registry().add(project)
        except BaseException:
            await container.engine().close()
            await close_lineage(container)
            raise
        self._use_cases = _use_cases(container, settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is not None:
            self._use_cases = None
            await self._container.engine().close()
            await close_lineage(self._container)

    async def run(
        self, command: str = "build", *, observe: Callable[[DbtRunState], None] | None = None, **fields: Any
    ) -> DbtRunOutput:
        """Runs a command and returns what it came to: a run in which nodes failed has `success` false.

        Args:
            command: dbt's, as the run's input names it.
            observe: called with every state of the run.
            fields: all others of the run's input (docs/run-input.md): `select`, `vars`, `full_refresh`, ...

        Raises:
            DbtTemporalError: the input is wrong, or the run could not be planned or set up.
            asyncio.CancelledError: the awaiting task was cancelled; what ran has ended by then.
        """
        if self._use_cases is None:
            raise RuntimeError("runs are done within the block: `async with DbtInProcess(...) as dbt`")
        run_input = parse_run_input({"command": command, **fields})
        seen = None if observe is None else lambda change: observe(DbtRunState.of_change(change))
        return await run_in_process(run_input, self._use_cases, hooks=self._hooks, observe=seen)


async def run_dbt(
    project_dir: str | Path,
    command: str = "build",
    *,
    profiles_dir: str | Path | None = None,
    hooks: Mapping[str, HookFunction] | None = None,
    environ: Mapping[str, str] | None = None,
    observe: Callable[[DbtRunState], None] | None = None,
    **fields: Any,
) -> DbtRunOutput:
    """Loads a project, does one run of it in this process, and returns what it came to.

    For more than one run, `DbtInProcess` loads the project once. Its parameters and those of its `run` are these; so
    are the errors that are raised.
    """
    async with DbtInProcess(project_dir, profiles_dir=profiles_dir, hooks=hooks, environ=environ) as dbt:
        return await dbt.run(command, observe=observe, **fields)


def _use_cases(container: WorkerContainer, settings: Settings) -> UseCases:
    """Those of a worker, apart from what only Temporal knows: its leases, schedules and limits."""
    return UseCases.build(
        container.engine(),
        container.registry(),
        container.artifact_store(),
        write_artifacts=settings.artifacts.write_artifacts,
        write_run_log=settings.artifacts.write_run_log,
        report_page=report_page(settings),
        write_catalog=settings.artifacts.write_catalog,
        write_sql=settings.artifacts.write_sql,
        latest=settings.artifacts.latest,
        priority_scheduling=settings.tuning.priority_scheduling,
        lineage=container.lineage_sender(),
    )
