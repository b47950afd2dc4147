"""Worker deployments: runs stay on the version that they began on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.client import TemporalRun
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

A, B = "model.shop.a", "model.shop.b"


@pytest.fixture
def deployment() -> str:
    return f"dbt-{uuid4().hex[:8]}"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def version(stack: AsyncExitStack, client: Client, task_queue: str, deployment: str, build: str) -> RunHarness:
    """A worker of one version, which new runs go to."""
    environ = {"TEMPORAL_DEPLOYMENT_NAME": deployment, "TEMPORAL_WORKER_BUILD_ID": build}
    harness = RunHarness(client, task_queue, stack)
    harness.versioning = read_settings(environ).versioning
    harness.engine.run_plan = plan(node("a"), node("b", "a"))
    await harness.start_worker()

    async def is_current() -> bool:
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace=client.namespace, deployment_name=deployment, build_id=build
        )
        try:
            await client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError:
            return False  # the server has not heard of the worker yet
        return True

    await wait_for(is_current, what=f"{build} is current")
    return harness


async def pinned_to(run: TemporalRun) -> WorkerDeploymentVersion:
    """The version that a run is pinned to."""
    info = (await run.handle.describe()).raw_description.workflow_execution_info.versioning_info
    assert info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_PINNED
    return info.deployment_version


async def test_a_run_stays_on_the_version_that_it_began_on(
    stack: AsyncExitStack, temporal_client: Client, task_queue: str, deployment: str
) -> None:
    old = await version(stack, temporal_client, task_queue, deployment, "v1")
    old.engine.gates[A] = asyncio.Event()
    begun = await old.submit()
    await old.has_begun(A)

    new = await version(stack, temporal_client, task_queue, deployment, "v2")
    later = await new.submit()
    assert (await later.outcome()).ending is Ending.COMPLETED
    old.engine.gates[A].set()
    assert (await begun.outcome()).ending is Ending.COMPLETED

    assert old.engine.executed == [A, B]
    assert new.engine.executed == [A, B]
    assert (await pinned_to(begun)).build_id == "v1"
    assert (await pinned_to(later)).build_id == "v2"
    assert (await pinned_to(later)).deployment_name == deployment


async def test_a_run_of_a_worker_without_a_version_is_not_pinned(runs: RunHarness) -> None:
    run = await runs.submit()
    await run.outcome()
    info = (await run.handle.describe()).raw_description.workflow_execution_info.versioning_info
    assert info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_UNSPECIFIED
