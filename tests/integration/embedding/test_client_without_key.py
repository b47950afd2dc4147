"""A program without the key, where runs are encrypted: it is stopped before it sends a run's input in clear."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from dbt_temporal import DbtClient, DbtTemporalError, ErrorType
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.payloads.codec_keys import new_key
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import wait_for

KEY = new_key("k1")


@pytest.fixture
async def encrypted_runs(temporal_address: str, temporal_client: Client, task_queue: str) -> AsyncIterator[RunHarness]:
    """A worker with a key, which has had a run."""
    settings = ConnectionSettings(address=temporal_address, codec_keys=SecretStr(KEY))
    async with AsyncExitStack() as stack:
        runs = RunHarness(await connect(settings, patience_secs=30), task_queue, stack)
        runs.engine.run_plan = plan(node("a"))
        await (await runs.submit({"command": "run"})).outcome()

        async def is_listed() -> bool:
            found = [run async for run in temporal_client.list_workflows(f"TaskQueue = '{task_queue}'")]
            return bool(found) and "node_status" in found[0].raw_info.memo.fields

        assert await wait_for(is_listed)
        yield runs


def variables(runs: RunHarness, **more: str) -> dict[str, str]:
    server = runs.client.service_client.config.target_host
    return {"TEMPORAL_ADDRESS": server, "TEMPORAL_TASK_QUEUE": runs.task_queue, **more}


async def test_a_client_without_the_key_starts_nothing_where_runs_are_encrypted(
    encrypted_runs: RunHarness, temporal_client: Client
) -> None:
    by_variables = await DbtClient.connect(variables(encrypted_runs))
    for client in (by_variables, DbtClient(temporal_client, encrypted_runs.task_queue)):
        with pytest.raises(DbtTemporalError, match="are encrypted with the key 'k1'") as error:
            await client.start()
        assert error.value.error_type is ErrorType.CONFIGURATION
    query = f"TaskQueue = '{encrypted_runs.task_queue}'"
    assert len([run async for run in temporal_client.list_workflows(query)]) == 1


async def test_a_client_with_the_key_starts_its_run(encrypted_runs: RunHarness) -> None:
    by_variables = await DbtClient.connect(variables(encrypted_runs, TEMPORAL_CODEC_KEYS=KEY))
    for client in (by_variables, DbtClient(encrypted_runs.client, encrypted_runs.task_queue)):
        assert (await client.run()).success


async def test_a_client_without_the_key_starts_its_run_where_that_is_meant(
    encrypted_runs: RunHarness, temporal_client: Client
) -> None:
    by_variables = await DbtClient.connect(variables(encrypted_runs, TEMPORAL_CODEC_KEYS="none"))
    for client in (by_variables, DbtClient(temporal_client, encrypted_runs.task_queue, in_clear=True)):
        run = await client.start()
        assert await run.invocation_id()
