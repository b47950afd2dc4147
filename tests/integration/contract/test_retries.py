"""Which errors of a real PostgreSQL are worth another attempt, and what is told of each attempt."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2.extensions
import pytest

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending
from tests.integration.engine_driver import write_files
from tests.integration.postgres import PostgresDatabase
from tests.integration.run_harness import DbtHarness, history, scheduled
from tests.integration.servers import wait_for

pytestmark = pytest.mark.every_dbt_version

PROJECT = {
    "dbt_project.yml": "name: unlucky\nprofile: unlucky\nmodels: {unlucky: {+materialized: table}}\n",
    "profiles.yml": """
unlucky:
  target: dev
  outputs:
    dev:
      type: postgres
      host: "{{ env_var('UNLUCKY_HOST', '127.0.0.1') }}"
      port: "{{ env_var('UNLUCKY_PORT', '5432') | as_number }}"
      user: "{{ env_var('UNLUCKY_USER', 'postgres') }}"
      password: "{{ env_var('UNLUCKY_PASSWORD', '') }}"
      dbname: "{{ env_var('UNLUCKY_DBNAME', 'postgres') }}"
      schema: unlucky
      threads: 8
""",
    # Bad luck: another attempt does better, once what stands in the way has gone.
    "models/luck/slow.sql": "select count(*) as rests from public.pause, lateral pg_sleep(seconds)",
    "models/luck/meets_a_deadlock.sql": """
{{ config(pre_hook=["set local deadlock_timeout = '8s'",
                    "update public.counters set n = n + 1 where name = 'left'",
                    "update public.counters set n = n + 1 where name = 'right'"]) }}
select 1 as id
""",
    "models/luck/waits_for_a_lock.sql": """
{{ config(pre_hook=["set local lock_timeout = '100ms'",
                    "update public.counters set n = n + 1 where name = 'right'"]) }}
select 1 as id
""",
    "models/luck/is_not_serializable.sql": """
{{ config(pre_hook="update public.counters set n = n + 1 where name = 'right'") }}
select 1 as id
""",
    # Mistakes: the database refuses the statement itself, today and tomorrow.
    "models/mistakes/wrong_syntax.sql": "selec 1 as id",
    "models/mistakes/missing_relation.sql": "select * from public.there_is_no_such_table",
    "models/mistakes/missing_column.sql": "select no_such_column from public.pause",
    "models/mistakes/wrong_type.sql": "select 'seven'::integer as id",
    "models/mistakes/divides_by_zero.sql": "select 1 / (seconds * 0)::integer as id from public.pause",
    "models/mistakes/not_allowed.sql": "{{ config(pre_hook='set local role pg_monitor') }} select 1 as id",
    "models/mistakes/breaks_a_constraint.sql": """
{{ config(pre_hook="insert into public.counters values ('left', 0)") }}
select 1 as id
""",
    # What a node's own meta says.
    "models/own/patient.sql": """
{{ config(meta={'dbt_temporal': {'retry': {'max_attempts': 2, 'initial_interval_secs': 0.01}}},
          pre_hook="do $$ begin raise exception 'no luck' using errcode = '40001'; end $$") }}
select 1 as id
""",
    "models/own/impatient.sql": """
{{ config(meta={'dbt_temporal': {'timeout_secs': 1, 'retry': {'max_attempts': 1}}}) }}
select count(*) as rests from pg_sleep(60)
""",
}
MISTAKES = {
    "wrong_syntax": "syntax error",
    "missing_relation": "does not exist",
    "missing_column": "does not exist",
    "wrong_type": "invalid input syntax",
    "divides_by_zero": "division by zero",
    "not_allowed": "permission denied",
    "breaks_a_constraint": "duplicate key",
}


class Warehouse:
    """The database of the runs, seen from outside of dbt."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database

    @property
    def env(self) -> dict[str, str]:
        d = self.database
        values = {"HOST": d.host, "PORT": str(d.port), "USER": d.user, "PASSWORD": d.password, "DBNAME": d.dbname}
        return {f"UNLUCKY_{name}": value for name, value in values.items()}

    @contextmanager
    def session(self) -> Iterator[psycopg2.extensions.cursor]:
        """A transaction beside dbt's, which holds its locks until it is committed."""
        with closing(self.database.connect()) as session:
            session.autocommit = False
            with session.cursor() as cursor:
                yield cursor

    def sleeping(self) -> int:
        """How many statements of dbt's still sleep."""
        rows = self.database.query(
            f"select count(*) from pg_stat_activity where datname = '{self.database.dbname}' and state = 'active'"
            " and query like '%pg_sleep%' and pid <> pg_backend_pid()"
        )
        return int(str(rows[0][0]))

    async def backend(self, wait_event_type: str, query: str) -> int:
        """Waits until a statement of dbt's waits for something. Returns the process of its session."""

        async def found() -> int | None:
            rows = self.database.query(
                f"select pid from pg_stat_activity where datname = '{self.database.dbname}' and state = 'active'"
                f" and wait_event_type = '{wait_event_type}' and query like '%{query}%' and pid <> pg_backend_pid()"
            )
            return int(str(rows[0][0])) if rows else None

        return await wait_for(found, within=60, what=f"a statement with {query!r} that waits for {wait_event_type}")


@pytest.fixture(scope="module")
def warehouse(postgres_server: PostgresDatabase) -> Iterator[Warehouse]:
    with postgres_server.fresh_database("unlucky") as database:
        warehouse = Warehouse(database)
        warehouse.database.execute(
            "create table public.pause as select 0 as seconds",
            "create table public.counters (name text primary key, n integer)",
            "insert into public.counters values ('left', 0), ('right', 0)",
            # So that two updates of one row conflict, as in warehouses with snapshot isolation.
            f"alter database \"{database.dbname}\" set default_transaction_isolation = 'repeatable read'",
        )
        yield warehouse


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ProjectLocation:
    folder = tmp_path_factory.mktemp("unlucky")
    write_files(folder, PROJECT)
    return ProjectLocation(project_dir=folder, profiles_dir=folder)


@pytest.fixture
async def runs(dbt_workers: Callable[[], DbtHarness], project: ProjectLocation) -> DbtHarness:
    runs = dbt_workers()
    await runs.load(project)
    return runs


async def attempts(run: TemporalRun, activity_type: str) -> int:
    return scheduled(await history(run.handle)).count(activity_type)


async def told_retry(run: TemporalRun) -> list[str]:
    """Waits until the run log tells that a node is tried again. Returns the lines of that."""

    async def told() -> list[str]:
        log: list[str] = await run.handle.query("run_log")
        first = next((number for number, line in enumerate(log) if "[RETRY " in line), None)
        return [] if first is None else log[first:]

    return await wait_for(told, within=60, what="a line about a retry")


async def succeeds_at_last(run: TemporalRun, name: str, state: str) -> None:
    """The second attempt at a model did it, and the first is told with its reason."""
    outcome = await run.outcome()
    assert outcome.ending is Ending.COMPLETED, outcome.message
    assert await attempts(run, f"model:{name}") == 2
    lines = await told_retry(run)
    assert lines[0] == f"  => table_model unlucky.{name}  [RETRY after attempt 1 of 3]"
    assert state in " ".join(lines[1:])


async def test_a_lost_connection_is_tried_again(runs: DbtHarness, warehouse: Warehouse) -> None:
    warehouse.database.execute("update public.pause set seconds = 60")
    run = await runs.submit({"select": "slow", "env": warehouse.env})
    pid = await warehouse.backend("Timeout", "pg_sleep")
    warehouse.database.execute("update public.pause set seconds = 0", f"select pg_terminate_backend({pid})")
    await succeeds_at_last(run, "slow", "connection")


async def test_a_run_host_that_is_killed_amid_a_node_is_replaced_and_the_run_succeeds(
    runs: DbtHarness, warehouse: Warehouse
) -> None:
    warehouse.database.execute("update public.pause set seconds = 60")
    run = await runs.submit({"select": "slow", "env": warehouse.env})
    await warehouse.backend("Timeout", "pg_sleep")
    host = await wait_for(lambda: host_pid(run), within=60, what="a heartbeat that names the run host")
    warehouse.database.execute("update public.pause set seconds = 0")
    os.kill(host, signal.SIGKILL)
    await succeeds_at_last(run, "slow", "EngineCrashed")
    assert warehouse.sleeping() == 0


async def test_a_cancelled_run_stops_its_statement_in_the_database(runs: DbtHarness, warehouse: Warehouse) -> None:
    warehouse.database.execute("update public.pause set seconds = 600")
    run = await runs.submit({"select": "slow", "env": warehouse.env})
    await warehouse.backend("Timeout", "pg_sleep")
    await run.cancel()
    outcome = await run.outcome()
    assert outcome.ending is Ending.CANCELLED
    assert warehouse.sleeping() == 0


async def host_pid(run: TemporalRun) -> int | None:
    """The process that runs the node, as its activity's heartbeat tells."""
    description = await run.handle.describe()
    for pending in description.raw_description.pending_activities:
        for payload in pending.heartbeat_details.payloads:
            facts = json.loads(payload.data)
            if "host_pid" in facts:
                return int(facts["host_pid"])
    return None


async def test_the_victim_of_a_deadlock_is_tried_again(runs: DbtHarness, warehouse: Warehouse) -> None:
    with warehouse.session() as other:
        # Only dbt's session looks for deadlocks in time, so it is the one that is ended.
        other.execute("set local deadlock_timeout = '1h'")
        # It looks once: if it has looked before there was a deadlock, both would wait for ever.
        other.execute("set local lock_timeout = '60s'")
        other.execute("update public.counters set n = n + 1 where name = 'right'")
        run = await runs.submit({"select": "meets_a_deadlock", "env": warehouse.env})
        await warehouse.backend("Lock", "counters")
        # In a thread: the worker's event loop goes on meanwhile.
        await asyncio.to_thread(other.execute, "update public.counters set n = n + 1 where name = 'left'")
        other.connection.commit()
    await succeeds_at_last(run, "meets_a_deadlock", "deadlock detected")


async def test_a_lock_that_took_too_long_is_tried_again(runs: DbtHarness, warehouse: Warehouse) -> None:
    with warehouse.session() as other:
        other.execute("select * from public.counters where name = 'right' for update")
        run = await runs.submit({"select": "waits_for_a_lock", "env": warehouse.env})
        await told_retry(run)
    await run.outcome()
    lines = await told_retry(run)
    assert "canceling statement due to lock timeout" in " ".join(lines)
    assert await attempts(run, "model:waits_for_a_lock") > 1


async def test_a_serialization_failure_is_tried_again(runs: DbtHarness, warehouse: Warehouse) -> None:
    with warehouse.session() as other:
        other.execute("update public.counters set n = n + 1 where name = 'right'")
        run = await runs.submit({"select": "is_not_serializable", "env": warehouse.env})
        await warehouse.backend("Lock", "counters")
        other.connection.commit()
    await succeeds_at_last(run, "is_not_serializable", "could not serialize access due to concurrent update")


async def test_a_statement_that_is_wrong_is_never_tried_again(runs: DbtHarness, warehouse: Warehouse) -> None:
    run = await runs.submit({"select": "mistakes", "env": warehouse.env})
    outcome = await run.outcome()
    assert outcome.output is not None
    messages = {each.unique_id.rpartition(".")[2]: each.message or "" for each in outcome.output.node_results}
    assert messages.keys() == MISTAKES.keys()
    assert [name for name, words in MISTAKES.items() if words not in messages[name]] == []
    assert {name: await attempts(run, f"model:{name}") for name in MISTAKES} == dict.fromkeys(MISTAKES, 1)
    assert "RETRY" not in "\n".join(await run.handle.query("run_log"))


async def test_a_pattern_of_the_project_ends_the_attempts(
    dbt_workers: Callable[[], DbtHarness], project: ProjectLocation, warehouse: Warehouse
) -> None:
    runs = dbt_workers()
    runs.config = {"retry": {**runs.config["retry"], "non_retryable_errors": ["no l[aeu]ck"]}}
    await runs.load(project)
    run = await runs.submit({"select": "patient", "env": warehouse.env})
    assert (await run.outcome()).error_type == "DbtRunFailed"
    assert await attempts(run, "model:patient") == 1


async def test_a_nodes_own_number_of_attempts_holds(runs: DbtHarness, warehouse: Warehouse) -> None:
    run = await runs.submit({"select": "patient", "env": warehouse.env})
    outcome = await run.outcome()
    assert outcome.error_type == "DbtRunFailed"
    assert "model.unlucky.patient (Adapter: " in (outcome.message or "")
    assert await attempts(run, "model:patient") == 2


async def test_a_nodes_own_time_limit_ends_its_statement(runs: DbtHarness, warehouse: Warehouse) -> None:
    run = await runs.submit({"select": "impatient", "env": warehouse.env})
    outcome = await run.outcome()
    assert outcome.output is not None
    (result,) = outcome.output.node_results
    assert "took longer than its limit of 1 seconds" in (result.message or "")

    async def nobody_sleeps() -> Any:
        return not warehouse.database.query(
            f"select 1 from pg_stat_activity where datname = '{warehouse.database.dbname}'"
            " and state = 'active' and query like '%pg_sleep(60)%' and pid <> pg_backend_pid()"
        )

    await wait_for(nobody_sleeps, what="the statement has ended in the database too")
