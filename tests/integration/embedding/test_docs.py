"""The programs of docs/embedding.md run as they stand there, against a worker of the example."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbt_temporal import DbtRunOutput, run_dbt
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing import FakeEngine, node, plan
from tests.integration.programs import EXAMPLE, PATIENCE_SECS, ROOT, Desk, started
from tests.integration.run_harness import RunHarness
from tests.integration.servers import temporal_binary, temporal_dev_server
from tests.unit.repository.doc_pages import Page

PAGE = Page("docs/embedding.md")
A = "model.shop.a"


def program(title: str) -> str:
    (text,) = PAGE.blocks("python", title)
    return text


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Databases and a cache for the programs that run dbt in their own process."""
    desk = Desk(tmp_path_factory.mktemp("own"))
    desk.env["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    return desk


@pytest.fixture(scope="module")
def with_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The environment of programs that find a worker of the example on the default task queue."""
    desk = Desk(tmp_path_factory.mktemp("served"))
    with temporal_dev_server(desk.folder / "server.log", options=["--namespace", "analytics"]) as address:
        desk.env |= {
            "TEMPORAL_ADDRESS": address,
            "DBT_PROJECT_DIRS": str(EXAMPLE),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "TEMPORAL_NEXUS": "true",
        }
        with started(desk, "worker") as worker:
            worker.says("Working on task queue 'dbt-tasks'")
            yield desk


def said_by(title: str, desk: Desk) -> list[str]:
    """What a program of the page prints, line by line."""
    # A file, as the SDK's sandbox reads the module of a workflow again.
    file = desk.folder / "program.py"
    file.write_text(program(title))
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=ROOT,
        env=desk.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_program_of_the_page_is_run_here() -> None:
    titles = {title for language, title in PAGE.kinds if language == "python"}
    assert titles == {"names", "client", "workflow", "another namespace", "in process", "in process, with hooks"}


def test_the_names_at_its_beginning_are_there(desk: Desk) -> None:
    assert said_by("names", desk) == []
    assert callable(run_dbt)
    assert DbtRunOutput.__doc__


def test_the_client_follows_a_run_to_its_success(with_worker: Desk) -> None:
    first, *rest, last = said_by("client", with_worker)
    assert first.startswith("started dbt-build-default-")
    assert last.startswith("succeeded: ")
    assert any(line.startswith("executing: ") for line in rest)
    assert any("fct_orders" in line for line in rest)


async def test_the_client_says_which_nodes_have_failed(runs: RunHarness) -> None:
    runs.engine.run_plan = plan(node("a"))
    runs.engine.script[A] = [FakeEngine.fails(A, "no such column", error_type=ErrorType.COMPILATION)]
    await runs.start_worker()
    environment = {
        "TEMPORAL_ADDRESS": runs.client.service_client.config.target_host,
        "TEMPORAL_TASK_QUEUE": runs.task_queue,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program("client"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    *_, failure, failed = output.decode().splitlines()
    assert failure.startswith("failed: DbtRunFailed 1 of 1 nodes failed")
    assert failed == f"{A} no such column"


def test_the_workflow_runs_dbt_between_its_own_activities(with_worker: Desk) -> None:
    assert said_by("workflow", with_worker) == ["refreshed what shows 10 models"]


def test_a_workflow_runs_dbt_from_another_namespace(with_worker: Desk) -> None:
    (command,) = PAGE.blocks("bash", "endpoint")
    path = f"{temporal_binary().parent}{os.pathsep}{with_worker.env['PATH']}"
    subprocess.run(["bash", "-ec", command], env={**with_worker.env, "PATH": path}, check=True, timeout=PATIENCE_SECS)
    assert said_by("another namespace", with_worker) == ["['model.jaffle_shop.stg_orders']"]


def test_one_call_runs_dbt_in_the_program_s_own_process(desk: Desk) -> None:
    (line,) = said_by("in process", desk)
    assert line.startswith("success ")


def test_several_runs_and_hooks_share_a_project_in_process(desk: Desk) -> None:
    lines = said_by("in process, with hooks", desk)
    seeded = lines.index("seeded 5")
    assert any("raw_orders" in line for line in lines[:seeded])
    assert lines[seeded + 1] == "both True"
    assert lines[seeded + 2].startswith("skipped: nothing new for ")


def test_a_program_without_a_server_is_told_where_none_is(tmp_path: Path) -> None:
    environment = {"TEMPORAL_ADDRESS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", program("client")], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "cannot connect to Temporal at 127.0.0.1:1" in done.stderr
