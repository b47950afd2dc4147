"""Packages that keep state in Jinja's `graph`: what hooks and nodes leave there is there for later ones, as in dbt."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

import pytest

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.adapters.in_process.runtime import run_in_process
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings, connect
from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.application.ports.engine import ProjectLocation, StatePart, no_progress
from dbt_temporal.application.ports.runs import Outcome
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.run import keeping
from dbt_temporal.application.steps.use_cases import UseCases
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.domain.results import DbtRunOutput
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.engine_driver import new_invocation, open_engine, opened, write_files
from tests.integration.equality.compare import run_cli
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase, postgres_env
from tests.integration.run_harness import FAST_RETRIES, DbtHarness, history
from tests.integration.servers import wait_for

pytestmark = pytest.mark.every_dbt_version

# Lists and dictionaries within each other, one of them known by a second name; an object of dbt's; an entry of dbt's
# own, changed.
LEDGER = """
{% macro ledger_open() %}{% if execute %}
  {% set lines = [] %}
  {% do graph.setdefault('ledger', {'lines': lines, 'relations': {}, 'same lines': lines}) %}
{% endif %}{% endmacro %}
{% macro ledger_note() %}{% if execute %}
  {% do graph['ledger']['same lines'].append({'model': model.name}) %}
  {% do graph.ledger.relations.update({model.name: this}) %}
  {% do graph.nodes[model.unique_id]['meta'].update({'noted': true}) %}
{% endif %}{% endmacro %}
{% macro ledger_close() %}{% if execute %}
  create table {{ target.schema }}.ledger (line text, relation text, noted bool);
  {% for line in graph.ledger.lines %}
    {% set relation = graph.ledger.relations[line.model] %}
    {% set noted = graph.nodes['model.pg.' ~ line.model].meta.noted or false %}
    insert into {{ target.schema }}.ledger values ('{{ line.model }}', '{{ relation.identifier }}', {{ noted }});
  {% endfor %}
  create table {{ target.schema }}.job as select
  {% for name in ('ORCHESTRATOR', 'JOB_ID', 'JOB_RUN_ID', 'JOB_RUN_URL') %}
    '{{ env_var(name, 'none') }}' as {{ name }} {{ ',' if not loop.last }}
  {% endfor %};
{% endif %}{% endmacro %}
"""
LOCK = 7
NOTES = "{{ config(materialized='table') }}{% do ledger_note() %} "
WAITS = f"{NOTES} select 1 as n, pg_advisory_xact_lock_shared({LOCK})::text as locked"
OUTPUT = POSTGRES_PROJECT["profiles.yml"].partition("    dev:\n")[2]
PROJECT = {
    **POSTGRES_PROJECT,
    "profiles.yml": f"{POSTGRES_PROJECT['profiles.yml']}    other:\n{OUTPUT.replace('schema: main', 'schema: other')}",
    "dbt_project.yml": POSTGRES_PROJECT["dbt_project.yml"]
    + "on-run-start: ['{{ ledger_open() }}']\non-run-end: ['{{ ledger_close() }}']\n",
    "macros/ledger.sql": LEDGER,
    "models/a.sql": f"{NOTES} select 1 as n",
    "models/b.sql": f"{NOTES} select 1 as n",
    "models/waits_1.sql": WAITS,
    "models/waits_2.sql": WAITS,
    **{f"models/late_{number}.sql": NOTES + "select * from {{ ref('waits_1') }}" for number in (1, 2)},
    "models/last.sql": NOTES + "select 1 as n from {{ ref('late_1') }}, {{ ref('late_2') }}, {{ ref('waits_2') }}",
}
WAITING = "select count(*) from pg_stat_activity where wait_event = 'advisory' and datname = current_database()"
DBT_GIVES_COPIES = not version("dbt-core").startswith("1.11.")
"""Of its own entries of `graph`."""
OF_CLI = [(name, name, not DBT_GIVES_COPIES) for name in ("a", "b", "last", "late_1", "late_2", "waits_1", "waits_2")]


def ledger(database: PostgresDatabase) -> list[tuple[object, ...]]:
    return database.query("select * from main.ledger order by line")


@pytest.fixture
def project(tmp_path: Path) -> ProjectLocation:
    folder = tmp_path / "project"
    write_files(folder, PROJECT)
    return ProjectLocation(folder, folder)


@pytest.fixture
def environ(postgres: PostgresDatabase) -> dict[str, str]:
    return {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", **postgres_env(postgres, "PG")}


def test_the_command_line_has_all_of_it(
    project: ProjectLocation, postgres: PostgresDatabase, environ: dict[str, str], tmp_path: Path
) -> None:
    done = run_cli(["run"], project.project_dir, tmp_path / "target", environ)
    assert done.returncode == 0, done.stdout
    assert ledger(postgres) == OF_CLI
    assert postgres.query("select * from main.job") == [("none",) * 4]


class Workers:
    """Two workers on one task queue and one artifact store, and the lock that some of the nodes wait for."""

    def __init__(self, both: list[DbtHarness], database: PostgresDatabase) -> None:
        self.both = both
        self._database = database
        self._session = database.connect()
        self._session.cursor().execute(f"select pg_advisory_lock({LOCK})")

    async def start(self) -> None:
        for each in self.both:
            await each.start_worker()

    async def nodes_wait(self, run: TemporalRun) -> None:
        """Returns when two nodes wait for the lock, and those before them have ended."""

        async def wait() -> bool:
            statuses = await run.handle.query("node_status")
            waiting = await asyncio.to_thread(self._database.query, WAITING)
            return {statuses.get(f"model.pg.{name}") for name in ("a", "b")} == {"success"} and waiting == [(2,)]

        await wait_for(wait, what="nodes wait for the lock")

    def let_go(self) -> None:
        self._session.close()


@pytest.fixture
async def workers(
    temporal_address: str,
    task_queue: str,
    project: ProjectLocation,
    environ: dict[str, str],
    postgres: PostgresDatabase,
    tmp_path: Path,
) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        both = []
        for name in ("one", "two"):
            engine = await stack.enter_async_context(open_engine(tmp_path / f"cache {name}", environ=environ))
            client = await connect(ConnectionSettings(address=temporal_address))  # two workers cannot share one
            harness = DbtHarness(client, task_queue, stack, engine, tmp_path / "artifacts")
            harness.tuning = WorkerTuning(max_concurrent_activities=2)
            await harness.load(project)
            both.append(harness)
        workers = Workers(both, postgres)
        stack.callback(workers.let_go)
        yield workers


def check(outcome: Outcome, database: PostgresDatabase) -> DbtRunOutput:
    assert outcome.output is not None, outcome
    assert outcome.output.success, [result.message for result in outcome.output.node_results]
    assert ledger(database) == OF_CLI
    return outcome.output


async def queues_of(run: TemporalRun) -> dict[str, str]:
    """The task queue of each step that was scheduled; of a node's last attempt."""
    scheduled = [event.activity_task_scheduled_event_attributes for event in await history(run.handle)]
    return {each.activity_type.name: each.task_queue.name for each in scheduled if each.activity_type.name}


async def test_of_two_workers_one_has_the_nodes_and_both_the_hooks(
    workers: Workers, postgres: PostgresDatabase
) -> None:
    workers.let_go()
    await workers.start()
    run = await workers.both[0].submit({"command": "run"})
    output = check(await run.outcome(), postgres)
    queues = await queues_of(run)
    (own,) = {queues[name] for name in ("after_run", "store_artifacts", "end_run")}
    assert own in [each.own_queue for each in workers.both]
    shared = workers.both[0].task_queue
    assert {queue for name, queue in queues.items() if name.startswith("model:")} <= {own, shared}
    assert queues["before_run"] == shared
    log = await run.handle.query("run_log")
    assert any("The run keeps to the worker" in line and "'ledger' in Jinja's `graph`" in line for line in log)
    run_id = output.invocation_id
    link = f"http://ui.internal/namespaces/default/workflows/{run.workflow_id}/{run_id}/history"
    assert postgres.query("select * from main.job") == [("temporal", run.workflow_id, run_id, link)]


async def test_a_killed_host_takes_nothing_with_it_and_leaves_nothing_twice(
    workers: Workers, postgres: PostgresDatabase
) -> None:
    harness = workers.both[0]
    harness.tuning = WorkerTuning()
    await harness.start_worker()
    run = await harness.submit({"command": "run"})
    await workers.nodes_wait(run)
    (host,) = harness.engine._hosts._hosts.values()
    host.process.kill()  # while two nodes have noted themselves, and not ended
    workers.let_go()
    output = check(await run.outcome(), postgres)
    attempts = {result.unique_id.rpartition(".")[2]: result.attempts for result in output.node_results}
    assert attempts["a"] == attempts["last"] == 1
    assert attempts["waits_1"] == attempts["waits_2"] == 2
    assert not await asyncio.to_thread(lambda: list(harness.folder.rglob("state/*")))


async def test_another_worker_goes_on_when_the_first_one_is_stopped(
    workers: Workers, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "TAKEN_WITHIN_SECS", 15.0)
    first, second = workers.both
    first.tuning = WorkerTuning()
    worker = await first.start_worker()
    assert first.own_worker is not None
    run = await first.submit({"command": "run"})
    await workers.nodes_wait(run)
    await second.start_worker()
    stopping = [asyncio.create_task(each.shutdown()) for each in (worker, first.own_worker)]
    workers.let_go()  # what it has begun it ends; the rest is left to the other one
    await asyncio.gather(*stopping)
    await first.engine.close()
    check(await run.outcome(), postgres)
    queues = await queues_of(run)
    assert queues["model:last"] in (second.own_queue, second.task_queue)
    assert queues["after_run"] == second.own_queue
    assert queues["resume_run"] == first.task_queue


async def test_a_worker_that_carries_the_run_out_refuses_nodes_that_are_for_another_one(
    workers: Workers, postgres: PostgresDatabase
) -> None:
    first, second = workers.both
    first.tuning = WorkerTuning()
    worker = await first.start_worker()
    run = await first.submit({"command": "run"})
    await workers.nodes_wait(run)
    await second.start_worker()
    stopping = asyncio.create_task(worker.shutdown())  # from now on it takes what comes to its own queue
    workers.let_go()
    await stopping
    output = check(await run.outcome(), postgres)
    assert {result.attempts for result in output.node_results} == {1}
    queues = await queues_of(run)
    assert queues["model:last"] == queues["after_run"] == first.own_queue
    refused = [event.activity_task_failed_event_attributes for event in await history(run.handle)]
    words = {each.failure.message for each in refused if each.failure.message}
    assert words == {f"this run keeps to another worker, which takes its nodes from {first.own_queue}"}


async def test_hosts_that_make_way_or_are_too_large_or_idle_hand_on_what_they_have(
    project: ProjectLocation, postgres: PostgresDatabase, environ: dict[str, str], tmp_path: Path
) -> None:
    limits = {"DBT_TEMPORAL_MAX_HOSTS": "1", "DBT_TEMPORAL_HOST_MEMORY_MB": "1", "DBT_TEMPORAL_HOST_IDLE_SECS": "0.1"}
    async with open_engine(tmp_path / "cache", environ=environ, limits=read_settings(limits).engine) as engine:

        class Patient(FsspecArtifactStore):
            """Between two nodes it waits until the run's host has been idle for too long."""

            async def write(self, path: str, content: bytes) -> str:
                if "/state/" in path and path.endswith(("/2", "/4")):
                    await wait_for(hosts_gone)
                return await super().write(path, content)

        async def hosts_gone() -> bool:
            return not [host for host in engine._hosts._hosts.values() if not host.users]

        loaded = await engine.load_project(project)
        ready = ReadyProject(loaded, ProjectConfig.model_validate({"retry": FAST_RETRIES}))
        use_cases = UseCases.build(engine, ProjectRegistry([ready]), Patient(str(tmp_path / "artifacts")))
        other = run_in_process({"command": "run", "select": "a", "target": "other"}, use_cases)
        output, of_other = await asyncio.gather(run_in_process({"command": "run"}, use_cases), other)
    assert output.success, [result.message for result in output.node_results]
    assert of_other.success
    assert {result.attempts for result in output.node_results} == {1}
    assert ledger(postgres) == OF_CLI


async def test_what_no_other_process_can_have_fails_the_run_when_its_own_has_gone(
    project: ProjectLocation, environ: dict[str, str], tmp_path: Path
) -> None:
    alone = "on-run-start: ['{% if execute %}{% do graph.update(alone=namespace()) %}{% endif %}']\n"
    write_files(project.project_dir, {"dbt_project.yml": POSTGRES_PROJECT["dbt_project.yml"] + alone})
    async with open_engine(tmp_path / "cache", environ=environ) as engine:
        begun = new_invocation(command="run")
        prepared = await opened(engine, project, begun).before_run(no_progress)
        assert prepared.keeps_state is not None
        assert "no other process can have that" in prepared.keeps_state
        (host,) = engine._hosts._hosts.values()
        host.process.kill()

        async def parts() -> list[StatePart]:
            assert prepared.state is not None
            return [prepared.state]

        run = await engine.open(project, begun.model_copy(update={"keeps_state": True}))
        await run.use_state(parts)
        await wait_for(lambda: asyncio.sleep(0, not host.alive))
        with pytest.raises(DbtTemporalError, match="on-run-start has called update") as caught:
            await run.execute_node("model.pg.a", no_progress)
        assert caught.value.error_type == ErrorType.CONFIGURATION
