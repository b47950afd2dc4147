"""Worker deployments: runs stay on the version that they began on."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb
import pytest
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import VersioningBehavior
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.gateway import TemporalRun, TemporalRunGateway
from dbt_temporal.application.ports.engine import Prepared
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import node, plan
from tests.integration.engine_driver import write_files
from tests.integration.programs import ROOT, Desk, eventually, started
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import temporal_binary, wait_for

A, B = "model.shop.a", "model.shop.b"
OPERATIONS = ROOT / "docs" / "operations.md"


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
    await make_current(client, deployment, build)
    return harness


async def make_current(client: Client, deployment: str, build: str) -> None:
    """Has new runs go to a version."""

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


async def test_a_run_that_keeps_to_its_worker_reaches_it_under_a_version_too(
    stack: AsyncExitStack, temporal_client: Client, task_queue: str, deployment: str
) -> None:
    worker = await version(stack, temporal_client, task_queue, deployment, "v1")
    worker.engine.prepared = Prepared(keeps_state="a package keeps state", worker="one")
    run = await worker.submit()
    assert (await run.outcome()).ending is Ending.COMPLETED
    scheduled = [event.activity_task_scheduled_event_attributes for event in await history(run.handle)]
    queues = {each.activity_type.name: each.task_queue.name for each in scheduled}
    assert queues["before_run"] == task_queue
    assert {queues[name] for name in ("model:a", "model:b")} <= {task_queue, worker.own_queue}
    assert queues["end_run"] == worker.own_queue


async def test_a_run_can_be_moved_to_the_current_version(
    stack: AsyncExitStack, temporal_client: Client, temporal_address: str, task_queue: str, deployment: str
) -> None:
    old = await version(stack, temporal_client, task_queue, deployment, "v1")
    old.engine.gates[A] = asyncio.Event()
    run = await old.submit()
    await old.has_begun(A)

    new = await version(stack, temporal_client, task_queue, deployment, "v2")
    (command,) = re.findall(r"`temporal (workflow update-options .+?)`", OPERATIONS.read_text())
    words = [*command.replace("ID", run.workflow_id).split(), "--address", temporal_address]
    moving = await asyncio.create_subprocess_exec(temporal_binary(), *words)
    assert await moving.wait() == 0
    old.engine.gates[A].set()
    assert (await run.outcome()).ending is Ending.COMPLETED
    assert (old.engine.executed, new.engine.executed) == ([A], [B])


async def test_a_run_of_a_worker_without_a_version_is_not_pinned(runs: RunHarness) -> None:
    run = await runs.submit()
    await run.outcome()
    info = (await run.handle.describe()).raw_description.workflow_execution_info.versioning_info
    assert info.behavior == VersioningBehavior.VERSIONING_BEHAVIOR_UNSPECIFIED


PROJECT = {
    "dbt_project.yml": "{name: shop, version: '1.0', profile: shop}",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: \"{{ env_var('SHOP_DB') }}\"}}}",
    "models/waits.py": """
import os, pathlib, time

def model(dbt, session):
    gate = pathlib.Path(os.environ["GATE"])
    gate.with_suffix(".reached").touch()
    while not gate.exists():
        time.sleep(0.02)
    return session.sql("select 1 as one")
""",
}


@contextmanager
def released(folder: Path, temporal_address: str, deployment: str, release: str) -> Iterator[Desk]:
    """A worker with a release of the project, made the current version by the command that the worker itself names."""
    desk = Desk(folder / release)
    write_files(
        desk.folder, {**PROJECT, "models/told.sql": f"select '{release}' as release from {{{{ ref('waits') }}}}"}
    )
    desk.env |= {
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_TASK_QUEUE": deployment,
        "TEMPORAL_DEPLOYMENT_NAME": deployment,
        "TEMPORAL_WORKER_BUILD_ID": release,
        "SHOP_DB": str(desk.folder / "shop.duckdb"),
        "GATE": str(folder / "gate"),
    }
    with started(desk, "worker") as program:
        program.says("set-current-version")
        (told,) = re.findall(r"`temporal (.+)`", program.output)
        command = [temporal_binary(), *told.split(), "--address", temporal_address, "--yes"]
        eventually(lambda: subprocess.run(command, capture_output=True).returncode == 0, lambda: told)
        yield desk


async def test_a_run_ends_on_the_release_of_the_project_that_it_began_on_and_new_runs_take_the_new_one(
    temporal_address: str, temporal_client: Client, deployment: str, tmp_path: Path
) -> None:
    gateway, gate = TemporalRunGateway(temporal_client, deployment), tmp_path / "gate"
    with released(tmp_path, temporal_address, deployment, "v1") as old:
        begun = await gateway.submit({}, f"{deployment}-old")
        eventually(gate.with_suffix(".reached").exists, lambda: "the first node runs")
        with released(tmp_path, temporal_address, deployment, "v2") as new:
            gate.touch()
            later = await gateway.submit({}, f"{deployment}-new")
            for run, desk in ((begun, old), (later, new)):
                assert (await run.outcome()).ending is Ending.COMPLETED
                with duckdb.connect(desk.env["SHOP_DB"]) as database:
                    assert database.sql("select release from told").fetchall() == [(desk.folder.name,)]
