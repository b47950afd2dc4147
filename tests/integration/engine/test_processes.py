"""Engine processes: shared, isolated, replaced when they die, and gone when their worker is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import (
    REPOSITORY,
    DrivenRun,
    drive,
    new_invocation,
    open_engine,
    opened,
    write_files,
)

pytestmark = pytest.mark.every_dbt_version

PROJECT = {
    "dbt_project.yml": """
name: small
version: "1.0"
profile: small
on-run-start: >
  create table if not exists {{ target.schema }}.starts as select 1 as one;
  insert into {{ target.schema }}.starts values (1)
models:
  +materialized: "{{ env_var('MATERIALIZED', 'table') }}"
""",
    "profiles.yml": """
small:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('SMALL_DB') }}", schema: main, threads: 4}
    prod: {type: duckdb, path: "{{ env_var('SMALL_DB') }}", schema: prod, threads: 4}
""",
    "models/one.sql": 'select \'{{ var("word", "none") }}\' as word, \'{{ env_var("LABEL", "none") }}\' as label,'
    " '{{ target.name }}' as target, '{{ invocation_id }}' as id, '{{ flags.FULL_REFRESH }}' as full_refresh",
    "models/two.sql": "select * from {{ ref('one') }}",
    "models/grows.sql": "{{ config(materialized='incremental') }} select 1 as one",
    "models/slow.sql": "{{ config(materialized='table') }} select count(*) as n from range(100000000) a(i), "
    "range(100000000) b(j) where (a.i * b.j + a.i) % 1000003 = 7",
}


@pytest.fixture
def small(tmp_path: Path) -> ProjectLocation:
    folder = tmp_path / "small"
    write_files(folder, PROJECT)
    return ProjectLocation(folder, folder)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DbtCoreEngine]:
    async with open_engine(
        tmp_path / "cache", environ={**os.environ, "SMALL_DB": str(tmp_path / "w.duckdb")}
    ) as engine:
        yield engine


async def eventually(condition: Callable[[], bool], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


def value(file: Path, query: str) -> Any:
    """One value from a DuckDB file that no host has open."""
    with duckdb.connect(str(file), read_only=True) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def folders(cache: Path, of_what: str) -> list[Path]:
    """What the engine holds on disk while it lives."""
    return list(cache.glob(f"workers/*/{of_what}/*"))


def compiled(run: DrivenRun, unique_id: str) -> str:
    record = json.loads(run.outcomes[unique_id].record)
    return str(record["result"]["compiled_code"])


async def test_runs_at_the_same_time_do_not_influence_each_other(
    engine: DbtCoreEngine, small: ProjectLocation, tmp_path: Path
) -> None:
    settings: list[dict[str, Any]] = [
        {"vars": {"word": "alpha"}},
        {"target": "prod"},
        {"full_refresh": True},
        {"env": {"LABEL": "beta", "MATERIALIZED": "view"}},
    ]
    invocations = []
    for number, setting in enumerate(settings):
        env = {"SMALL_DB": str(tmp_path / f"{number}.duckdb"), **setting.get("env", {})}
        invocations.append(new_invocation(command="run", select="one two", **{**setting, "env": env}))

    runs = await asyncio.gather(*(drive(engine, small, invocation) for invocation in invocations))

    codes = [compiled(run, "model.small.one") for run in runs]
    for code, invocation in zip(codes, invocations, strict=True):
        assert f"'{invocation.invocation_id}' as id" in code
    assert ["'alpha' as word" in code for code in codes] == [True, False, False, False]
    assert ["'prod' as target" in code for code in codes] == [False, True, False, False]
    assert ["'True' as full_refresh" in code for code in codes] == [False, False, True, False]
    assert ["'beta' as label" in code for code in codes] == [False, False, False, True]
    assert runs[3].plan.plan.nodes["model.small.one"].materialization == "view"
    assert runs[0].plan.plan.nodes["model.small.one"].materialization == "table"


async def test_two_runs_on_one_duckdb_file_take_turns(engine: DbtCoreEngine, small: ProjectLocation) -> None:
    invocations = [new_invocation(command="run", select="one two") for _ in range(3)]

    runs = await asyncio.gather(*(drive(engine, small, invocation) for invocation in invocations))

    for run in runs:
        assert set(run.statuses().values()) == {"success"}


async def test_a_duckdb_file_that_somebody_is_about_to_make_is_waited_for(
    engine: DbtCoreEngine, small: ProjectLocation, tmp_path: Path
) -> None:
    file = tmp_path / "w.duckdb"
    file.write_bytes(b"not yet" * 100)
    asyncio.get_running_loop().call_later(1, file.unlink)
    run = await drive(engine, small, new_invocation(command="run", select="one"))
    assert set(run.statuses().values()) == {"success"}
    file.write_bytes(b"never one" * 100)
    os.utime(file, (0, 0))
    with pytest.raises(DbtTemporalError, match="not a valid DuckDB database file"):
        await drive(engine, small, new_invocation(command="run", select="one"))


async def test_nothing_is_written_into_the_project(engine: DbtCoreEngine, small: ProjectLocation) -> None:
    def snapshot() -> dict[str, tuple[int, int]]:
        stats = {str(path): path.stat() for path in small.project_dir.rglob("*")}
        return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}

    before = snapshot()
    for command in ("build", "compile", "list"):
        await drive(engine, small, new_invocation(command=command, exclude="slow"))

    assert snapshot() == before


async def test_callers_at_the_same_time_wait_for_one_load(
    engine: DbtCoreEngine, small: ProjectLocation, tmp_path: Path
) -> None:
    await asyncio.gather(*(engine.load_project(small) for _ in range(5)))

    assert len(folders(tmp_path / "cache", "parents")) == 1


async def test_unused_parents_are_evicted_when_there_are_too_many(tmp_path: Path, small: ProjectLocation) -> None:
    environ = {**os.environ, "SMALL_DB": str(tmp_path / "w.duckdb")}
    async with open_engine(tmp_path / "cache", environ=environ, limits=EngineLimits(max_projects=2)) as engine:
        for word in ("a", "b", "c", "d"):
            invocation = new_invocation(command="list", vars={"word": word})
            await drive(engine, small, invocation)

        await eventually(lambda: len(folders(tmp_path / "cache", "parents")) == 2)


async def test_a_killed_host_is_reported_and_replaced_without_running_on_run_start_again(
    engine: DbtCoreEngine, small: ProjectLocation, tmp_path: Path
) -> None:
    invocation = new_invocation(command="run")
    await opened(engine, small, invocation).plan()
    await opened(engine, small, invocation).before_run(lambda _: None)
    facts: dict[str, Any] = {}
    running = asyncio.ensure_future(opened(engine, small, invocation).execute_node("model.small.slow", facts.update))
    await eventually(lambda: "host_pid" in facts)

    os.kill(facts["host_pid"], signal.SIGKILL)
    with pytest.raises(DbtTemporalError, match="killed by signal 9") as caught:
        await running
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ENGINE_CRASHED, True)

    outcome = await opened(engine, small, invocation).execute_node("model.small.one", facts.update)
    assert outcome.result.status == "success"
    await engine.end_run(invocation.invocation_id)
    # The hook makes the table with one row and adds one: a second time would have added another.
    assert value(tmp_path / "w.duckdb", "select count(*) from starts") == 2


KEEPS_A_THREAD = """
import threading
from dbt.plugins.manager import dbt_hook, dbtPlugin
from dbt.plugins.manifest import PluginNodes

class Threads(dbtPlugin):
    @dbt_hook
    def get_nodes(self):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return PluginNodes()

plugins = [Threads]
"""


@pytest.mark.parametrize("plugin", ["", KEEPS_A_THREAD], ids=["forked", "not forked, as it has threads"])
async def test_a_run_has_ended_only_when_its_host_has_let_the_database_go(
    small: ProjectLocation, tmp_path: Path, plugin: str
) -> None:
    write_files(tmp_path, {"python/dbt_threads.py": plugin or "plugins = []"})
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "python"), "SMALL_DB": str(tmp_path / "w.duckdb")}
    async with open_engine(tmp_path / "cache", environ=environ) as engine:
        invocation = new_invocation(command="run", select="one")
        facts: dict[str, Any] = {}
        await opened(engine, small, invocation).before_run(lambda _: None)
        await opened(engine, small, invocation).execute_node("model.small.one", facts.update)

        os.kill(facts["host_pid"], signal.SIGSTOP)  # a busy machine: it does not come to its end
        ending = asyncio.ensure_future(engine.end_run(invocation.invocation_id))
        done, _ = await asyncio.wait([ending], timeout=0.5)
        os.kill(facts["host_pid"], signal.SIGCONT)
        await ending

        assert not done
        with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
            assert connection.execute("select count(*) from one").fetchone() == (1,)


async def test_an_idle_host_is_ended_and_a_new_one_takes_over(tmp_path: Path, small: ProjectLocation) -> None:
    environ = {**os.environ, "SMALL_DB": str(tmp_path / "w.duckdb")}
    async with open_engine(tmp_path / "cache", environ=environ, limits=EngineLimits(host_idle_secs=0.2)) as engine:
        invocation = new_invocation(command="run")
        pids = []
        for node in ("model.small.one", "model.small.two"):
            facts: dict[str, Any] = {}
            outcome = await opened(engine, small, invocation).execute_node(node, facts.update)
            assert outcome.result.status == "success"
            pids.append(facts["host_pid"])
            await eventually(lambda: not psutil.pid_exists(pids[-1]))
            await eventually(lambda: not folders(tmp_path / "cache", "runs"))

    assert pids[0] != pids[1]


async def test_a_node_cancelled_on_duckdb_ends_alone(engine: DbtCoreEngine, small: ProjectLocation) -> None:
    invocation = new_invocation(command="run")
    facts: dict[str, Any] = {}
    await opened(engine, small, invocation).before_run(lambda _: None)
    slow = asyncio.ensure_future(opened(engine, small, invocation).execute_node("model.small.slow", facts.update))
    await eventually(lambda: "host_pid" in facts)
    sibling = await opened(engine, small, invocation).execute_node("model.small.one", lambda _: None)

    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow

    assert sibling.result.status == "success"
    after: dict[str, Any] = {}
    again = await opened(engine, small, invocation).execute_node("model.small.two", after.update)
    assert again.result.status == "success"
    assert after["host_pid"] == facts["host_pid"]


async def test_a_failed_attempt_can_be_repeated_in_the_same_host(engine: DbtCoreEngine, small: ProjectLocation) -> None:
    write_files(
        small.project_dir,
        {
            "models/inlined.sql": "{{ config(materialized='ephemeral') }} select 1 as one",
            "models/user.sql": "select * from {{ ref('inlined') }} union all select * from {{ ref('missing') }}",
            "models/missing.sql": "select 2 as one",
        },
    )
    invocation = new_invocation(command="run")
    first = await opened(engine, small, invocation).execute_node("model.small.user", lambda _: None)
    await opened(engine, small, invocation).execute_node("model.small.missing", lambda _: None)
    second = await opened(engine, small, invocation).execute_node("model.small.user", lambda _: None)

    assert (first.result.status, second.result.status) == ("error", "success")


async def test_a_ping_is_answered_by_the_process_that_all_others_come_from(
    engine: DbtCoreEngine, small: ProjectLocation
) -> None:
    await engine.ping()  # nothing there yet
    of_others = psutil.Process().children()
    await engine.load_project(small)
    (template,) = (each for each in psutil.Process().children() if each not in of_others)
    await asyncio.wait_for(engine.ping(), 10)
    template.suspend()
    try:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(engine.ping(), 0.5)
    finally:
        template.resume()
    await asyncio.wait_for(engine.ping(), 10)


async def test_no_process_outlives_a_killed_worker(tmp_path: Path, small: ProjectLocation) -> None:
    script = f"""
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.integration.engine_driver import new_invocation, opened
from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation

async def main():
    engine = DbtCoreEngine(Path({str(tmp_path / "cache")!r}))
    location = ProjectLocation(Path({str(small.project_dir)!r}), Path({str(small.project_dir)!r}))
    invocation = new_invocation(command="run")
    await opened(engine, location, invocation).execute_node("model.small.slow", lambda facts: print(facts, flush=True))

asyncio.run(main())
"""
    environ = {**os.environ, "SMALL_DB": str(tmp_path / "w.duckdb")}
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environ, text=True
    ) as worker:
        assert worker.stdout is not None
        assert "host_pid" in await asyncio.to_thread(worker.stdout.readline)
        family = psutil.Process(worker.pid).children(recursive=True)
        assert len(family) == 3  # template, parent, host

        worker.kill()
        await eventually(lambda: not any(still_runs(process) for process in family))


def still_runs(process: psutil.Process) -> bool:
    """Whether a process has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
