"""Runs by the Nexus operation `dbt-run`, called by workflows in the SDK's sandbox. Here from the same namespace, where
Nexus goes the same way; embedding/test_docs.py calls it from another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import nexusrpc.handler
import pytest
from temporalio import workflow
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, CancelledError, NexusOperationError
from temporalio.nexus import WorkflowHandle as OperationHandle
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

with workflow.unsafe.imports_passed_through():
    from dbt_temporal import DbtNexusService, DbtRunInput, execute_nexus_run, output_of_failure
    from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
    from dbt_temporal.domain.errors import ErrorType
    from dbt_temporal.testing import FakeEngine, node, plan
    from tests.integration.run_harness import RunHarness, history
    from tests.unit.repository.doc_pages import Page

A = "model.shop.a"


@workflow.defn
class Caller:
    """Somebody's own."""

    @workflow.run
    async def run(self, endpoint: str, run_input: dict[str, Any]) -> str:
        """Runs dbt between other things."""
        try:
            output = await execute_nexus_run(run_input, endpoint=endpoint)
        except NexusOperationError as error:
            failed = output_of_failure(error)
            if failed is None:
                raise
            return ", ".join(f"{each.unique_id}: {each.message}" for each in failed.node_results)
        return f"{len(output.node_results)} nodes"


@workflow.defn
class ImpatientCaller:
    """The same with a limit."""

    @workflow.run
    async def run(self, endpoint: str, seconds: float) -> str:
        """Runs dbt, if it takes no longer."""
        try:
            await execute_nexus_run(endpoint=endpoint, schedule_to_close_timeout=timedelta(seconds=seconds))
        except NexusOperationError as error:
            return type(error.cause).__name__
        return "in time"


@workflow.defn
class TypedCaller:
    """The same by the service's definition, for data converters that know pydantic."""

    @workflow.run
    async def run(self, endpoint: str) -> str:
        """Runs dbt."""
        dbt = workflow.create_nexus_client(service=DbtNexusService, endpoint=endpoint)
        output = await dbt.execute_operation(DbtNexusService.dbt_run, DbtRunInput(command="run"))
        return f"{len(output.node_results)} nodes"


@workflow.defn
class PlainCaller:
    """The same by names alone, as programs in other languages have it."""

    @workflow.run
    async def run(self, endpoint: str, run_input: Any) -> Any:
        """Runs dbt."""
        dbt = workflow.create_nexus_client(service="dbt-temporal", endpoint=endpoint)
        return await dbt.execute_operation("dbt-run", run_input, output_type=dict)


@nexusrpc.handler.service_handler(name="governance")
class Governance:
    """What the hook of docs/hooks.md asks."""

    @nexusrpc.handler.sync_operation(name="may-run")
    async def may_run(self, _ctx: nexusrpc.handler.StartOperationContext, payload: dict[str, Any]) -> dict[str, Any]:
        """Nothing may."""
        return {"skip": True, "reason": f"no {payload['input']['command']} of {payload['plan']['project']} today"}


async def endpoint_to(client: Client, task_queue: str) -> str:
    """A new endpoint that leads to a task queue of the client's namespace."""
    target = EndpointTarget(worker=EndpointTarget.Worker(namespace=client.namespace, task_queue=task_queue))
    spec = EndpointSpec(name=f"to-{uuid4().hex}", target=target)
    await client.operator_service.create_nexus_endpoint(CreateNexusEndpointRequest(spec=spec))
    return spec.name


async def client_of_others(ours: Client, **options: Any) -> Client:
    """One without our data converter."""
    return await Client.connect(ours.service_client.config.target_host, namespace=ours.namespace, **options)


class Callers:
    """Other people's workflows, and the endpoint that they call."""

    def __init__(self, client: Client, task_queue: str, endpoint: str) -> None:
        self.client = client
        self.task_queue = task_queue
        self.endpoint = endpoint

    async def start(self, caller: Any, *arguments: Any) -> WorkflowHandle[Any, Any]:
        """A workflow that calls the endpoint."""
        return await self.client.start_workflow(
            caller, args=[self.endpoint, *arguments], id=f"caller-{uuid4().hex}", task_queue=self.task_queue
        )


@pytest.fixture
async def callers(runs: RunHarness) -> AsyncIterator[Callers]:
    """Workers of callers, and one of ours that offers the operation."""
    runs.tuning = WorkerTuning(nexus=True)
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    await runs.start_worker()
    client = await client_of_others(runs.client)
    callers = Callers(client, f"{runs.task_queue}-callers", await endpoint_to(runs.client, runs.task_queue))
    async with Worker(client, task_queue=callers.task_queue, workflows=[Caller, ImpatientCaller, PlainCaller]):
        yield callers
        for gate in runs.engine.gates.values():
            gate.set()


async def failure_of(caller: WorkflowHandle[Any, Any]) -> BaseException | None:
    with pytest.raises(WorkflowFailureError) as failure:
        await caller.result()
    return failure.value.cause


async def run_of(caller: WorkflowHandle[Any, Any]) -> str:
    """The id of the run that a caller has had."""
    (token,) = [
        event.nexus_operation_started_event_attributes.operation_token
        for event in await history(caller)
        if event.HasField("nexus_operation_started_event_attributes")
    ]
    return OperationHandle[Any].from_token(token).workflow_id


async def test_a_caller_gets_the_output_of_a_run_that_is_named_as_all_are(runs: RunHarness, callers: Callers) -> None:
    caller = await callers.start(Caller.run, {"command": "test", "project": "shop"})
    assert await caller.result() == "2 nodes"
    run_id = await run_of(caller)
    assert run_id.startswith("dbt-test-shop-")
    described = await runs.client.get_workflow_handle(run_id).describe()
    assert (described.workflow_type, await described.static_summary()) == ("dbt_run", "dbt test")


async def test_a_run_whose_input_names_no_project_is_called_after_the_only_one_of_the_worker(
    runs: RunHarness, callers: Callers
) -> None:
    caller = await callers.start(Caller.run, {"command": "test"})
    await caller.result()
    assert (await run_of(caller)).startswith("dbt-test-shop-")


async def test_a_caller_finds_what_has_failed_in_its_run_and_why(runs: RunHarness, callers: Callers) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A, "no such column", error_type=ErrorType.COMPILATION)]
    assert await (await callers.start(Caller.run, {})).result() == f"{A}: no such column"


async def test_a_caller_that_is_cancelled_waits_until_its_run_has_stopped(runs: RunHarness, callers: Callers) -> None:
    runs.engine.gates[A] = asyncio.Event()
    caller = await callers.start(Caller.run, {})
    await runs.has_begun(A)
    await caller.cancel()
    assert isinstance(await failure_of(caller), CancelledError)
    assert (runs.engine.cancelled, len(runs.engine.ended_runs)) == ([A], 1)


async def test_a_caller_may_wait_for_so_long_and_no_longer(runs: RunHarness, callers: Callers) -> None:
    runs.engine.gates[A] = asyncio.Event()
    assert await (await callers.start(ImpatientCaller.run, 1.0)).result() == "TimeoutError"


@pytest.mark.parametrize(
    ("run_input", "told"),
    [({"comand": "build", "env": {"PASSWORD": "hush"}}, "comand"), ("build", "must be a JSON object")],
)
async def test_a_wrong_input_fails_the_operation_as_it_fails_a_run(callers: Callers, run_input: Any, told: str) -> None:
    failure = await failure_of(await callers.start(PlainCaller.run, run_input))
    assert isinstance(failure, NexusOperationError)
    assert isinstance(failure.cause, ApplicationError)
    assert failure.cause.type == "Configuration"
    assert told in failure.cause.message
    assert "hush" not in str(failure.cause)


async def test_the_service_s_definition_serves_callers_whose_data_converter_knows_pydantic(
    runs: RunHarness, callers: Callers
) -> None:
    client = await client_of_others(runs.client, data_converter=pydantic_data_converter)
    typed = Callers(client, f"{runs.task_queue}-typed", callers.endpoint)
    async with Worker(client, task_queue=typed.task_queue, workflows=[TypedCaller]):
        assert await (await typed.start(TypedCaller.run)).result() == "2 nodes"


async def test_a_worker_offers_the_operation_only_where_it_is_asked_to(runs: RunHarness) -> None:
    assert not (await runs.start_worker()).config()["nexus_service_handlers"]


async def test_a_hook_can_ask_an_operation_of_another_namespace(runs: RunHarness) -> None:
    queue = f"{runs.task_queue}-hooks"
    endpoint = await endpoint_to(runs.client, queue)
    (text,) = Page("docs/hooks.md").blocks("python", "hook by Nexus")
    defined: dict[str, Any] = {"__name__": "hook_of_the_page"}
    exec(text.replace('endpoint="governance"', f'endpoint="{endpoint}"'), defined)
    runs.engine.run_plan = plan(node("a"))
    client = await client_of_others(runs.client)
    async with Worker(
        client,
        task_queue=queue,
        workflows=[defined["AskGovernance"]],
        nexus_service_handlers=[Governance()],
        workflow_runner=UnsandboxedWorkflowRunner(),  # a text is no module, which the sandbox would import again
    ):
        hook = {"workflow_type": "ask_governance", "task_queue": queue, "on_error": "fail"}
        outcome = await runs.run({"hooks": {"pre_run": [hook]}})
    assert outcome.output is not None
    assert (outcome.output.skipped, outcome.output.skip_reason) == (True, "no build of shop today")
