"""Connecting, and what a server is told and asked before any run."""

from __future__ import annotations

import logging
import time
from uuid import uuid4

import pytest
from pydantic import SecretStr
from temporalio.client import Client

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.connection.search_attributes import (
    DBT_SEARCH_ATTRIBUTES,
    register_search_attributes,
    registered_search_attributes,
    warn_of_missing,
)
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.run_harness import RunHarness
from tests.integration.servers import free_port


async def test_an_address_that_is_none_is_told_at_once() -> None:
    with pytest.raises(
        DbtTemporalError, match=r"cannot connect to Temporal at no address:7233, .*: invalid target URL"
    ):
        await connect(ConnectionSettings(address="no address"), patience_secs=60)


async def test_a_server_that_is_not_there_is_told_with_its_address_and_a_remedy() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(DbtTemporalError) as caught:
        await connect(ConnectionSettings(address=address))
    assert caught.value.error_type == ErrorType.CONFIGURATION
    assert f"cannot connect to Temporal at {address}, namespace 'default', no TLS: " in caught.value.message
    assert "Check TEMPORAL_ADDRESS" in caught.value.message


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(DbtTemporalError):
        await connect(ConnectionSettings(address=f"127.0.0.1:{free_port()}"), patience_secs=1.0)
    assert time.monotonic() - began >= 1.0


async def test_tls_to_a_server_without_it_is_told(temporal_address: str) -> None:
    settings = ConnectionSettings(address=temporal_address, api_key=SecretStr("s3cret"))
    with pytest.raises(DbtTemporalError) as caught:
        await connect(settings)
    assert "namespace 'default', TLS, API key: " in caught.value.message
    assert "s3cret" not in caught.value.message


async def test_a_namespace_that_is_not_there_is_told(temporal_address: str) -> None:
    with pytest.raises(DbtTemporalError, match="has no namespace 'nowhere': correct TEMPORAL_NAMESPACE"):
        await connect(ConnectionSettings(address=temporal_address, namespace="nowhere"))


async def test_the_dbt_search_attributes_can_be_registered_again_and_again(temporal_client: Client) -> None:
    await register_search_attributes(temporal_client)
    await register_search_attributes(temporal_client)
    assert frozenset(DBT_SEARCH_ATTRIBUTES) <= await registered_search_attributes(temporal_client)


async def test_what_the_namespace_does_not_have_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_missing(frozenset({"DbtProject", "Team"}), frozenset({"DbtProject"}))
        warn_of_missing(frozenset({"DbtProject"}), frozenset({"DbtProject"}))
    (record,) = caplog.records
    assert "are left out: Team" in record.getMessage()


async def test_a_task_queue_says_whether_it_has_workers(runs: RunHarness, temporal_client: Client) -> None:
    assert not await TemporalRunGateway(temporal_client, f"nobody-{uuid4().hex}").has_workers()
    await (await runs.submit()).outcome()
    assert await runs.gateway.has_workers()


async def test_a_run_that_no_worker_has_taken_has_no_snapshot(temporal_client: Client) -> None:
    run = await TemporalRunGateway(temporal_client, f"nobody-{uuid4().hex}").submit({}, uuid4().hex)
    assert await run.snapshot(with_nodes=False) is None
    await run.terminate("the test is over")
    assert (await run.outcome()).ending == "terminated"


async def test_a_workflow_id_is_used_by_one_run_at_a_time(temporal_client: Client) -> None:
    gateway = TemporalRunGateway(temporal_client, f"nobody-{uuid4().hex}")
    run = await gateway.submit({}, uuid4().hex)
    follows = f"is running already; 'dbt-temporal attach {run.workflow_id}' follows it"
    with pytest.raises(DbtTemporalError, match=follows):
        await gateway.submit({}, run.workflow_id)
    await run.terminate("the test is over")
