"""A Temporal server and a worker in a process of their own, for scenarios: one run a line of standard input.

    python -m tests.conformance.worker.service FOLDER

Scenarios patch clocks, environment and dbt in their own process; nothing of that reaches this one. A request is
`{"project_dir", "profiles_dir", "input"}`, its answer an `Answer`, each a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dependency_injector import providers

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.project_sources.local import LocalFolder, current_revision
from dbt_temporal.adapters.temporal.connection.connect import connect
from dbt_temporal.adapters.temporal.connection.search_attributes import (
    register_search_attributes,
    registered_search_attributes,
)
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.worker.build import build_worker
from dbt_temporal.application.ports.engine import LoadedProject
from dbt_temporal.application.projects.loading import ReadyProject, RereadProject
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.servers import SEARCH_ATTRIBUTES, temporal_dev_server

# As many attempts as by default, without the seconds between them.
CONFIG = ProjectConfig.model_validate({"retry": {"initial_interval_secs": 0.05, "max_interval_secs": 0.1}})
WRITTEN_BY_DBT = ("run", "compiled")
"""Folders of dbt's target path that some scenarios read; our runs keep them to themselves."""


@dataclass(frozen=True)
class Answer:
    """How a run ended.

    Attributes:
        ending, error_type, message: of the workflow.
        success: whether all nodes did as they should; None where the run did not get to its nodes.
        folder: its artifacts, and the folders of `WRITTEN_BY_DBT`.
        log: the run log, and below it the logs of the nodes, in dbt's own format.
    """

    ending: str
    error_type: str | None
    message: str | None
    success: bool | None
    folder: str
    log: str


class KeepingEngine(DbtCoreEngine):
    """The engine, which leaves what dbt has written during a run beside the run's artifacts."""

    def __init__(self, cache_dir: Path, store: Path, environ: Mapping[str, str]) -> None:
        super().__init__(cache_dir, python=str(_warm_interpreter(cache_dir)), environ=environ)
        self._cache_dir = cache_dir
        self._store = store

    async def end_run(self, invocation_id: str) -> None:
        """See `DbtEngine.end_run`."""
        await asyncio.to_thread(self._keep, invocation_id)
        await super().end_run(invocation_id)

    def _keep(self, invocation_id: str) -> None:
        for name in WRITTEN_BY_DBT:
            for source in self._cache_dir.glob(f"workers/*/runs/{invocation_id}/*/target/{name}"):
                shutil.copytree(source, self._store / invocation_id / name, dirs_exist_ok=True)


def _warm_interpreter(folder: Path) -> Path:
    """A command that stands for the interpreter; see `warm_template`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "warm-python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.conformance.worker.warm_template "$@"\n')
    path.chmod(0o755)
    return path


class Service:
    """Runs what it is asked for, one after the other, on a worker that knows every project that it is asked for."""

    def __init__(self, container: WorkerContainer, gateway: TemporalRunGateway, store: Path) -> None:
        self._container = container
        self._gateway = gateway
        self._store = store
        self._number = 0

    async def answer(self, request: Mapping[str, Any]) -> Answer:
        """Runs one request to its end."""
        name = await self._known(Path(request["project_dir"]), Path(request["profiles_dir"]))
        self._number += 1
        run = await self._gateway.submit({**request["input"], "project": name}, f"{name}-{self._number}")
        outcome = await run.outcome()
        folder = self._store / str(run.handle.first_execution_run_id)
        logs = [*folder.glob("log.txt"), *sorted(folder.glob("logs/*"))]
        return Answer(
            ending=outcome.ending.value,
            error_type=outcome.error_type,
            message=outcome.message,
            success=None if outcome.output is None else outcome.output.success,
            folder=str(folder),
            log="\n".join(path.read_text(encoding="utf-8") for path in logs),
        )

    async def _known(self, project_dir: Path, profiles_dir: Path) -> str:
        """Makes the worker know a project, by the name of its folder, as most scenarios call theirs `test`."""
        registry = self._container.registry()
        if project_dir.name not in registry.names:
            source = LocalFolder(project_dir, named_by="the scenario", profiles_dir=profiles_dir)
            [location] = await source.locate()
            registry.add(ReadyProject(LoadedProject(project_dir.name, location), CONFIG))
        return project_dir.name


async def serve(folder: Path, address: str) -> None:
    """Answers the lines of standard input until it ends."""
    cache, store = folder / "cache", folder / "artifacts"
    environ = {**os.environ, "TEMPORAL_ADDRESS": address, "ARTIFACT_STORE": str(store), "WRITE_ARTIFACTS": "true"}
    settings = read_settings({**environ, "DBT_TEMPORAL_CACHE_DIR": str(cache)})
    client = await connect(settings.connection, patience_secs=30)
    await register_search_attributes(client, SEARCH_ATTRIBUTES)
    container = WorkerContainer()
    container.settings.override(providers.Object(settings))
    container.environ.override(providers.Object(environ))
    container.current_dir.override(providers.Object(folder))
    container.registered_search_attributes.override(providers.Object(await registered_search_attributes(client)))
    container.dbt_engine.override(providers.Singleton(KeepingEngine, cache, store, environ))
    container.reread.override(providers.Object(RereadProject(current_revision, lambda _: CONFIG)))
    queue = settings.connection.task_queue
    service = Service(container, TemporalRunGateway(client, queue), store)
    try:
        async with build_worker(client, queue, container.activities(), settings.tuning):
            while line := await asyncio.to_thread(sys.stdin.readline):
                answer = await service.answer(json.loads(line))
                print(json.dumps(asdict(answer)), flush=True)
    finally:
        await container.engine().close()


def main() -> None:
    """Serves below the folder that the command line names."""
    folder = Path(sys.argv[1])
    with temporal_dev_server(folder / "temporal.log") as address:
        asyncio.run(serve(folder, address))


if __name__ == "__main__":
    main()
