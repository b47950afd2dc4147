"""A run on PostgreSQL whose nodes keep its host busy has more of them, and its result is that of one."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.adapters.dbt_core.hosts import crew
from dbt_temporal.adapters.dbt_core.hosts.handle import HostHandle
from dbt_temporal.application.ports.engine import NodeOutcome, ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.engine_driver import copy_project, drive, new_invocation, open_engine, opened, write_files
from tests.integration.equality.compare import run_cli
from tests.integration.equality.compare_relations import differences_of_relations, postgres_relations
from tests.integration.postgres import POSTGRES_PROJECT, PostgresDatabase, postgres_env

pytestmark = pytest.mark.every_dbt_version

MODEL = """{{{{ config(materialized='{kind}') }}}}
{{% set parent = adapter.get_relation(database=target.database, schema=target.schema, identifier='{parent}') %}}
select {number} as n, '{{{{ parent.type if parent else "missing" }}}}' as parent, {{{{ is_incremental() }}}} as again
{{% if '{parent}' != '' %}}from {{{{ ref('{parent}') }}}} where n = {number} - {width}{{% endif %}}
"""
KINDS = ("view", "table", "incremental", "view")
WIDTH = 8


def project_of(count: int) -> dict[str, str]:
    """Models in layers; each says what the relation cache knows of its parent, and whether its own was there."""
    models = {}
    for number in range(count):
        parent = f"m{number - WIDTH}" if number >= WIDTH else ""
        text = MODEL.format(kind=KINDS[number % 4], parent=parent, number=number, width=WIDTH)
        models[f"models/m{number}.sql"] = text
    return {**POSTGRES_PROJECT, **models}


class Hosts:
    """What runs: an engine whose runs get another host as soon as two nodes are at work."""

    def __init__(self, engine: DbtCoreEngine, location: ProjectLocation, database: PostgresDatabase) -> None:
        self.engine = engine
        self.location = location
        self.database = database
        self.env = postgres_env(database, "PG")

    def of(self, invocation_id: str) -> list[HostHandle]:
        return self.engine._hosts.hosts_of(invocation_id)


@pytest.fixture
async def hosts(tmp_path: Path, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hosts]:
    monkeypatch.setattr(crew, "LOOK_EVERY_SECS", 0.0)
    monkeypatch.setattr(crew, "BUSY_SHARE", -1.0)
    write_files(tmp_path / "pg", project_of(64))
    async with open_engine(tmp_path / "cache", limits=read_settings({"DBT_TEMPORAL_RUN_HOSTS": "3"}).engine) as engine:
        yield Hosts(engine, ProjectLocation(tmp_path / "pg", tmp_path / "pg"), postgres)


COMMANDS: dict[str, dict[str, Any]] = {"run": {}, "run again": {}, "run --full-refresh": {"full_refresh": True}}


async def test_a_run_over_several_hosts_leaves_what_the_command_line_leaves(hosts: Hosts, tmp_path: Path) -> None:
    with hosts.database.fresh_database("cli") as other:
        for command, given in COMMANDS.items():
            invocation = new_invocation(command="run", env=hosts.env, **given)
            counted: list[int] = []
            counting = asyncio.create_task(count(hosts, invocation.invocation_id, counted))
            run = await drive(hosts.engine, hosts.location, invocation)
            counting.cancel()
            assert Counter(run.statuses().values()) == {"success": 64}
            assert max(counted) > 1
            cli = run_cli(
                command.replace(" again", "").split(),
                hosts.location.project_dir,
                tmp_path / "target",
                postgres_env(other, "PG"),
            )
            assert cli.returncode == 0, cli.stdout
            with closing(hosts.database.connect()) as ours, closing(other.connect()) as theirs:
                assert differences_of_relations(postgres_relations(ours), postgres_relations(theirs)) == []


async def test_nodes_of_every_kind_end_over_several_hosts_as_in_one(hosts: Hosts, tmp_path: Path) -> None:
    location = copy_project("tests/projects/with_failures", tmp_path / "failures")
    statuses = []
    for run_hosts in (1, 3):
        with hosts.database.fresh_database("kinds") as database:
            invocation = new_invocation(env=postgres_env(database), target="postgres")
            statuses.append((await drive(hosts.engine, location, invocation, run_hosts=run_hosts)).statuses())
    assert statuses[0] == statuses[1]


async def count(hosts: Hosts, invocation_id: str, counted: list[int]) -> None:
    """Counts the hosts of a run until it is cancelled."""
    while True:
        counted.append(len(hosts.of(invocation_id)))
        await asyncio.sleep(0.02)


async def with_two_hosts(hosts: Hosts, invocation: DbtInvocation) -> list[HostHandle]:
    """Runs nodes until two of the run's hosts have done so, which are given back, the first one first."""
    run = opened(hosts.engine, hosts.location, invocation)
    await run.before_run(lambda _: None)
    while sum(host.served > 0 for host in hosts.of(invocation.invocation_id)) < 2:
        await asyncio.gather(*(run.execute_node(f"model.pg.m{n}", lambda _: None) for n in range(4)))
    return [host for host in hosts.of(invocation.invocation_id) if host.served][:2]


@pytest.mark.parametrize("which", [0, 1], ids=["the first", "another"])
async def test_the_nodes_of_a_host_that_is_killed_alone_are_lost_and_the_run_goes_on(hosts: Hosts, which: int) -> None:
    sleeps = "{{ config(materialized='table') }} select 1 as n from pg_sleep(3)"
    write_files(hosts.location.project_dir, {f"models/s{number}.sql": sleeps for number in range(4)})
    invocation = new_invocation(command="run", env=hosts.env)
    two = await with_two_hosts(hosts, invocation)
    run = opened(hosts.engine, hosts.location, invocation)
    pids: dict[int, int] = {}
    all_begun = asyncio.Event()

    def begun(number: int, facts: Mapping[str, Any]) -> None:
        pids[number] = facts["host_pid"]
        if len(pids) == 4:
            all_begun.set()

    nodes = [asyncio.ensure_future(run.execute_node(f"model.pg.s{n}", partial(begun, n))) for n in range(4)]
    await all_begun.wait()
    killed = two[which].process.pid
    lost = [number for number in range(4) if pids[number] == killed]
    assert 0 < len(lost) < 4
    psutil.Process(killed).kill()
    ended = await asyncio.gather(*nodes, return_exceptions=True)
    for number, outcome in enumerate(ended):
        if number in lost:
            assert isinstance(outcome, DbtTemporalError)
            assert outcome.error_type is ErrorType.ENGINE_CRASHED
        else:
            assert isinstance(outcome, NodeOutcome)
            assert outcome.error is None
    again = [await run.execute_node(f"model.pg.s{n}", lambda _: None, attempt=2) for n in lost]
    assert [outcome.error for outcome in again] == [None] * len(lost)
    assert killed not in {host.process.pid for host in hosts.of(invocation.invocation_id)}
    await hosts.engine.end_run(invocation.invocation_id)
    assert hosts.of(invocation.invocation_id) == []


async def test_a_run_that_keeps_state_in_its_process_keeps_to_one_host(hosts: Hosts) -> None:
    hooks = {
        "on-run-start": ["{% do graph.update({'begun': 1}) %}"],
        "on-run-end": ["select {{ graph.begun }}"],
    }
    project = json.dumps({"name": "pg", "version": "1.0", "profile": "pg", **hooks})
    write_files(hosts.location.project_dir, {"dbt_project.yml": project})
    invocation = new_invocation(command="run", env=hosts.env)
    run = opened(hosts.engine, hosts.location, invocation)
    assert (await run.before_run(lambda _: None)).keeps_state
    await asyncio.gather(*(run.execute_node(f"model.pg.m{n}", lambda _: None) for n in range(4)))
    assert len(hosts.of(invocation.invocation_id)) == 1
