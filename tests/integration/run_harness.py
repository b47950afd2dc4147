"""The real workflow on a real server, with a fake engine behind the activities, or with dbt."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.report_page.page import html_page
from dbt_temporal.adapters.secrets import SecretSettings, WorkerSecrets
from dbt_temporal.adapters.temporal.connection.connect import namespace_facts
from dbt_temporal.adapters.temporal.connection.search_attributes import registered_search_attributes
from dbt_temporal.adapters.temporal.gateway import TemporalRun, TemporalRunGateway
from dbt_temporal.adapters.temporal.leases.client import TemporalLeases
from dbt_temporal.adapters.temporal.schedules.times import TemporalSchedules
from dbt_temporal.adapters.temporal.worker.activities import DbtActivities
from dbt_temporal.adapters.temporal.worker.build import build_worker
from dbt_temporal.adapters.temporal.worker.current_step import CurrentStep
from dbt_temporal.adapters.temporal.worker.left_out import LeftOutInHistory
from dbt_temporal.adapters.temporal.worker.own_queue import build_own_worker, own_task_queue
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.adapters.temporal.worker.versioning import VersioningSettings
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import DbtEngine, ProjectLocation
from dbt_temporal.application.ports.report_page import ReportPage
from dbt_temporal.application.ports.runs import Outcome
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.secrets.keeping_engine import SecretKeepingEngine
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, ready_project
from tests.integration.servers import wait_for

Engine = TypeVar("Engine", bound=DbtEngine)

ANY_VARIABLE = SecretSettings(variables=("*",))
FAST_RETRIES = {"initial_interval_secs": 0.05, "max_interval_secs": 0.1}


class WorkerHarness(Generic[Engine]):
    """Submits runs to a worker of its own.

    Attributes:
        engine, store: what is behind the worker; set them up before the first run.
        config: the project's dbt_temporal.yml.
        projects: what the worker has loaded; by default the one project `shop`, with `config`.
        worker_env: the worker's environment, as far as secrets go.
        own_queue, own_worker: where the worker alone takes steps, and what takes them there.
    """

    def __init__(self, client: Client, task_queue: str, stack: AsyncExitStack, engine: Engine) -> None:
        self.client = client
        self.task_queue = task_queue
        self.engine = engine
        self.store: ArtifactStore = InMemoryArtifactStore()
        self.config: dict[str, Any] = {"retry": FAST_RETRIES}
        self.projects: list[ReadyProject] | None = None
        self.write_artifacts = False
        self.report_page: ReportPage | None = None
        self.write_sql = False
        self.static_search_attributes: Mapping[str, str] = {}
        self.tuning = WorkerTuning()
        self.versioning = VersioningSettings()
        self.worker_env: Mapping[str, str] = {}
        self.own_queue = own_task_queue(task_queue)
        self.own_worker: Worker | None = None
        self._stack = stack
        self._worker: Worker | None = None

    @property
    def gateway(self) -> TemporalRunGateway:
        """Where runs are submitted."""
        return TemporalRunGateway(self.client, self.task_queue)

    async def start_worker(self) -> Worker:
        """Starts the worker, once."""
        if self._worker is None:
            projects = self.projects or [ready_project(config=ProjectConfig.model_validate(self.config))]
            use_cases = UseCases.build(
                SecretKeepingEngine(self.engine, WorkerSecrets(self.worker_env, ANY_VARIABLE), self.worker_env),
                ProjectRegistry(projects),
                self.store,
                write_artifacts=self.write_artifacts,
                report_page=self.report_page,
                write_sql=self.write_sql,
                priority_scheduling=self.tuning.priority_scheduling,
                continue_after=self.tuning.history_limits,
                static_search_attributes=self.static_search_attributes,
                registered_search_attributes=await registered_search_attributes(self.client),
                own_queue=self.own_queue,
                step=CurrentStep({"TEMPORAL_UI_URL": "http://ui.internal/"}, (await namespace_facts(self.client)).id),
                leases=TemporalLeases(self.task_queue),
                left_out=LeftOutInHistory(),
                schedules=TemporalSchedules(),
            )
            activities = DbtActivities(use_cases)
            worker = build_worker(
                self.client,
                self.task_queue,
                activities,
                self.tuning,
                deployment=self.versioning.deployment_config(),
            )
            self.own_worker = build_own_worker(self.client, self.own_queue, activities, self.tuning)
            await self._stack.enter_async_context(self.own_worker)
            self._worker = await self._stack.enter_async_context(worker)
        return self._worker

    async def start_another_worker(self) -> Worker:
        """Starts a worker beside, or in place of, the one before."""
        self._worker, self.own_queue = None, own_task_queue(self.task_queue)
        return await self.start_worker()

    async def submit(self, run_input: Mapping[str, Any] | None = None) -> TemporalRun:
        """Starts a run."""
        await self.start_worker()
        return await self.gateway.submit(run_input, f"run-{uuid4().hex}")

    async def submit_raw(self, arguments: Sequence[Any]) -> TemporalRun:
        """Starts a run as any client of any language would."""
        await self.start_worker()
        handle = await self.client.start_workflow(
            "dbt_run", args=list(arguments), id=f"run-{uuid4().hex}", task_queue=self.task_queue
        )
        return self.gateway.find(handle.id)

    async def run(self, run_input: Mapping[str, Any] | None = None) -> Outcome:
        """Starts a run and waits for its end."""
        return await (await self.submit(run_input)).outcome()


class RunHarness(WorkerHarness[FakeEngine]):
    """A worker with a fake engine, which stores artifacts in memory."""

    store: InMemoryArtifactStore

    def __init__(self, client: Client, task_queue: str, stack: AsyncExitStack) -> None:
        super().__init__(client, task_queue, stack, FakeEngine())

    async def has_begun(self, unique_id: str) -> None:
        """Waits until the engine has begun a node."""

        async def begun() -> bool:
            return unique_id in self.engine.executed

        await wait_for(begun, what=f"{unique_id} has begun")


class DbtHarness(WorkerHarness[DbtCoreEngine]):
    """A worker with dbt and one project. Its runs store their artifacts in `folder`."""

    def __init__(
        self, client: Client, task_queue: str, stack: AsyncExitStack, engine: DbtCoreEngine, folder: Path
    ) -> None:
        super().__init__(client, task_queue, stack, engine)
        self.store = FsspecArtifactStore(str(folder))
        self.folder = folder
        self.write_artifacts = True
        self.report_page = html_page

    async def load(self, location: ProjectLocation) -> None:
        """Loads the project of the runs, with `config`."""
        loaded = await self.engine.load_project(location)
        self.projects = [ReadyProject(loaded, ProjectConfig.model_validate(self.config))]

    def artifact(self, output: DbtRunOutput, name: str) -> Path:
        """Where a run's file is."""
        return self.folder / output.invocation_id / name


async def history(handle: WorkflowHandle[Any, Any]) -> list[HistoryEvent]:
    """All events of a run."""
    return [event async for event in handle.fetch_history_events()]


def scheduled(events: Sequence[HistoryEvent]) -> list[str]:
    """The activity types in the order in which they were scheduled."""
    found = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    logging.getLogger(__name__).debug("scheduled: %s", found)
    return found
