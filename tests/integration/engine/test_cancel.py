"""Whatever a cancelled step of a run is doing ends, in the database too, and its host and its siblings go on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import NodeOutcome, ProjectLocation
from dbt_temporal.domain.batches import BatchPart
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine.test_postgres import PROJECT, SLEEPERS
from tests.integration.engine_driver import new_invocation, open_engine, opened, write_files
from tests.integration.postgres import PostgresDatabase, postgres_env
from tests.integration.servers import wait_for

pytestmark = pytest.mark.every_dbt_version

SLEEP = "select 1 from pg_sleep(600)"
MODELS = {
    "models/asks.sql": "{{ config(materialized='ephemeral') }}\n"
    f"{{% if execute %}}{{% do run_query('{SLEEP}') %}}{{% endif %}} select 1 as one",
    "models/first.sql": "{{ config(materialized='table') }} select * from {{ ref('asks') }}",
    "models/second.sql": "{{ config(materialized='table') }} select * from {{ ref('asks') }}",
}
Step = Callable[[Callable[[Any], None]], Awaitable[Any]]


class Project:
    """A project on the test's database, and one run of it."""

    def __init__(self, engine: DbtCoreEngine, folder: Path, database: PostgresDatabase) -> None:
        write_files(folder, {**PROJECT, **MODELS})
        self.engine = engine
        self.database = database
        self.location = ProjectLocation(folder, folder)
        self.env = postgres_env(database, "PG")
        self.invocation = new_invocation(command="run", env=self.env)

    def sleepers(self) -> int:
        """How many statements sleep."""
        return int(str(self.database.query(SLEEPERS)[0][0]))

    async def until_sleeping(self, count: int) -> None:
        """Waits for that many."""

        async def there() -> bool:
            return await asyncio.to_thread(self.sleepers) == count

        await wait_for(there, what=f"{count} statements sleep")

    def node(self, name: str) -> Step:
        """A node's execution."""
        return lambda heard: opened(self.engine, self.location, self.invocation).execute_node(f"model.pg.{name}", heard)

    def hooks(self, name: str) -> Step:
        """A step of project hooks."""
        if name == "on-run-start":
            return lambda heard: opened(self.engine, self.location, self.invocation).before_run(heard)
        return lambda heard: opened(self.engine, self.location, self.invocation).after_run([], heard)


@pytest.fixture
async def project(dbt_engine: DbtCoreEngine, tmp_path: Path, postgres: PostgresDatabase) -> AsyncIterator[Project]:
    project = Project(dbt_engine, tmp_path / "pg", postgres)
    yield project
    await dbt_engine.end_run(project.invocation.invocation_id)


@pytest.fixture(params=["on-run-start", "on-run-end"])
def hooks(request: pytest.FixtureRequest, project: Project) -> Step:
    text = f"{PROJECT['dbt_project.yml']}{request.param}: {SLEEP}\n"
    write_files(project.location.project_dir, {"dbt_project.yml": text})
    return project.hooks(request.param)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def begun(project: Project, step: Step, sleeping: int = 1) -> tuple[asyncio.Task[Any], dict[str, Any]]:
    facts: dict[str, Any] = {}
    task = asyncio.ensure_future(step(facts.update))
    await project.until_sleeping(sleeping)
    return task, facts


async def expect_host(project: Project, pid: int) -> None:
    """A further node runs, and in the same host."""
    facts: dict[str, Any] = {}
    outcome: NodeOutcome = await project.node("base")(facts.update)
    assert (outcome.result.status, facts["host_pid"]) == ("success", pid)


async def test_a_query_of_an_inlined_ephemeral_model_ends_with_the_node_that_inlines_it(project: Project) -> None:
    task, facts = await begun(project, project.node("first"))
    await cancelled(task)
    assert project.sleepers() == 0
    await expect_host(project, facts["host_pid"])


async def test_a_node_that_waits_for_another_to_compile_its_ephemeral_model_ends_alone(project: Project) -> None:
    compiling, facts = await begun(project, project.node("first"))
    heard: dict[str, Any] = {}
    waiting = asyncio.ensure_future(project.node("second")(heard.update))
    await wait_for(lambda: _has(heard, "host_pid"), within=60)
    await cancelled(waiting)
    assert project.sleepers() == 1
    await cancelled(compiling)
    await expect_host(project, facts["host_pid"])


async def test_a_node_that_does_not_end_is_ended_with_its_host_and_with_all_that_the_host_has_in_the_database(
    project: Project, tmp_path: Path
) -> None:
    loops = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %} select 1 as one"
    stuck = "{% if execute %}{% do run_query('select pg_advisory_lock(1)') %}" + loops + "{% endif %}"
    write_files(project.location.project_dir, {"models/stuck.sql": stuck})

    async def loops_now() -> bool:
        return bool(project.database.query("select 1 from pg_locks where locktype = 'advisory'"))

    async with open_engine(tmp_path / "cache", cancel_secs=0.5) as project.engine:
        sleeping, facts = await begun(project, project.node("sleeps"))
        node = asyncio.ensure_future(project.node("stuck")(lambda _: None))
        await wait_for(loops_now, within=60)
        await cancelled(node)
        with pytest.raises(DbtTemporalError, match="killed by signal 9"):
            await sleeping
        assert project.sleepers() == 0
        assert not psutil.pid_exists(facts["host_pid"])


async def test_project_hooks_that_are_cancelled_end_in_the_database(project: Project, hooks: Step) -> None:
    task, facts = await begun(project, hooks)
    await cancelled(task)
    assert project.sleepers() == 0
    await expect_host(project, facts["host_pid"])


async def test_the_statement_of_project_hooks_whose_host_dies_has_ended_when_that_is_told(
    project: Project, hooks: Step
) -> None:
    task, facts = await begun(project, hooks)
    os.kill(facts["host_pid"], signal.SIGKILL)
    with pytest.raises(DbtTemporalError) as caught:
        await task
    assert caught.value.error_type is ErrorType.ENGINE_CRASHED
    assert project.sleepers() == 0


async def test_no_node_of_a_host_that_dies_is_told_before_all_of_its_statements_have_ended(
    project: Project,
) -> None:
    names = ["sleeps_1", "sleeps_2", "sleeps_3"]
    write_files(project.location.project_dir, {f"models/{name}.sql": PROJECT["models/sleeps.sql"] for name in names})
    facts: dict[str, Any] = {}
    left: list[int] = []

    async def attempt(name: str) -> None:
        with pytest.raises(DbtTemporalError):
            await project.node(name)(facts.update)
        left.append(project.sleepers())

    attempts = asyncio.gather(*(attempt(name) for name in names))
    await project.until_sleeping(len(names))
    os.kill(facts["host_pid"], signal.SIGKILL)
    await attempts
    assert left == [0, 0, 0]


DUCKDB = {
    "dbt_project.yml": "name: pg\nversion: '1.0'\nprofile: pg\n",
    "profiles.yml": """
pg:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('LOCKED_DB') }}", schema: main, threads: 4}
""",
    "models/one.sql": "select 1 as one",
    "models/two.sql": "select 2 as two",
    "models/batches.sql": """
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', batch_size='day',
          begin='2024-01-01', concurrent_batches=true) }}
{% if not execute or model.batch.event_time_start.day == 1 %}
select timestamp '2024-01-01' as at, 1 as n
{% else %}
{% do run_query("copy (select 1) to '" ~ env_var('MARKS') ~ "/" ~ model.batch.id ~ ".csv'") %}
select timestamp '2024-01-01' as at, count(*) as n
from range(100000000) a(i), range(100000000) b(j) where (a.i * b.j + a.i) % 1000003 = 7
{% endif %}
""",
}


class DuckDbProject:
    """A project on a DuckDB file, and one run of it."""

    def __init__(self, engine: DbtCoreEngine, folder: Path) -> None:
        write_files(folder / "project", DUCKDB)
        self.engine = engine
        self.file = folder / "w.duckdb"
        self.marks = folder / "marks"
        self.marks.mkdir()
        self.location = ProjectLocation(folder / "project", folder / "project")
        window = {"event_time_start": "2024-01-01", "event_time_end": "2024-01-06"}
        env = {"LOCKED_DB": str(self.file), "MARKS": str(self.marks)}
        self.invocation = new_invocation(command="run", env=env, **window)
        self.hosts: list[int] = []
        self.phases: set[str] = set()

    def execute(self, name: str, part: BatchPart | None = None) -> asyncio.Task[NodeOutcome]:
        """Begins a node, or a part of it."""

        def hear(facts: Mapping[str, Any]) -> None:
            if "phase" in facts:
                self.phases.add(facts["phase"])
            else:
                self.hosts.append(facts["host_pid"])

        return asyncio.ensure_future(
            opened(self.engine, self.location, self.invocation).execute_node(f"model.pg.{name}", hear, (), part)
        )


@pytest.fixture
async def on_duckdb(dbt_engine: DbtCoreEngine, tmp_path: Path) -> AsyncIterator[DuckDbProject]:
    project = DuckDbProject(dbt_engine, tmp_path)
    yield project
    await dbt_engine.end_run(project.invocation.invocation_id)


async def test_nodes_that_wait_for_a_duckdb_file_of_another_process_end_when_they_are_cancelled(
    on_duckdb: DuckDbProject,
) -> None:
    async def both_wait() -> bool:
        return len(on_duckdb.hosts) == 2 and "waiting for the database file" in on_duckdb.phases

    with closing(duckdb.connect(str(on_duckdb.file))):
        waiting = [on_duckdb.execute("one"), on_duckdb.execute("two")]
        await wait_for(both_wait, within=60)
        for task in reversed(waiting):  # the second one waits for the end of the first one's wait
            await cancelled(task)
    assert (await on_duckdb.execute("one")).result.status == "success"
    assert len(set(on_duckdb.hosts)) == 1


async def test_batches_that_run_at_once_all_end_with_their_model(on_duckdb: DuckDbProject) -> None:
    async def three_run() -> bool:
        return len(list(on_duckdb.marks.iterdir())) == 3

    begun = (await on_duckdb.execute("batches", BatchPart(stage="begin"))).result
    assert begun.batches is not None
    first = begun.batches.step(0, relation_exists=False)
    assert (await on_duckdb.execute("batches", first)).result.status == "success"
    further = [begun.batches.step(index, relation_exists=True) for index in (1, 2, 3)]
    tasks = [on_duckdb.execute("batches", part) for part in further]
    await wait_for(three_run, within=60)
    for task in tasks:
        await cancelled(task)
    assert (await on_duckdb.execute("one")).result.status == "success"
    assert len(set(on_duckdb.hosts)) == 1


async def _has(facts: dict[str, Any], key: str) -> bool:
    return key in facts
