"""A database that stands still, starts again, or takes no more connections: each node has written once, or says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from dbt_temporal.application.ports.runs import Outcome
from dbt_temporal.domain.results import NodeExecutionResult
from tests.faults.databases.own_server import OwnPostgres, own_postgres
from tests.faults.doors import door_to
from tests.integration.engine_driver import write_files
from tests.integration.worker.test_shutdown import SLEEPERS, Site, site_in

APPENDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select 1 as one from pg_sleep((select max(secs) from public.nap))"
)
AFTER = "{{ config(materialized='incremental', incremental_strategy='append') }} select * from {{ ref('sleeps') }}"
SETTINGS = """
timeouts: {node_secs: %s}
retry: {max_attempts: 3, initial_interval_secs: 0.2, on_lost_attempt: %s}
breaker: {probe_secs: 0.5}
"""
UNKNOWN = "nobody has heard how attempt"


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as server:
        yield server


@pytest.fixture
async def site(
    tmp_path: Path, temporal_address: str, server: OwnPostgres, temporal_client: Client
) -> AsyncIterator[Site]:
    with server.database.fresh_database() as database:
        async with site_in(tmp_path, temporal_address, database, temporal_client) as site:
            write_files(tmp_path / "pg", {"models/sleeps.sql": APPENDS, "dbt_temporal.yml": SETTINGS % (60, "ask")})
            database.execute("create table public.nap as select 600.0 as secs")
            yield site
        for program in site.programs:
            print(program.output)


def results(outcome: Outcome) -> dict[str, NodeExecutionResult]:
    assert outcome.output is not None, outcome.message
    return {each.unique_id.rsplit(".", 1)[-1]: each for each in outcome.output.node_results}


def wakes(site: Site) -> None:
    site.database.execute("update public.nap set secs = 0")


def rows(site: Site, table: str = "sleeps") -> int:
    there = site.count(f"select count(*) from pg_tables where schemaname = 'main' and tablename = '{table}'")
    return site.count(f"select count(*) from main.{table}") if there else 0


async def test_a_server_that_starts_again_amid_a_node_has_its_rows_once(site: Site, server: OwnPostgres) -> None:
    write_files(site.folder / "pg", {"models/after.sql": AFTER})
    await site.worker()
    run = await site.run()
    wakes(site)
    await asyncio.to_thread(server.crash)
    ended = results(await run.outcome())
    assert {name: result.status for name, result in ended.items()} == {"sleeps": "success", "after": "success"}
    assert ended["sleeps"].attempts > 1
    assert (rows(site), rows(site, "after")) == (1, 1)


async def test_a_server_that_stands_still_beyond_a_nodes_limit_has_its_rows_once(
    site: Site, server: OwnPostgres
) -> None:
    write_files(site.folder / "pg", {"dbt_temporal.yml": SETTINGS % (3, "retry")})
    worker = await site.worker()
    run = await site.run()
    wakes(site)
    with server.frozen():
        await asyncio.to_thread(worker.says, "model:sleeps failed")
    (ended,) = results(await run.outcome()).values()
    assert ended.status == "success", ended.message
    assert ended.attempts > 1
    assert rows(site) == 1
    assert site.count(SLEEPERS) == 0


async def test_a_commit_that_does_not_reach_the_server_before_a_nodes_limit_comes_to_nothing_later(site: Site) -> None:
    write_files(site.folder / "pg", {"dbt_temporal.yml": SETTINGS % (3, "ask")})
    async with door_to(site.database.port) as door:
        worker = await site.worker(PG_PORT=str(door.port))
        run = await site.run()
        door.keep_back(b"COMMIT")
        wakes(site)
        await site.eventually(lambda: b"COMMIT" in door.held, "the node commits")
        await asyncio.to_thread(worker.says, "model:sleeps failed")
        await door.let_through(b"COMMIT")
        (ended,) = results(await run.outcome()).values()
        if ended.status == "success":
            assert rows(site) == 1
        else:
            assert UNKNOWN in (ended.message or "")
            assert rows(site) == 0


async def test_nodes_wait_for_connections_that_others_have(site: Site) -> None:
    database = site.database
    many = {f"models/m{number}.sql": AFTER for number in range(4)}
    write_files(site.folder / "pg", many)
    role = f"few_{database.dbname}"
    database.execute(
        f"create role {role} login password 'few' connection limit 2",
        f"grant create on database {database.dbname} to {role}",
        f"grant select on public.nap to {role}",
        "update public.nap set secs = 0.3",
    )
    try:
        await site.worker(PG_USER=role, PG_PASSWORD="few")
        run = await site.gateway.submit({"command": "run"}, f"run-{database.dbname}")
        ended = results(await run.outcome())
        assert {result.status for result in ended.values()} == {"success"}
        assert {name: rows(site, name) for name in ended} == dict.fromkeys(ended, 1)
        assert len(ended) == len(many) + 1
    finally:
        for program in site.programs:
            program.process.kill()
            program.ended()
        database.execute(f"drop owned by {role} cascade", f"drop role {role}")
