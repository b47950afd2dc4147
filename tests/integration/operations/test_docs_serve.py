"""dbt's site of a run, served out of the artifact store; against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import pytest

from dbt_temporal.adapters.docs_site.server import serving
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.operators.docs import serve_docs
from dbt_temporal.entrypoints.cli.submit import Target
from tests.integration.engine_driver import copy_project
from tests.integration.operations.test_stored_files import A, Shown, target
from tests.integration.run_harness import DbtHarness, RunHarness
from tests.integration.servers import wait_for

__all__ = ["target"]


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
    return content


async def served(target: Target, workflow_id: str | None, *paths: str) -> tuple[list[bytes], str]:
    """What lies at these paths while the docs of a run are served, and what the terminal shows."""
    shown = Shown()
    serve = asyncio.create_task(serve_docs(target, workflow_id, None, shown, host="127.0.0.1", port=0, opens=False))

    async def has_url() -> bool:
        return serve.done() or "http://" in shown.text

    await wait_for(has_url, what="the site is served")
    if serve.done():
        await serve
    url = re.search(r"http://[\d.:]+", shown.text)
    assert url is not None
    contents = [await asyncio.to_thread(fetched, f"{url[0]}/{path}") for path in paths]
    os.kill(os.getpid(), signal.SIGINT)
    assert await serve == 0
    return contents, shown.text


async def test_the_docs_of_dbt_are_served_with_the_runs_manifest_and_catalog(
    dbt_workers: Callable[[], DbtHarness], temporal_address: str, tmp_path: Path
) -> None:
    runs = dbt_workers()
    await runs.load(copy_project("tests/projects/slow", tmp_path / "project"))
    connection = ConnectionSettings(address=temporal_address, task_queue=runs.task_queue)
    target = Target(connection, TracingSettings(), {}, None)
    run_input = {"command": "docs-generate", "env": {"SLOW_DB": str(tmp_path / "warehouse.duckdb")}}
    output = (await runs.run(run_input)).output
    assert output is not None

    async def is_found() -> bool:
        try:
            (page, manifest, catalog), text = await served(target, None, "", "manifest.json", "catalog.json")
        except DbtTemporalError:  # visibility comes a moment later
            return False
        assert b'ng-app="dbt"' in page
        assert manifest == runs.artifact(output, "manifest.json").read_bytes()
        assert catalog == runs.artifact(output, "catalog.json").read_bytes()
        assert "The docs of" in text
        return True

    await wait_for(is_found, what="the newest run with docs is served")


async def test_a_run_without_docs_is_served_with_dbts_page_and_an_empty_catalog(
    runs: RunHarness, target: Target
) -> None:
    run = await runs.submit()
    await run.outcome()
    (page, manifest, catalog), text = await served(target, run.workflow_id, "", "manifest.json", "catalog.json")
    assert b'ng-app="dbt"' in page
    assert json.loads(manifest) == [A, "model.shop.b"]
    assert json.loads(catalog)["nodes"] == {}
    assert "has no catalog" in text


async def test_what_the_site_has_not_is_not_found(runs: RunHarness, target: Target) -> None:
    run = await runs.submit()
    await run.outcome()
    for path in (f"logs/{A}.log", "run_results.json", "../newest/shop"):
        with pytest.raises(HTTPError, match="404"):
            await served(target, run.workflow_id, path)


async def test_a_run_that_has_not_ended_has_no_docs_yet(runs: RunHarness, target: Target) -> None:
    runs.engine.gates[A] = asyncio.Event()
    run = await runs.submit()
    await runs.has_begun(A)
    with pytest.raises(DbtTemporalError, match=r"there is no manifest of .*: it is stored when the run ends"):
        await served(target, run.workflow_id)


def test_what_no_header_takes_is_not_found_either(capfd: pytest.CaptureFixture[str]) -> None:
    with serving({}, "127.0.0.1", 0) as url, pytest.raises(HTTPError, match="404"):
        fetched(f"{url}/%E2%98%83%0D%0AX")
    assert capfd.readouterr().err == ""


def test_the_site_can_be_served_by_ipv6_too() -> None:
    with serving({"index.html": b"here"}, "::1", 0) as url:
        assert url.startswith("http://[::1]:")
        assert fetched(f"{url}/index.html")


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(DbtTemporalError, match=f"cannot listen at 127.0.0.1:{port}"),
            serving({}, "127.0.0.1", port),
        ):
            pass
