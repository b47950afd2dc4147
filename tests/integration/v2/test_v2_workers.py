"""Workers with dbt v2: lost ones, and those that have both engines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import zipfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import providers
from temporalio.client import Client

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.adapters.in_process.runtime import run_in_process
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.telemetry import Fact, ProjectParsed
from dbt_temporal.application.projects.engines import EngineByProject
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.run.invocation import LostWork
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.entrypoints.worker.start_table import engines_of
from tests.integration.engine_driver import new_invocation, opened
from tests.integration.postgres import PostgresDatabase
from tests.integration.run_harness import FAST_RETRIES, WorkerHarness, history, scheduled
from tests.integration.servers import wait_for
from tests.integration.v2.installed import BINARY, environment, make_project, needs_dbt_v2, on_duckdb, on_postgres

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]


SLEEPS_ONCE = "cast(pg_sleep(case when nextval('slept') = 1 then 600 else 0 end) as text)"


def silent(_facts: object) -> None:
    """For steps that nobody watches."""


def project_with_a_sleeper(folder: Path) -> ProjectLocation:
    return make_project(
        folder,
        {
            "models/first.sql": "{{ config(materialized='incremental') }} select 1 as id",
            "models/slow.sql": f"select id, {SLEEPS_ONCE} as z from {{{{ ref('first') }}}}",
            "models/below.sql": "select id from {{ ref('slow') }}",
        },
    )


def newest_process(cache: Path) -> int:
    newest = max(cache.glob("v2/runs/*/processes/*/process.json"), key=lambda each: each.stat().st_mtime)
    return int(json.loads(newest.read_bytes())["pid"])


@pytest.mark.parametrize("same_machine", [True, False])
async def test_what_a_lost_worker_had_done_is_not_done_again_and_what_ran_is_ended(
    tmp_path: Path, postgres: PostgresDatabase, *, same_machine: bool
) -> None:
    location = project_with_a_sleeper(tmp_path / "project")
    postgres.execute("create sequence slept")
    invocation = new_invocation(env=on_postgres(postgres))
    lost = DbtV2Engine(tmp_path / "cache", binary=str(BINARY), environ=environment(), settle_secs=0.1)
    run = opened(lost, location, invocation)
    await run.plan()
    await run.before_run(silent)
    assert (await run.execute_node("model.any.first", silent)).error is None
    told: dict[str, Any] = {}
    running = asyncio.create_task(run.execute_node("model.any.slow", told.update))
    await wait_for(lambda: _asleep(postgres), what="the model sleeps")
    await wait_for(lambda: _is_told(told), what="the node's progress is told")
    names = postgres.query("select application_name from pg_stat_activity where wait_event = 'PgSleep'")
    assert (told["phase"], told["session"]) == ("executing", names[0][0])
    assert told["host_pid"] == await asyncio.to_thread(newest_process, tmp_path / "cache")
    # The process dies with its worker's machine, without a chance to end its statement.
    os.kill(await asyncio.to_thread(newest_process, tmp_path / "cache"), signal.SIGKILL)
    await asyncio.gather(running, return_exceptions=True)

    cache = tmp_path / ("cache" if same_machine else "another")
    successor = DbtV2Engine(cache, binary=str(BINARY), environ=environment(), settle_secs=0.1)
    run = opened(successor, location, invocation)
    await run.resume(silent, {"model.any.first": "success"})
    assert await _asleep(postgres) is False
    assert await run.outcome_of("model.any.slow", 1) is None
    if same_machine:
        known = await run.outcome_of("model.any.first", 1)
        assert known is not None
        assert known.error is None
    assert (await run.execute_node("model.any.slow", silent, attempt=2)).error is None
    assert (await run.execute_node("model.any.below", silent)).error is None
    assert postgres.query("select count(*) from built.first") == [(1,)]
    for engine in (successor, lost):
        await engine.end_run(invocation.invocation_id)
        await engine.close()


@pytest.mark.parametrize("same_machine", [True, False])
async def test_of_a_run_whose_begin_nobody_has_heard_of_nothing_is_done_twice(
    tmp_path: Path, postgres: PostgresDatabase, *, same_machine: bool
) -> None:
    location = make_project(
        tmp_path / "project",
        {
            "models/first.sql": "{{ config(materialized='incremental') }} select 1 as id",
            "models/below.sql": "{{ config(materialized='incremental') }} select id from {{ ref('first') }}",
            "models/slow.sql": f"select 1 as id, {SLEEPS_ONCE} as z",
        },
        more='on-run-start: "insert into public.hooks values (1)"\n',
    )
    postgres.execute("create sequence slept; create table public.hooks (n int)")
    invocation = new_invocation(env=on_postgres(postgres))
    lost = DbtV2Engine(tmp_path / "cache", binary=str(BINARY), environ=environment(), settle_secs=0.1)
    run = opened(lost, location, invocation)
    await run.plan()
    await run.before_run(silent)  # of which nobody hears
    await run.execute_node("model.any.below", silent)
    await wait_for(lambda: _asleep(postgres), what="the model sleeps")
    os.kill(await asyncio.to_thread(newest_process, tmp_path / "cache"), signal.SIGKILL)

    cache = tmp_path / ("cache" if same_machine else "another")
    successor = DbtV2Engine(cache, binary=str(BINARY), environ=environment(), settle_secs=0.1)
    run = opened(successor, location, invocation)
    known = await run.outcome_of_before_run(1)
    assert await _asleep(postgres) is False
    assert (known is not None) == same_machine
    if known is None:  # its hooks may be run again, as the project says
        work = LostWork(attempts=(1,), not_again=("model.any.first", "model.any.below"))
        known = await run.before_run(silent, 2, work)
    assert known.may_have_run is not same_machine
    assert [hook.result.status for hook in known.hooks] == ["success"]
    outcomes = [await run.outcome_of(f"model.any.{name}", 1) for name in ("first", "below")]
    assert [outcome is not None for outcome in outcomes] == [same_machine, same_machine]
    if same_machine:  # on another one, the process that begins there runs it by now, or has
        assert await run.outcome_of("model.any.slow", 1) is None
    assert (await run.execute_node("model.any.slow", silent, attempt=2)).error is None
    await run.after_run([], silent)
    counts = [postgres.query(f"select count(*) from {name}") for name in ("built.first", "built.below", "public.hooks")]
    # The hooks run once more: where the begin is known, with the process that does what was lost.
    assert counts == [[(1,)], [(1,)], [(2,)]]
    for engine in (successor, lost):
        await engine.end_run(invocation.invocation_id)
        await engine.close()


async def _is_told(told: Mapping[str, Any]) -> bool:
    return "phase" in told


async def _asleep(postgres: PostgresDatabase) -> bool:
    found = await asyncio.to_thread(postgres.query, "select 1 from pg_stat_activity where wait_event = 'PgSleep'")
    return bool(found)


async def test_one_worker_serves_projects_of_both_engines(
    temporal_client: Client, task_queue: str, dbt_engine: DbtCoreEngine, v2_engine: DbtV2Engine, tmp_path: Path
) -> None:
    engine = EngineByProject({"dbt-core": dbt_engine, "v2": v2_engine}, default="dbt-core")
    async with AsyncExitStack() as stack:
        worker = WorkerHarness(temporal_client, task_queue, stack, engine)
        worker.write_artifacts = True
        worker.projects = []
        for name, kind in (("old", None), ("new", "v2")):
            location = make_project(
                tmp_path / name,
                {"models/one.sql": "select 1 as id", "models/two.sql": "select id from {{ ref('one') }}"},
            )
            (tmp_path / name / "dbt_project.yml").write_text(
                f"name: {name}\nversion: '1.0'\nprofile: any\n", encoding="utf-8"
            )
            location = ProjectLocation(location.project_dir, location.profiles_dir, engine=kind)
            loaded = await engine.load_project(location)
            worker.projects.append(ReadyProject(loaded, ProjectConfig.model_validate({"retry": FAST_RETRIES})))
        for name, kind in (("old", "dbt-core"), ("new", "v2")):
            (tmp_path / f"db-{name}").mkdir()
            run = await worker.submit({"project": name, "env": on_duckdb(tmp_path / f"db-{name}")})
            output = (await run.outcome()).output
            assert output is not None
            assert (output.success, output.engine) == (True, kind)
            assert str(output.dbt_version).startswith("2." if kind == "v2" else "1.")
            names = scheduled(await history(run.handle))
            assert [each for each in names if ":" in each] == ["model:one", "model:two"]


class Facts(list[Fact]):
    """Implements `Telemetry`."""

    def record(self, fact: Fact) -> None:
        self.append(fact)


async def test_a_worker_that_is_told_so_runs_projects_on_dbt_v2_says_so_and_keeps_their_secrets(tmp_path: Path) -> None:
    make_project(
        tmp_path / "project",
        {"models/wrong.sql": "select '{{ env_var('API_TOKEN') }}' as token, no_such_column"},
    )
    environ = environment(
        {
            "DBT_TEMPORAL_ENGINE": "v2",
            "DBT_TEMPORAL_V2_BINARY": str(BINARY),
            "DBT_PROJECT_DIRS": str(tmp_path / "project"),
            "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache"),
            "ARTIFACT_STORE": str(tmp_path / "store"),
            "WRITE_ARTIFACTS": "true",
            "API_TOKEN": "unknown at the start",
        }
    )
    container = WorkerContainer(
        settings=read_settings(environ), environ=providers.Object(environ), current_dir=tmp_path
    )
    facts = Facts()
    container.telemetry.override(providers.Object(facts))
    try:
        (project,) = await container.load_projects()()
        version = project.loaded.dbt_version
        assert version.startswith("2.")
        assert engines_of([project]) == f"v2 {version} (any)"
        parsed = [each for each in facts if isinstance(each, ProjectParsed)]
        assert [(each.project, each.engine, each.dbt_version) for each in parsed] == [("any", "v2", version)]
        container.registry().add(project)
        secret = "hush-hush-4711"
        given = {"env": {**on_duckdb(tmp_path), "API_TOKEN": secret}}
        output = await run_in_process(given, container.use_cases())
    finally:
        await container.engine().close()
    assert (output.success, output.engine, output.dbt_version) == (False, "v2", version)
    (result,) = output.node_results
    assert result.message is not None
    assert "no_such_column" in result.message
    assert secret not in output.model_dump_json()
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    stored = {path.name: path.read_text() for path in files if path.suffix != ".zip"}
    with zipfile.ZipFile(next(path for path in files if path.name == "sql.zip")) as archive:
        stored |= {name: archive.read(name).decode() for name in archive.namelist()}
    assert {name for name, text in stored.items() if secret in text} <= {"manifest.json"}
    assert f"Project any: engine=v2 dbt={version} adapter=duckdb" in stored["log.txt"]
    assert f"<b>v2 {version}</b>" in stored["report.html"]
    for name in ("run_results.json", "manifest.json"):
        assert json.loads(stored[name])["metadata"]["dbt_version"] == version
