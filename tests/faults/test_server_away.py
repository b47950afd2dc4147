"""A Temporal server that is away while nodes end: their results are told when it answers again."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.connection.search_attributes import register_search_attributes
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.entrypoints.cli.submit import Submission, submit_to
from dbt_temporal.testing import node, plan
from tests.integration.run_harness import RunHarness
from tests.integration.servers import SEARCH_ATTRIBUTES, free_port, temporal_dev_server, wait_for

SDK_GIVES_UP_SECS = 12.0
"""Longer than the SDK itself tries to tell of an activity's end."""


@contextmanager
def _server(folder: Path, port: int) -> Iterator[str]:
    with temporal_dev_server(folder / "server.log", port=port, db_file=folder / "temporal.sqlite") as address:
        yield address


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
async def test_a_node_that_ends_while_the_server_is_away_is_not_run_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        with _server(tmp_path, port) as address:
            client = await connect(ConnectionSettings(address=address), patience_secs=30)
            await register_search_attributes(client, SEARCH_ATTRIBUTES)
            runs = RunHarness(client, f"away-{uuid4().hex[:8]}", stack)
            runs.engine.run_plan = plan(node("a"), node("b", "a"))
            gate = runs.engine.gates["model.shop.a"] = asyncio.Event()
            if fails:
                error = DbtTemporalError(ErrorType.ADAPTER, "no such column", retryable=False)
                runs.engine.script["model.shop.a"] = [error]
            run = await runs.submit()
            await runs.has_begun("model.shop.a")
        with caplog.at_level(logging.WARNING):
            gate.set()

            async def not_told() -> bool:
                return "cannot be told of it yet" in caplog.text

            await wait_for(not_told, what="the worker says that it could not tell of the node's end")
            await asyncio.sleep(SDK_GIVES_UP_SECS)
        with _server(tmp_path, port):
            outcome = await asyncio.wait_for(run.outcome(), 120)  # less than the heartbeats' timeout
            await stack.aclose()
    assert outcome.output is not None
    assert outcome.output.success is not fails
    assert runs.engine.executed == (["model.shop.a"] if fails else ["model.shop.a", "model.shop.b"])
    if fails:
        assert "no such column" in str(outcome.message)


async def test_who_follows_a_run_hears_that_the_server_is_away_and_sees_the_run_to_its_end(tmp_path: Path) -> None:
    port, printed = free_port(), io.StringIO()
    console = Console(file=printed, width=80, force_terminal=True, color_system=None)
    async with AsyncExitStack() as stack:
        with _server(tmp_path, port) as address:
            client = await connect(ConnectionSettings(address=address), patience_secs=30)
            await register_search_attributes(client, SEARCH_ATTRIBUTES)
            runs = RunHarness(client, f"watched-{uuid4().hex[:8]}", stack)
            runs.engine.run_plan = plan(node("a"), node("b", "a"))
            gate = runs.engine.gates["model.shop.a"] = asyncio.Event()
            await runs.start_worker()
            submission = Submission(parse_run_input({}), runs.task_queue, wait=True, wait_for_worker_secs=60)
            following = asyncio.create_task(submit_to(runs.gateway, submission, None, console, console))
            await runs.has_begun("model.shop.a")

        async def said(text: str) -> bool:
            assert not following.done(), printed.getvalue()
            return text in printed.getvalue()

        await wait_for(lambda: said("Temporal does not answer since "), what="the outage is told")
        with _server(tmp_path, port):
            await wait_for(lambda: said("Temporal answers again, after "), what="its end is told")
            gate.set()
            exit_code = await asyncio.wait_for(following, 120)
            await stack.aclose()
    assert exit_code == 0
    assert printed.getvalue().splitlines()[-1].startswith("Done. PASS=2 ")
