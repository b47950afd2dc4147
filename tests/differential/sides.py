"""How each side carries a step out: dbt's command line, and a `dbt_run` workflow on one worker or on two."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from dependency_injector import providers
from temporalio.client import Client, WorkflowHandle

from dbt_temporal.adapters.project_config_file import read_project_config
from dbt_temporal.adapters.project_sources.local import LocalFolder
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.connection.search_attributes import registered_search_attributes
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.worker.build import build_worker
from dbt_temporal.adapters.temporal.worker.own_queue import build_own_worker
from dbt_temporal.application.ports.engine import LoadedProject
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from tests.differential import warm_dbt
from tests.differential.scenario import NAME, Step
from tests.differential.warm_macros import interpreter
from tests.integration.servers import end_with_parent, with_kept_schemas

_PATIENCE_SECS = 900.0
"""For one command; a large package takes minutes where much else goes on."""
ARTIFACTS = ("run_results.json", "manifest.json", "sources.json", "catalog.json")


@dataclass(frozen=True)
class Ended:
    """What a step left behind on one side.

    Attributes:
        success: whether dbt would exit with 0.
        artifacts: texts of those files that this step wrote.
        message: what was said where there are no results.
        nodes: our small results; the command line has none.
        paths: what the artifacts may name of this side's own folders, by a word for it.
    """

    success: bool
    artifacts: Mapping[str, str]
    message: str
    nodes: list[NodeExecutionResult] = field(default_factory=list)
    paths: Mapping[str, str] = field(default_factory=dict)
    workers: int = 0
    """How many workers took steps of the run."""


def base_environment() -> dict[str, str]:
    """The environment of commands and workers alike."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "TEMPORAL_", "SHOP_"))}
    # Of the sets that dbt loops over, so that both sides have them in one order.
    return {**kept, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "PYTHONHASHSEED": "0"}


class CommandLine:
    """dbt's command line, by forks of a process that has imported dbt."""

    name = "cli"

    def __init__(self, process: subprocess.Popen[str], environ: Mapping[str, str], project: Path, folder: Path) -> None:
        self._process = process
        self._environ = environ
        self._project = project
        self._folder = folder
        self._before: Path | None = None
        self._stored_failures = False
        self._paths: dict[str, str] = {}

    @classmethod
    @contextmanager
    def warm(cls, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
        """The process."""
        with warm_dbt.started(environ, preexec_fn=end_with_parent) as process:
            yield process
            assert process.stdin is not None
            process.stdin.close()

    async def run(self, step: Step, env: Mapping[str, str]) -> Ended:
        """Carries the step out; what the step before wrote is kept for `state`."""
        return await asyncio.to_thread(self._run, step, env)

    def _run(self, step: Step, env: Mapping[str, str]) -> Ended:
        target = self._project / "target"
        self._forget_parse_with_other_flags(step, target)
        state = self._before if step.state else None
        for name in ARTIFACTS:
            path = target / name
            if path.exists():
                os.utime(path, (0, 0))  # what this step writes is younger
        code, output = self.invoke(step.arguments(state), {**env, **step.env})
        written = {
            name: (target / name).read_text()
            for name in ARTIFACTS
            if (target / name).exists() and (target / name).stat().st_mtime > 0
        }
        if state:
            self._paths[str(state)] = "<state>"
        if written:
            self._before = self._folder / f"state-{uuid4().hex[:8]}"
            self._before.mkdir()
        for name in written:
            shutil.copy(target / name, self._before or target)
        return Ended(code == 0, written, output, paths=self._paths)  # rows remember the steps before

    def _forget_parse_with_other_flags(self, step: Step, target: Path) -> None:
        """Has dbt parse anew where what it keeps of a parse would not be what this step's flags make of the files."""
        given = step.options.get("store_failures") or step.env.get("DBT_STORE_FAILURES") == "true"
        takes = step.command in ("build", "test")  # other commands of dbt have no such flag, nor read its variable
        stores_failures = self._stored_failures if step.retry else bool(given) and takes
        if stores_failures != self._stored_failures or _warns_otherwise(step):
            (target / "partial_parse.msgpack").unlink(missing_ok=True)
        self._stored_failures = stores_failures

    def invoke(self, arguments: list[str], env: Mapping[str, str]) -> tuple[int, str]:
        """One command; its exit code and what it printed."""
        output = self._folder / "output.txt"
        output.unlink(missing_ok=True)
        code = warm_dbt.ask(self._process, arguments, self._project, {**self._environ, **env}, output, output)
        return code, output.read_text(errors="replace")


def _warns_otherwise(step: Step) -> bool:
    return bool({"warn_error", "warn_error_options"} & step.options.keys()) or "DBT_WARN_ERROR" in step.env


async def two_clients(address: str) -> list[Client]:
    """Connections of two workers, which a run's history tells apart by their names."""
    plain = await connect(ConnectionSettings(address=address), patience_secs=30)
    return [
        await Client.connect(address, data_converter=plain.data_converter, identity=f"worker-{number}")
        for number in range(2)
    ]


class Workers:
    """Two workers: one that serves a queue alone, and both on another one."""

    def __init__(self, clients: Sequence[Client], environ: Mapping[str, str], folder: Path) -> None:
        """`clients` are two: the workers of one queue need a connection each."""
        self.store = folder / "artifacts"
        self.queues = {"one": f"one-{uuid4().hex[:8]}", "two": f"two-{uuid4().hex[:8]}"}
        self.client = clients[0]
        self._clients = clients
        folder.mkdir(parents=True, exist_ok=True)
        self._python = interpreter(folder)
        self._containers = [self._container({**environ, **self._variables(folder, name)}) for name in ("a", "b")]

    def _variables(self, folder: Path, name: str) -> dict[str, str]:
        return {
            "WRITE_ARTIFACTS": "true",
            "ARTIFACT_STORE": str(self.store),
            "DBT_TEMPORAL_CACHE_DIR": str(with_kept_schemas(folder / f"cache-{name}")),
            "DBT_TEMPORAL_HOST_IDLE_SECS": "5",
            "DBT_TEMPORAL_MAX_PARSED_PROJECTS": "3",
            # Nodes come by the queue, where the workers share them, not with the answer to one's workflow task.
            "WORKER_MAX_ACTIVITIES_PER_SECOND": "1000",
            "WORKER_MAX_CONCURRENT_ACTIVITIES": "4",
        }

    def _container(self, environ: Mapping[str, str]) -> WorkerContainer:
        container = WorkerContainer()
        container.settings.override(providers.Object(read_settings(environ)))
        container.environ.override(providers.Object(environ))
        container.current_dir.override(providers.Object(Path.cwd()))
        container.dbt_engine.add_kwargs(python=str(self._python))
        return container

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Workers]:
        """The workers work meanwhile."""
        registered = await registered_search_attributes(self.client)
        async with AsyncExitStack() as stack:
            for number, (client, container) in enumerate(zip(self._clients, self._containers, strict=True)):
                container.registered_search_attributes.override(providers.Object(registered))
                stack.push_async_callback(container.engine().close)
                tuning = container.settings().tuning
                own = build_own_worker(client, container.own_queue(), container.activities(), tuning)
                await stack.enter_async_context(own)
                for queue in list(self.queues.values())[number:]:
                    await stack.enter_async_context(build_worker(client, queue, container.activities(), tuning))
            yield self

    async def serve(self, project: Path) -> None:
        """Has the workers serve a project of the name that all have, in place of the one before."""
        (location,) = await LocalFolder(project, named_by="the scenario").locate()
        for container in self._containers:
            # As at a worker's start, where a project needs variables that only runs bring.
            waiting = ReadyProject(LoadedProject(NAME, location), read_project_config(project), waits_for="runs")
            container.registry().add(waiting)


class Workflow:
    """Runs on one of the queues of the workers."""

    def __init__(self, name: str, workers: Workers) -> None:
        self.name = name
        self._workers = workers
        self._before: str | None = None
        self._results: str | None = None
        self._paths: dict[str, str] = {}

    async def run(self, step: Step, env: Mapping[str, str]) -> Ended:
        """Carries the step out; it refers to what the runs before stored."""
        gateway = TemporalRunGateway(self._workers.client, self._workers.queues[self.name])
        state = self._before if step.state else None
        run = await gateway.submit(step.run_input(env, state, self._results), f"run-{uuid4().hex}")
        outcome = await asyncio.wait_for(run.outcome(), _PATIENCE_SECS)
        output = outcome.output
        success = outcome.ending is Ending.COMPLETED and output is not None and output.success
        message = f"{outcome.error_type}: {outcome.message}"
        folder = self._workers.store / str(run.handle.result_run_id)
        artifacts = {name: (folder / name).read_text() for name in ARTIFACTS if (folder / name).exists()}
        if artifacts:
            self._before = str(folder)
        if "run_results.json" in artifacts:
            self._results = str(folder)
        if state:  # rows remember the steps before, and are compared without ids of runs
            self._paths |= {state: "<state>", f"{self._workers.store}/id": "<state>"}
        nodes = output.node_results if output else []
        return Ended(success, artifacts, message, nodes, self._paths, await _workers_of(run.handle))


async def _workers_of(handle: WorkflowHandle[Any, Any]) -> int:
    """How many workers have started activities."""
    started = [
        event.activity_task_started_event_attributes.identity
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_started_event_attributes")
    ]
    return len(set(started))
