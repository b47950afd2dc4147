"""The client of examples/client, installed by npm as its README says, with the types that are generated for it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.programs import ROOT
from tests.integration.run_harness import RunHarness
from tests.integration.workflow.hook_workers import installed_typescript_example

pytestmark = pytest.mark.timeout(1800)  # installing takes its time on a busy machine

A = "model.shop.a"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typescript-client")
    return installed_typescript_example(folder, ROOT / "examples" / "client" / "typescript")


async def started(example: Path, runs: RunHarness, run_input: dict[str, Any]) -> tuple[int | None, list[str]]:
    """Runs the program. Returns its exit code and what it has printed of its own."""
    await runs.start_worker()
    process = await asyncio.create_subprocess_exec(
        "npm",
        "start",
        "--silent",
        "--",
        json.dumps(run_input),
        cwd=example,
        env=os.environ
        | {"TEMPORAL_ADDRESS": runs.client.service_client.config.target_host, "TASK_QUEUE": runs.task_queue},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode().splitlines()


async def test_it_compiles_and_runs_dbt(example: Path, runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"), node("b", "a"))
    code, lines = await started(example, runs, {"command": "build", "select": "a b"})
    assert (code, len(lines)) == (0, 2), lines
    assert lines[0].startswith("started dbt-build-")
    assert lines[1].startswith("succeeded: 2 nodes in ")
    (planned,) = runs.engine.planned
    assert planned.input.select == "a b"


async def test_it_has_the_output_of_a_run_that_failed(example: Path, runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A, "no such column", error_type=ErrorType.COMPILATION)]
    code, lines = await started(example, runs, {"command": "build"})
    assert code == 1, lines
    assert lines[1].startswith("failed: DbtRunFailed: 1 of 1 nodes failed")
    assert lines[2] == f"{A}: no such column"


async def test_it_says_what_is_wrong_with_an_input(example: Path, runs: RunHarness) -> None:
    code, lines = await started(example, runs, {"comand": "build"})
    assert code == 2, lines
    assert lines[1].startswith("failed: Configuration: ")
    assert "comand" in lines[1]
