"""What an engine survives: models that end their interpreter, projects that cannot be forked, parents that die."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_core.hosts import handle
from dbt_temporal.adapters.dbt_core.hosts.outcomes import Outcomes
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine.test_processes import engine, eventually, folders, small
from tests.integration.engine_driver import drive, new_invocation, open_engine, opened, write_files

__all__ = ["engine", "small"]

pytestmark = pytest.mark.every_dbt_version


async def test_a_python_model_that_ends_its_interpreter_has_failed_and_its_host_goes_on(
    engine: DbtCoreEngine, small: ProjectLocation
) -> None:
    write_files(small.project_dir, {"models/ends.py": "def model(dbt, session):\n    exit(3)\n    return 1\n"})
    invocation = new_invocation(command="run")
    pids = []
    for node, status in (("ends", "error"), ("one", "success")):
        facts: dict[str, Any] = {}
        outcome = await opened(engine, small, invocation).execute_node(f"model.small.{node}", facts.update)
        assert outcome.result.status == status
        pids.append(facts["host_pid"])
    assert pids[0] == pids[1]


async def test_a_project_whose_process_has_threads_is_not_forked_but_loaded_by_each_host(
    tmp_path: Path, small: ProjectLocation
) -> None:
    # dbt imports every module of this name as a plugin, in the process that loads the project.
    plugin = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    write_files(tmp_path / "plugins", {"dbt_with_a_thread.py": plugin})
    environ = {**os.environ, "SMALL_DB": str(tmp_path / "w.duckdb"), "PYTHONPATH": str(tmp_path / "plugins")}
    async with open_engine(tmp_path / "cache", environ=environ) as engine:
        await engine.load_project(small)
        run = await drive(engine, small, new_invocation(command="run", select="one two"))
        assert set(run.statuses().values()) == {"success"}
        facts: dict[str, Any] = {}
        invocation = new_invocation(command="run")
        running = asyncio.ensure_future(
            opened(engine, small, invocation).execute_node("model.small.slow", facts.update)
        )
        await eventually(lambda: "host_pid" in facts)
        host = psutil.Process(facts["host_pid"])
        template = host.parent()
        assert template is not None
        assert template.ppid() == os.getpid()  # no parent of a project between them
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await engine.end_run(invocation.invocation_id)
        await eventually(lambda: not host.is_running())
        await eventually(lambda: len(folders(tmp_path / "cache", "parents")) == 1)


async def test_a_killed_parent_is_replaced_and_its_folder_removed(
    engine: DbtCoreEngine, small: ProjectLocation, tmp_path: Path
) -> None:
    before = psutil.Process().children()
    await engine.load_project(small)
    (template,) = (each for each in psutil.Process().children() if each not in before)
    (parent,) = template.children()
    (folder,) = folders(tmp_path / "cache", "parents")
    parent.kill()
    with contextlib.suppress(DbtTemporalError):  # where the worker has not heard of its end yet
        await opened(engine, small, new_invocation(command="list")).plan()
    await opened(engine, small, new_invocation(command="list")).plan()
    await eventually(lambda: len(folders(tmp_path / "cache", "parents")) == 1)
    assert not folder.exists()


@asynccontextmanager
async def two_workers(folder: Path) -> AsyncIterator[tuple[DbtCoreEngine, DbtCoreEngine]]:
    """The engines of two workers that share a cache folder, and a database."""
    environ = {**os.environ, "SMALL_DB": str(folder / "w.duckdb")}
    async with (
        open_engine(folder / "cache", environ=environ) as first,
        open_engine(folder / "cache", environ=environ) as second,
    ):
        yield first, second


async def test_another_worker_of_the_machine_knows_how_an_attempt_ended(tmp_path: Path, small: ProjectLocation) -> None:
    invocation = new_invocation(command="run")
    async with two_workers(tmp_path) as (first, second):
        await first.load_project(small)
        known = opened(second, small, invocation)
        ended = await opened(first, small, invocation).execute_node("model.small.one", lambda _: None, attempt=3)
        assert await known.outcome_of("model.small.one", 3) == ended
        assert await known.outcome_of("model.small.one", 2) is None
        assert await known.outcome_of("model.small.two", 3) is None
        await second.end_run(invocation.invocation_id)
        assert await known.outcome_of("model.small.one", 3) is None


async def test_another_worker_of_the_machine_knows_how_project_hooks_ended(
    tmp_path: Path, small: ProjectLocation
) -> None:
    project = small.project_dir / "dbt_project.yml"
    project.write_text(project.read_text() + "\non-run-start: [select 1]\non-run-end: [select 2, select nothing]\n")
    invocation = new_invocation(command="run")
    async with two_workers(tmp_path) as (first, second):
        await first.load_project(small)
        run, known = opened(first, small, invocation), opened(second, small, invocation)
        prepared = await run.before_run(lambda _: None, 2)
        assert [hook.result.status for hook in prepared.hooks] == ["success"]
        assert await known.outcome_of_before_run(2) == prepared
        ended = await run.after_run([], lambda _: None, 3)
        assert [hook.result.status for hook in ended] == ["success", "error"]
        assert await known.outcome_of_after_run(3) == ended
        assert await known.outcome_of_before_run(1) is None
        assert await known.outcome_of_after_run(2) is None


async def test_an_attempt_that_begins_has_not_the_outcome_of_one_with_its_number_before_a_reset(
    engine: DbtCoreEngine, small: ProjectLocation, tmp_path: Path
) -> None:
    invocation = new_invocation(command="run")
    run = opened(engine, small, invocation)
    place = Outcomes(tmp_path / "cache" / "outcomes").place(invocation.invocation_id, "model.small.slow", 1)
    place.parent.mkdir(parents=True)
    place.write_text("of the attempt before")
    facts: dict[str, Any] = {}
    running = asyncio.ensure_future(run.execute_node("model.small.slow", facts.update))
    await eventually(lambda: "host_pid" in facts)
    assert not place.exists()
    running.cancel()
    await asyncio.wait([running])


async def test_an_attempt_that_was_given_up_but_still_runs_here_is_ended_and_has_no_outcome(
    engine: DbtCoreEngine, small: ProjectLocation
) -> None:
    invocation = new_invocation(command="run")
    facts: dict[str, Any] = {}
    run = opened(engine, small, invocation)
    running = asyncio.ensure_future(run.execute_node("model.small.slow", facts.update))
    await eventually(lambda: "host_pid" in facts)
    assert await run.outcome_of("model.small.slow", 1) is None
    await asyncio.wait([running], timeout=30)
    assert running.done()
    with contextlib.suppress(DbtTemporalError):
        assert running.result().result.status == "error"


async def test_a_host_whose_worker_is_silent_ends_what_runs_and_itself(
    engine: DbtCoreEngine, small: ProjectLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "TELL_EVERY_SECS", 3600.0)
    monkeypatch.setattr(handle, "TOLD_PER_SILENCE", 0.001)
    invocation = new_invocation(command="run").model_copy(update={"silence_secs": 2.0})
    facts: dict[str, Any] = {}
    with pytest.raises(DbtTemporalError) as raised:
        await opened(engine, small, invocation).execute_node("model.small.slow", facts.update)
    assert raised.value.error_type is ErrorType.ENGINE_CRASHED
    assert not psutil.pid_exists(facts["host_pid"])
    assert await opened(engine, small, invocation).outcome_of("model.small.slow", 1) is None


async def test_a_host_whose_worker_is_there_may_take_longer_than_it_would_go_on_without(
    engine: DbtCoreEngine, small: ProjectLocation
) -> None:
    invocation = new_invocation(command="run").model_copy(update={"silence_secs": 1.5})
    facts: dict[str, Any] = {}
    running = asyncio.ensure_future(opened(engine, small, invocation).execute_node("model.small.slow", facts.update))
    await eventually(lambda: "host_pid" in facts)
    done, _ = await asyncio.wait([running], timeout=4.5)
    assert not done
    assert psutil.pid_exists(facts["host_pid"])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
