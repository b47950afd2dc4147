"""DuckDB databases in memory: one host has the run's, and no other ever runs a statement of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.application.ports.engine import CompletedNode, Prepared, ProjectLocation, no_progress
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.engine.test_processes import eventually
from tests.integration.engine_driver import drive, new_invocation, open_engine, opened, write_files
from tests.integration.run_harness import FAST_RETRIES, DbtHarness

pytestmark = pytest.mark.every_dbt_version

PROJECT = {
    "dbt_project.yml": "name: small\nversion: '1.0'\nprofile: shop\nmodels: {+materialized: table}\n",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, threads: 2}}}\n",
    "models/one.sql": "select 1 as one",
    "models/two.sql": "select one + 1 as two from {{ ref('one') }}",
    "models/three.sql": "select two + 1 as three from {{ ref('two') }}",
}
REMEDY = "or give the target a database that all processes reach: a file (`path`), MotherDuck (`md:`) or DuckLake"
GONE = "the process that held it has ended, and what the run had built has gone with it"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DbtCoreEngine]:
    async with open_engine(tmp_path / "cache") as engine:
        yield engine


def project(tmp_path: Path, **files: str) -> ProjectLocation:
    write_files(tmp_path / "small", {**PROJECT, **files})
    return ProjectLocation(tmp_path / "small", tmp_path / "small")


def with_output(fields: str) -> dict[str, str]:
    """A profile whose target has further fields."""
    return {"profiles.yml": f"shop: {{target: dev, outputs: {{dev: {{type: duckdb, threads: 2, {fields}}}}}}}\n"}


def keeping(invocation: DbtInvocation, prepared: Prepared) -> DbtInvocation:
    """The invocation as the run's further steps carry it."""
    return invocation.model_copy(update={"database": prepared.database})


async def begin(engine: DbtCoreEngine, location: ProjectLocation) -> DbtInvocation:
    """Begins a run; the invocation says where its database is."""
    invocation = new_invocation(command="run")
    return keeping(invocation, await opened(engine, location, invocation).before_run(no_progress))


async def host_of_one(engine: DbtCoreEngine, location: ProjectLocation, invocation: DbtInvocation) -> int:
    """Runs the model `one`. Returns the process that has run it."""
    facts: dict[str, Any] = {}
    outcome = await opened(engine, location, invocation).execute_node("model.small.one", facts.update)
    assert outcome.result.status == "success"
    return int(facts["host_pid"])


async def test_a_run_on_one_host_has_what_it_built_and_writes_files_from_it(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    parquet = tmp_path / "three.parquet"
    location = project(
        tmp_path,
        **{
            "seeds/words.csv": "word\nhello\n",
            "models/outside.sql": f"{{{{ config(materialized='external', location='{parquet}') }}}} "
            "select three, word from {{ ref('three') }}, {{ ref('words') }}",
            "models/after.sql": "select * from {{ ref('outside') }}",
        },
    )
    run = await drive(engine, location, new_invocation(command="build"), with_catalog=True)
    assert set(run.statuses().values()) == {"success"}
    with duckdb.connect() as connection:
        assert connection.execute(f"select * from '{parquet}'").fetchall() == [(3, "hello")]
    assert "model.small.after" in json.loads(run.artifacts["catalog.json"])["nodes"]


@pytest.mark.parametrize(
    ("fields", "in_memory"),
    [
        ("path: ':memory:'", True),
        ("schema: main", True),
        ("path: '{file}', attach: [{{path: ':memory:', alias: other}}]", True),
        ("attach: [{{path: '{file}', alias: other}}]", True),
        ("path: '{file}'", False),
        ("path: '{file}', attach: [{{path: '{file}.2', alias: other}}]", False),
    ],
)
async def test_a_run_keeps_to_its_host_where_any_of_its_databases_is_in_memory(
    engine: DbtCoreEngine, tmp_path: Path, fields: str, in_memory: bool
) -> None:
    location = project(tmp_path, **with_output(fields.format(file=tmp_path / "warehouse.duckdb")))
    invocation = await begin(engine, location)
    assert (invocation.database is not None) is in_memory
    await engine.end_run(invocation.invocation_id)
    run = await drive(engine, location, new_invocation(command="run"))
    assert set(run.statuses().values()) == {"success"}


async def test_a_killed_host_fails_the_rest_of_its_run_with_profile_target_and_remedy(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    location = project(tmp_path)
    invocation = await begin(engine, location)
    await host_of_one(engine, location, invocation)
    (host,) = engine._hosts._hosts.values()
    host.process.kill()
    await eventually(lambda: not host.alive)
    for step in (
        opened(engine, location, invocation).execute_node("model.small.two", no_progress),
        opened(engine, location, invocation).after_run([], no_progress),
    ):
        with pytest.raises(DbtTemporalError) as caught:
            await step
        assert caught.value.error_type == ErrorType.CONFIGURATION
        assert not caught.value.retryable
        assert caught.value.message.startswith("profile 'shop', target 'dev': DuckDB's database is in memory")
        assert GONE in caught.value.message
        assert caught.value.message.endswith(REMEDY)


async def test_another_worker_runs_nothing_of_a_run_and_says_whose_it_is(engine: DbtCoreEngine, tmp_path: Path) -> None:
    location = project(tmp_path)
    invocation = await begin(engine, location)
    assert invocation.database is not None
    elsewhere = invocation.database.model_copy(update={"worker": "worker-7 (process 1)", "process": "another"})
    with pytest.raises(
        DbtTemporalError, match=r"the worker worker-7 \(process 1\) holds it or held it, and the worker"
    ):
        await host_of_one(engine, location, invocation.model_copy(update={"database": elsewhere}))
    await host_of_one(engine, location, invocation)


async def test_a_host_without_the_database_makes_the_artifacts_from_records_alone(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    looks = "{{ config(materialized='ephemeral') }} select {{ run_query('select count(*) from main.one')[0][0] }} as n"
    location = project(
        tmp_path, **{"models/looks.sql": looks.replace("{{ run", "{% if execute %}{{ run") + "{% endif %}"}
    )
    invocation = await begin(engine, location)
    outcome = await opened(engine, location, invocation).execute_node("model.small.one", no_progress)
    completed = [CompletedNode(outcome.result, outcome.record)]
    async with open_engine(tmp_path / "other cache") as other:
        files = await opened(other, location, invocation).artifacts(completed, 1.0, with_catalog=True)
        manifest = json.loads(await asyncio.to_thread(files["manifest.json"].read_text))
    assert sorted(files) == ["manifest.json", "run_results.json", "semantic_manifest.json"]
    assert manifest["nodes"]["model.small.one"]["compiled"]
    assert "compiled" not in manifest["nodes"]["model.small.looks"]


async def test_of_two_hosts_that_began_a_run_only_the_one_that_the_run_heard_of_goes_on(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    # An attempt at before_run that was lost has left a database on a worker that lives on.
    location = project(tmp_path)
    async with open_engine(tmp_path / "other cache") as other:
        first = new_invocation(command="run")
        await opened(other, location, first).before_run(no_progress)
        second = keeping(first, await opened(engine, location, first).before_run(no_progress))
        with pytest.raises(DbtTemporalError, match=GONE):
            await host_of_one(other, location, second)
        await host_of_one(engine, location, second)


async def test_a_host_with_a_database_is_not_ended_for_being_idle_large_or_in_the_way(tmp_path: Path) -> None:
    location = project(tmp_path)
    environ = {"DBT_TEMPORAL_HOST_IDLE_SECS": "0.1", "DBT_TEMPORAL_HOST_MEMORY_MB": "1", "DBT_TEMPORAL_MAX_HOSTS": "2"}
    async with open_engine(tmp_path / "cache", limits=read_settings(environ).engine) as engine:
        invocation = await begin(engine, location)
        first = await host_of_one(engine, location, invocation)
        for _ in range(2):  # each ends the one before it, which waits for its first statement
            await opened(engine, location, new_invocation(command="run")).plan()
        await eventually(lambda: len(engine._hosts._hosts) == 1)  # the last one was ended for being idle
        assert await host_of_one(engine, location, invocation) == first
        await engine.end_run(invocation.invocation_id)
        assert not engine._hosts._hosts


def stored_statuses(run_results: str | None) -> dict[str, str]:
    """dbt's words by node."""
    assert run_results is not None
    return {each["unique_id"]: each["status"] for each in json.loads(Path(run_results).read_text())["results"]}


async def test_a_host_whose_run_may_have_been_terminated_makes_way_after_a_while(tmp_path: Path) -> None:
    location = project(tmp_path)
    environ = {"DBT_TEMPORAL_HOST_IDLE_SECS": "0.5", "DBT_TEMPORAL_MAX_HOSTS": "1"}
    async with open_engine(tmp_path / "cache", limits=read_settings(environ).engine) as engine:
        invocation = await begin(engine, location)
        await asyncio.wait_for(opened(engine, location, new_invocation(command="run")).plan(), 60)
        with pytest.raises(DbtTemporalError, match=GONE):
            await host_of_one(engine, location, invocation)


class TestWholeRuns:
    """Through a server."""

    @pytest.fixture
    async def runs(self, dbt_workers: Callable[[], DbtHarness]) -> DbtHarness:
        return dbt_workers()

    async def test_a_run_whose_host_dies_is_not_green_and_stores_what_became_of_it(
        self, runs: DbtHarness, tmp_path: Path
    ) -> None:
        # The second attempt would succeed, and on-run-end would copy a table that is not there, or an empty one.
        dies = f"""
import os, pathlib
def model(dbt, session):
    marker = pathlib.Path({str(tmp_path / "marker")!r})
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), 9)
    return session.sql("select 1 as one")
"""
        files = {"models/dies.py": dies, "models/below.sql": "select * from {{ ref('dies') }}"}
        await runs.load(project(tmp_path, **files))
        outcome = await runs.run({"command": "run"})
        assert outcome.output is not None
        assert not outcome.output.success
        results = {result.unique_id.rpartition(".")[2]: result for result in outcome.output.node_results}
        assert results["dies"].status == "error"
        assert results["dies"].attempts == 2
        assert GONE in (results["dies"].message or "")
        assert results["below"].status == "skipped"
        assert outcome.output.artifacts is not None
        stored = await asyncio.to_thread(stored_statuses, outcome.output.artifacts.run_results_path)
        assert stored["model.small.dies"] == "error"

    async def test_a_run_of_two_workers_is_done_by_the_one_that_holds_its_database(
        self, runs: DbtHarness, temporal_address: str, tmp_path: Path
    ) -> None:
        location = project(tmp_path, **{f"models/more_{number}.sql": "select 1" for number in range(4)})
        await runs.load(location)
        async with open_engine(tmp_path / "cache") as engine, AsyncExitStack() as stack:
            client = await connect(ConnectionSettings(address=temporal_address))
            other = DbtHarness(client, runs.task_queue, stack, engine, runs.folder)
            other.config = {"retry": FAST_RETRIES}
            await other.load(location)
            await other.start_worker()
            run = await runs.submit({"command": "run"})
            outcome = await run.outcome()
        assert outcome.output is not None
        assert {result.status for result in outcome.output.node_results} == {"success"}
        assert len(outcome.output.node_results) == 7
        log = await run.handle.query("run_log")
        assert any("profile 'shop', target 'dev' is a database in its memory" in line for line in log)
