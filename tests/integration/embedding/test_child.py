"""Runs as children of other people's workflows, which run in the SDK's sandbox with its own data converter."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError, ChildWorkflowError
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from dbt_temporal import DbtClient, DbtRunInput, DbtTemporalError, ErrorType, execute_child_run, output_of_failure
    from dbt_temporal.testing import FakeEngine, node, plan
    from tests.integration.run_harness import RunHarness
    from tests.integration.servers import wait_for

A, B = "model.shop.a", "model.shop.b"


@workflow.defn
class Pipeline:
    """Somebody's own."""

    @workflow.run
    async def run(self, task_queue: str, run_input: dict[str, Any], child_id: str | None) -> str:
        """Runs dbt between other things."""
        try:
            output = await execute_child_run(run_input, id=child_id, task_queue=task_queue)
        except ChildWorkflowError as error:
            failed = output_of_failure(error)
            if failed is None:
                raise
            return ", ".join(each.unique_id for each in failed.node_results if each.status == "error")
        return f"{len(output.node_results)} nodes"


@workflow.defn
class TypedPipeline:
    """The same with a typed input and without an id."""

    @workflow.run
    async def run(self, task_queue: str) -> str:
        """Runs dbt twice, one beside the other."""
        inputs = (DbtRunInput(command="build", select="a"), DbtRunInput(command="build", select="b"))
        outputs = await asyncio.gather(*(execute_child_run(each, task_queue=task_queue) for each in inputs))
        return " ".join(str(output.success) for output in outputs)


@pytest.fixture
async def of_others(runs: RunHarness) -> AsyncIterator[Client]:
    """A client without our data converter, and a worker of other people's workflows."""
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    await runs.start_worker()
    ours = runs.client
    client = await Client.connect(ours.service_client.config.target_host, namespace=ours.namespace)
    async with Worker(client, task_queue=queue_of(runs), workflows=[Pipeline, TypedPipeline]):
        yield client
        for gate in runs.engine.gates.values():
            gate.set()


def queue_of(runs: RunHarness) -> str:
    return f"{runs.task_queue}-of-others"


async def started(
    client: Client, runs: RunHarness, run_input: dict[str, Any] | None = None, child_id: str | None = None
) -> WorkflowHandle[Any, str]:
    return await client.start_workflow(
        Pipeline.run,
        args=[runs.task_queue, run_input or {"command": "build"}, child_id],
        id=f"pipeline-{uuid4().hex}",
        task_queue=queue_of(runs),
    )


async def test_a_workflow_gets_the_output_of_its_run(runs: RunHarness, of_others: Client) -> None:
    assert await (await started(of_others, runs)).result() == "2 nodes"


async def test_a_workflow_may_have_several_runs_at_a_time(runs: RunHarness, of_others: Client) -> None:
    pipeline = await of_others.start_workflow(
        TypedPipeline.run, runs.task_queue, id=f"pipeline-{uuid4().hex}", task_queue=queue_of(runs)
    )
    assert await pipeline.result() == "True True"


async def test_a_workflow_finds_what_has_failed_in_its_run(runs: RunHarness, of_others: Client) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
    assert await (await started(of_others, runs)).result() == A


async def test_a_wrong_input_fails_the_workflow_and_starts_nothing(runs: RunHarness, of_others: Client) -> None:
    child_id = f"never-{uuid4().hex}"
    pipeline = await started(of_others, runs, {"comand": "build"}, child_id)
    with pytest.raises(WorkflowFailureError) as failure:
        await pipeline.result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert (failure.value.cause.type, "comand" in failure.value.cause.message) == ("Configuration", True)
    children = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    assert children not in {event.event_type async for event in pipeline.fetch_history_events()}


async def test_a_workflow_that_is_cancelled_waits_until_its_run_has_stopped(
    runs: RunHarness, of_others: Client
) -> None:
    runs.engine.gates[A] = asyncio.Event()
    pipeline = await started(of_others, runs)
    await runs.has_begun(A)
    await pipeline.cancel()
    with pytest.raises(WorkflowFailureError) as failure:
        await pipeline.result()
    assert isinstance(failure.value.cause, CancelledError)
    assert (runs.engine.cancelled, len(runs.engine.ended_runs)) == ([A], 1)


async def test_a_run_whose_workflow_is_terminated_stops_in_good_order(runs: RunHarness, of_others: Client) -> None:
    runs.engine.gates[A] = asyncio.Event()
    child_id = f"child-{uuid4().hex}"
    pipeline = await started(of_others, runs, child_id=child_id)
    await runs.has_begun(A)
    await pipeline.terminate()

    async def has_stopped() -> bool:
        return bool(runs.engine.ended_runs)

    await wait_for(has_stopped, what="the run has ended what it held")
    assert runs.engine.cancelled == [A]
    with pytest.raises(Exception, match="the run was cancelled"):
        await DbtClient(of_others, runs.task_queue).handle(child_id).result()


async def test_a_client_that_connects_by_the_environment_serves_workflows_with_encrypted_payloads(
    temporal_address: str, task_queue: str
) -> None:
    keys = f"first:{base64.b64encode(bytes(range(32))).decode()}"
    environ = {"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_TASK_QUEUE": task_queue, "TEMPORAL_CODEC_KEYS": keys}
    client = await DbtClient.connect(environ)
    async with AsyncExitStack() as stack:
        runs = RunHarness(client.temporal, task_queue, stack)
        runs.engine.run_plan = plan(node("a"))
        await runs.start_worker()
        await stack.enter_async_context(
            Worker(client.temporal, task_queue=queue_of(runs), workflows=[Pipeline, TypedPipeline])
        )
        assert await (await started(client.temporal, runs)).result() == "1 nodes"
        run = await client.start({"command": "build"})
        states = [state async for state in run.follow()]
        assert states[-1].node_status == {A: "success"}
        with pytest.raises(DbtTemporalError, match="set TEMPORAL_CODEC_KEYS here"):
            await (await DbtClient.connect({"TEMPORAL_ADDRESS": temporal_address})).handle(run.workflow_id).result()
