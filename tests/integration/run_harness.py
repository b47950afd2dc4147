"""The real workflow on a real server, with a fake engine behind the activities."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from dbt_temporal.adapters.secrets import WorkerSecrets
from dbt_temporal.adapters.temporal.activities import DbtActivities
from dbt_temporal.adapters.temporal.client import TemporalRun, TemporalRunGateway
from dbt_temporal.adapters.temporal.search_attributes import registered_search_attributes
from dbt_temporal.adapters.temporal.tuning import WorkerTuning
from dbt_temporal.adapters.temporal.worker import build_worker
from dbt_temporal.application.load_projects import ReadyProject
from dbt_temporal.application.ports.runs import Outcome
from dbt_temporal.application.project_registry import ProjectRegistry
from dbt_temporal.application.secret_keeping_engine import SecretKeepingEngine
from dbt_temporal.application.use_cases import UseCases
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.testing import FakeEngine, InMemoryArtifactStore, ready_project
from tests.integration.servers import wait_for

FAST_RETRIES = {"initial_interval_secs": 0.05, "max_interval_secs": 0.1}


class RunHarness:
    """Submits runs to a worker of its own.

    Attributes:
        engine, store: the fakes behind the worker; set them up before the first run.
        config: the project's dbt_temporal.yml.
        projects: what the worker has loaded; by default the one project `shop`.
        worker_env: the worker's environment, as far as secrets go.
    """

    def __init__(self, client: Client, task_queue: str, stack: AsyncExitStack) -> None:
        self.client = client
        self.task_queue = task_queue
        self.engine = FakeEngine()
        self.store = InMemoryArtifactStore()
        self.config: dict[str, Any] = {"retry": FAST_RETRIES}
        self.projects: list[ReadyProject] | None = None
        self.write_artifacts = False
        self.static_search_attributes: Mapping[str, str] = {}
        self.tuning = WorkerTuning()
        self.worker_env: Mapping[str, str] = {}
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
                SecretKeepingEngine(self.engine, WorkerSecrets(self.worker_env), self.worker_env),
                ProjectRegistry(projects),
                self.store,
                write_artifacts=self.write_artifacts,
                static_search_attributes=self.static_search_attributes,
                registered_search_attributes=await registered_search_attributes(self.client),
            )
            worker = build_worker(self.client, self.task_queue, DbtActivities(use_cases), self.tuning)
            self._worker = await self._stack.enter_async_context(worker)
        return self._worker

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

    async def has_begun(self, unique_id: str) -> None:
        """Waits until the engine has begun a node."""

        async def begun() -> bool:
            return unique_id in self.engine.executed

        await wait_for(begun, what=f"{unique_id} has begun")


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
