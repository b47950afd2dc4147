"""The client of other programs, against a real server and a real worker."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowFailureError

from dbt_temporal import (
    DbtClient,
    DbtRunFailedError,
    DbtRunInput,
    DbtRunState,
    DbtTemporalError,
    Ending,
    ErrorType,
    output_of_failure,
)
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

A, B = "model.shop.a", "model.shop.b"


@pytest.fixture
async def client(runs: RunHarness, temporal_client: Client) -> DbtClient:
    """A client with the SDK's own data converter, as most programs have it; there is a worker."""
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    await runs.start_worker()
    of_others = await Client.connect(
        temporal_client.service_client.config.target_host, namespace=temporal_client.namespace
    )
    return DbtClient(of_others, runs.task_queue)


async def test_a_run_is_started_and_its_output_awaited(client: DbtClient) -> None:
    run = await client.start(DbtRunInput(command="build", select="+b"))
    assert run.workflow_id.startswith("dbt-build-default-")
    output = await run.result()
    assert (output.success, [each.unique_id for each in output.node_results]) == (True, [A, B])
    assert output.invocation_id == await run.invocation_id()
    assert await client.handle(run.workflow_id).result() == output


async def test_a_run_with_failed_nodes_is_an_error_that_has_the_whole_output(
    runs: RunHarness, client: DbtClient
) -> None:
    runs.engine.script[A] = [FakeEngine.fails(A, error_type=ErrorType.COMPILATION)]
    with pytest.raises(DbtRunFailedError) as failure:
        await client.run({"command": "build"})
    error = failure.value
    assert (error.ending, error.error_type) == (Ending.FAILED, ErrorType.DBT_RUN_FAILED)
    assert error.output is not None
    assert [each.status for each in error.output.node_results] == ["error", "skipped"]
    # By the SDK alone it is the same.
    with pytest.raises(WorkflowFailureError) as by_sdk:
        await client.temporal.get_workflow_handle(error.workflow_id).result()
    assert output_of_failure(by_sdk.value) == error.output


async def test_a_run_is_followed_from_its_first_line_to_its_last(runs: RunHarness, client: DbtClient) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await client.start()
    states: list[DbtRunState] = []
    async for state in run.follow():
        states.append(state)
        if state.node_status.get(A) == "running":
            runs.engine.gates[A].set()
    assert (states[-1].total_nodes, states[-1].succeeded) == (2, 2)
    assert states[-1].node_status == {A: "success", B: "success"}
    lines = [line for state in states for line in state.new_log_lines]
    assert lines == await run.temporal.query("run_log")


async def test_the_state_of_a_run_is_asked_for_at_any_time(runs: RunHarness, client: DbtClient) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await client.start()
    await runs.has_begun(A)
    state = await run.state()
    assert state is not None
    assert (state.phase, state.running, state.node_status[B]) == ("executing", 1, "pending")
    again = await run.state(with_nodes=False)
    assert again is not None
    assert (again.new_log_lines, again.node_status) == ([], {})
    runs.engine.gates[A].set()
    assert (await run.result()).success


async def test_a_cancelled_run_ends_its_node_and_is_an_error_that_has_what_it_came_to(
    runs: RunHarness, client: DbtClient
) -> None:
    runs.engine.gates[B] = asyncio.Event()
    run = await client.start()
    await runs.has_begun(B)
    await run.cancel()
    with pytest.raises(DbtRunFailedError, match="the run was cancelled") as failure:
        await run.result()
    error = failure.value
    assert error.ending is Ending.CANCELLED
    assert runs.engine.cancelled == [B]
    assert error.output is not None
    assert not error.output.success
    assert {each.unique_id: each.status for each in error.output.node_results} == {A: "success", B: "cancelled"}
    assert error.output.invocation_id == await run.invocation_id()


async def test_a_run_that_no_worker_takes_can_be_terminated(temporal_client: Client) -> None:
    run = await DbtClient(temporal_client, f"nobody-{uuid4().hex}").start()
    assert await run.state() is None
    await run.terminate("nobody is there")
    with pytest.raises(DbtRunFailedError, match="nobody is there") as failure:
        await run.result()
    assert failure.value.ending is Ending.TERMINATED


async def test_of_one_workflow_id_only_one_run_is_open(runs: RunHarness, client: DbtClient) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await client.start(workflow_id=f"nightly-{uuid4().hex}")
    with pytest.raises(DbtTemporalError, match=f"a workflow with the id '{run.workflow_id}' is running already"):
        await client.start(workflow_id=run.workflow_id)
    runs.engine.gates[A].set()
    await run.result()


@pytest.mark.parametrize("wrong", [{"comand": "build"}, {"command": "biuld"}, {"threads": "many"}])
async def test_a_wrong_input_is_told_before_anything_is_started(client: DbtClient, wrong: dict[str, Any]) -> None:
    workflow_id = f"never-{uuid4().hex}"
    with pytest.raises(DbtTemporalError, match=next(iter(wrong))) as error:
        await client.start(wrong, workflow_id=workflow_id)
    assert error.value.error_type is ErrorType.CONFIGURATION
    with pytest.raises(DbtTemporalError, match=f"has no run '{workflow_id}'"):
        await client.handle(workflow_id).invocation_id()


async def test_a_client_connects_by_the_variables_that_the_commands_have(runs: RunHarness) -> None:
    await runs.start_worker()
    server = runs.client.service_client.config.target_host
    client = await DbtClient.connect({"TEMPORAL_ADDRESS": server, "TEMPORAL_TASK_QUEUE": runs.task_queue})
    assert (await client.run()).success


async def test_a_wrong_variable_of_the_connection_is_told_and_others_do_not_matter() -> None:
    with pytest.raises(DbtTemporalError, match=r"TEMPORAL_ADDRESS='ftp://x'.*unknown scheme"):
        await DbtClient.connect({"TEMPORAL_ADDRESS": "ftp://x", "HEALTH_PORT": "none of its business"})


async def test_an_update_goes_by_the_sdk_s_handle(runs: RunHarness, client: DbtClient) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await client.start()
    await runs.has_begun(A)
    assert await run.temporal.execute_update("set_fail_fast", True) is True

    async def told() -> bool:
        status: dict[str, Any] = await run.temporal.query("run_status")
        return bool(status["fail_fast"])

    await wait_for(told, what="fail_fast is on")
    runs.engine.gates[A].set()
    await run.result()
