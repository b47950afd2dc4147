"""Encrypted runs on a real server, the codec server with Temporal's own CLI, and secrets given by reference."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.json_format import MessageToJson, Parse
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.gateway import TemporalRunGateway
from dbt_temporal.adapters.temporal.listing import KnownRuns
from dbt_temporal.adapters.temporal.payloads.codec_keys import new_key
from dbt_temporal.application.ports.engine import NodeOutcome, Progress
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.testing import FakeEngine, FakeEngineRun, node, plan
from tests.integration.run_harness import RunHarness, history
from tests.integration.servers import temporal_binary, wait_for

KEY = new_key("k1")
NEXT_KEY = new_key("k2")
SECRET = "hunter2-hunter2"
A = "model.shop.a"


async def client_with(address: str, keys: str | None) -> Client:
    codec_keys = SecretStr(keys) if keys else None
    return await connect(ConnectionSettings(address=address, codec_keys=codec_keys), patience_secs=30)


@pytest.fixture
async def encrypted_runs(temporal_address: str, temporal_client: Client, task_queue: str) -> AsyncIterator[RunHarness]:
    """A worker that shares a key with its callers."""
    async with AsyncExitStack() as stack:
        yield RunHarness(await client_with(temporal_address, KEY), task_queue, stack)


class RevealingRun(FakeEngineRun):
    """Fails, and says its environment in the message."""

    async def execute_node(self, unique_id: str, progress: Progress, *rest: Any, **named: Any) -> NodeOutcome:
        await super().execute_node(unique_id, progress, *rest, **named)
        return FakeEngine.fails(unique_id, f"cannot log in with {self.invocation.input.env}", retryable=False)


def payloads_of(message: Any) -> list[Payload]:
    """All payloads anywhere in a protobuf message, apart from those of search attributes."""
    if isinstance(message, Payload):
        return [message]
    found: list[Payload] = []
    for field, value in message.ListFields():
        if field.name == "search_attributes" or field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = [each for each in value.values() if hasattr(each, "ListFields")]
        else:
            values = list(value) if hasattr(value, "__len__") else [value]
        for each in values:
            found += payloads_of(each)
    return found


def texts_of(events: list[HistoryEvent]) -> str:
    """A history as its readers see it, with the data of payloads in clear where they are not encrypted."""
    data = b"\n".join(payload.data for event in events for payload in payloads_of(event))
    return "\n".join(MessageToJson(event) for event in events) + data.decode(errors="replace")


async def test_every_payload_of_a_run_is_encrypted_and_its_caller_reads_it_all(encrypted_runs: RunHarness) -> None:
    encrypted_runs.engine.run_plan = plan(node("a"), node("b", "a"))
    run = await encrypted_runs.submit({"command": "run", "vars": {"day": "doomsday"}})
    outcome = await run.outcome()
    assert outcome.output is not None
    assert [result.unique_id for result in outcome.output.node_results] == [A, "model.shop.b"]
    snapshot = await run.snapshot(with_nodes=True)
    assert snapshot is not None
    assert snapshot.node_status == {A: "success", "model.shop.b": "success"}
    described = await run.handle.describe()
    assert (await described.memo())["command"]["vars"] == {"day": "doomsday"}
    raw = await encrypted_runs.client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(
            namespace=encrypted_runs.client.namespace, execution=WorkflowExecution(workflow_id=run.workflow_id)
        )
    )
    events = await history(run.handle)
    payloads = [payload for message in (*events, raw) for payload in payloads_of(message)]
    assert len(payloads) > 10
    assert {payload.metadata["encoding"] for payload in payloads} == {b"binary/encrypted"}
    assert {payload.metadata["encryption-key-id"] for payload in payloads} == {b"k1"}
    assert "doomsday" not in texts_of(events)


async def test_search_attributes_are_not_encrypted(encrypted_runs: RunHarness) -> None:
    encrypted_runs.engine.run_plan = plan(node("a"))
    run = await encrypted_runs.submit()
    await run.outcome()
    described = await run.handle.describe()
    assert {pair.key.name: pair.value for pair in described.typed_search_attributes}["DbtStatus"] == "passed"


async def test_the_messages_of_failures_are_encrypted_and_reach_the_caller(encrypted_runs: RunHarness) -> None:
    encrypted_runs.engine.run_plan = plan(node("a"))
    encrypted_runs.engine.script[A] = [FakeEngine.fails(A, "relation doomsday is missing", retryable=False)]
    run = await encrypted_runs.submit()
    outcome = await run.outcome()
    assert outcome.ending is Ending.FAILED
    assert (outcome.error_type, "relation doomsday is missing" in (outcome.message or "")) == ("DbtRunFailed", True)
    assert outcome.output is not None
    assert outcome.output.node_results[0].message == "relation doomsday is missing"
    events = await history(run.handle)
    assert "doomsday" not in texts_of(events)
    assert events[-1].workflow_execution_failed_event_attributes.failure.message == "Encoded failure"


async def test_a_run_from_before_encryption_is_read_with_keys(
    runs: RunHarness, temporal_address: str, task_queue: str
) -> None:
    runs.engine.run_plan = plan(node("a"))
    run = await runs.submit({"command": "run"})
    await run.outcome()
    later = TemporalRunGateway(await client_with(temporal_address, KEY), task_queue).find(run.workflow_id)
    assert (await later.outcome()).ending is Ending.COMPLETED


async def test_a_run_goes_on_while_keys_are_rotated(encrypted_runs: RunHarness, temporal_address: str) -> None:
    encrypted_runs.engine.run_plan = plan(node("a"))
    run = await encrypted_runs.submit({"command": "run"})
    await run.outcome()
    rotated = await client_with(temporal_address, f"{NEXT_KEY},{KEY}")
    found = TemporalRunGateway(rotated, encrypted_runs.task_queue).find(run.workflow_id)
    assert (await found.outcome()).ending is Ending.COMPLETED


@pytest.mark.parametrize(
    ("keys", "said"),
    [(None, "set TEMPORAL_CODEC_KEYS here"), (NEXT_KEY, "the key 'k1', which TEMPORAL_CODEC_KEYS does not hold")],
    ids=["no key", "another key"],
)
async def test_a_caller_without_the_key_is_told_which_one_is_missing(
    encrypted_runs: RunHarness, temporal_address: str, keys: str | None, said: str
) -> None:
    encrypted_runs.engine.run_plan = plan(node("a"))
    run = await encrypted_runs.submit()
    await run.outcome()
    stranger = TemporalRunGateway(await client_with(temporal_address, keys), encrypted_runs.task_queue)
    with pytest.raises(DbtTemporalError, match=said):
        await stranger.find(run.workflow_id).outcome()


async def test_runs_are_listed_without_the_key_by_what_is_in_clear(
    encrypted_runs: RunHarness, temporal_address: str
) -> None:
    encrypted_runs.engine.run_plan = plan(node("a"))
    run = await encrypted_runs.submit({"command": "run", "select": "a"})
    await run.outcome()
    known = KnownRuns(await client_with(temporal_address, None), encrypted_runs.task_queue)

    async def listed() -> bool:
        found = await known.newest(2, since=datetime.now(UTC) - timedelta(hours=1), project="shop")
        return [(each.workflow_id, each.command, each.select) for each in found] == [(run.workflow_id, "run", "")]

    await wait_for(listed, what="the run is listed, without its selection")


async def test_a_run_that_meets_a_worker_without_the_key_waits_for_one_that_has_it(
    runs: RunHarness, encrypted_runs: RunHarness
) -> None:
    run = await encrypted_runs.gateway.submit({"command": "run"}, f"run-{uuid4().hex}")

    async def refusal() -> str:
        found = [
            event for event in await history(run.handle) if event.HasField("workflow_task_failed_event_attributes")
        ]
        return MessageToJson(found[0].workflow_task_failed_event_attributes.failure) if found else ""

    stranger = await runs.start_worker()
    assert "set TEMPORAL_CODEC_KEYS here" in await wait_for(refusal, what="a worker without the key has refused")
    await stranger.shutdown()
    encrypted_runs.engine.run_plan = plan(node("a"))
    await encrypted_runs.start_worker()
    assert (await run.outcome()).ending is Ending.COMPLETED


@contextmanager
def codec_server(*arguments: str, **environ: str) -> Iterator[str]:
    """`dbt-temporal codec-server` on a free port; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dbt_temporal", "codec-server", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "Codec server at " in line, line + process.stderr.read()
        yield line.split()[3]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def temporal_show(address: str, workflow_id: str, *arguments: str) -> str:
    command = [str(temporal_binary()), "workflow", "show", "--address", address, "--workflow-id", workflow_id]
    shown = subprocess.run([*command, "--output", "json", *arguments], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    return texts_of(list(Parse(shown.stdout, History()).events))


async def test_temporals_cli_shows_an_encrypted_run_through_the_codec_server(
    encrypted_runs: RunHarness, temporal_address: str
) -> None:
    encrypted_runs.engine.run_plan = plan(node("a"))
    encrypted_runs.engine.script[A] = [FakeEngine.fails(A, "relation doomsday is missing", retryable=False)]
    run = await encrypted_runs.submit({"command": "run", "select": "orders+"})
    await run.outcome()
    assert "orders+" not in temporal_show(temporal_address, run.workflow_id)
    environ = {"TEMPORAL_CODEC_KEYS": KEY, "DBT_TEMPORAL_CODEC_SERVER_TOKEN": "let-me-in"}
    with codec_server(**environ) as url:
        shown = temporal_show(
            temporal_address,
            run.workflow_id,
            *("--codec-endpoint", f"{url}/{{namespace}}", "--codec-auth", "Bearer let-me-in"),
        )
    assert "orders+" in shown
    assert "relation doomsday is missing" in shown


def test_a_key_that_the_command_makes_can_be_used() -> None:
    command = [sys.executable, "-m", "dbt_temporal", "codec-key", "--id", "made"]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with codec_server(TEMPORAL_CODEC_KEYS=made) as url:
        assert url.startswith("http://127.0.0.1:")


def test_a_codec_server_that_others_reach_needs_a_token() -> None:
    command = [sys.executable, "-m", "dbt_temporal", "codec-server", "--host", "0.0.0.0", "--port", "0"]
    refused = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TEMPORAL_CODEC_KEYS": KEY})
    assert refused.returncode == 2
    assert "DBT_TEMPORAL_CODEC_SERVER_TOKEN" in refused.stderr


async def test_a_referenced_secret_is_in_no_history_and_the_engine_has_it(runs: RunHarness) -> None:
    runs.engine = FakeEngine(plan(node("a")))
    runs.engine.run_class = RevealingRun
    runs.worker_env = {"PROD_PW": SECRET}
    runs.write_artifacts = True
    run = await runs.submit({"env": {"LOGIN": {"from_env": "PROD_PW"}, "DB_SCHEMA": "analytics"}})
    outcome = await run.outcome()
    assert outcome.output is not None
    assert outcome.output.node_results[0].message == "cannot log in with {'LOGIN': '***', 'DB_SCHEMA': 'analytics'}"
    events = await history(run.handle)
    assert SECRET not in texts_of(events)
    assert '"from_env":"PROD_PW"' in texts_of(events).replace('": "', '":"')
    described = await run.handle.describe()
    assert SECRET not in str(await described.memo())
    assert SECRET not in str(list(runs.store.files.values()))


async def test_a_secret_that_the_worker_does_not_have_fails_the_run_by_its_name(
    runs: RunHarness, tmp_path: Path
) -> None:
    runs.engine.run_plan = plan(node("a"))
    outcome = await runs.run({"env": {"DB_PASSWORD": {"from_env": "PROD_PW"}}})
    assert outcome.ending is Ending.FAILED
    assert "env.DB_PASSWORD (from_env 'PROD_PW'): this variable is not set on the worker" in (outcome.message or "")
    assert runs.engine.executed == []


async def dbt_temporal(address: str, task_queue: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """Our command beside this process's worker; its exit code and all that it says."""
    told = {"TEMPORAL_ADDRESS": address, "TEMPORAL_TASK_QUEUE": task_queue, "PATH": os.environ["PATH"], **environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dbt_temporal", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=told,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.parametrize(
    "command", [["build"], ["schedule", "create", "nightly", "--cron", "30 2 * * *", "--", "build"]], ids=lambda c: c[0]
)
async def test_a_command_without_the_key_sends_nothing_where_runs_are_encrypted(
    encrypted_runs: RunHarness, temporal_address: str, temporal_client: Client, command: list[str]
) -> None:
    queue = encrypted_runs.task_queue
    encrypted_runs.engine.run_plan = plan(node("a"))
    await (await encrypted_runs.submit({"command": "run"})).outcome()

    async def listed() -> bool:
        found = [run async for run in temporal_client.list_workflows(f"TaskQueue = '{queue}'")]
        return bool(found) and "node_status" in found[0].raw_info.memo.fields

    assert await wait_for(listed)
    code, said = await dbt_temporal(temporal_address, queue, *command)
    assert code == 2, said
    assert "are encrypted with the key 'k1'" in said
    assert "set TEMPORAL_CODEC_KEYS here as on the workers" in said
    runs = [run async for run in temporal_client.list_workflows(f"TaskQueue = '{queue}'")]
    assert len(runs) == 1
    with pytest.raises(RPCError):
        await temporal_client.get_schedule_handle("nightly").describe()


@pytest.mark.parametrize("keys", [KEY, "none"], ids=["the key", "on purpose"])
async def test_a_command_with_the_key_or_on_purpose_without_one_starts_its_run(
    encrypted_runs: RunHarness, temporal_address: str, keys: str
) -> None:
    queue = encrypted_runs.task_queue
    encrypted_runs.engine.run_plan = plan(node("a"))
    await (await encrypted_runs.submit({"command": "run"})).outcome()
    code, said = await dbt_temporal(temporal_address, queue, "build", "--no-wait", TEMPORAL_CODEC_KEYS=keys)
    assert code == 0, said


async def test_where_runs_are_in_clear_nobody_needs_a_key(runs: RunHarness, temporal_address: str) -> None:
    runs.engine.run_plan = plan(node("a"))
    await (await runs.submit({"command": "run"})).outcome()
    code, said = await dbt_temporal(temporal_address, runs.task_queue, "build", "--no-wait")
    assert code == 0, said
