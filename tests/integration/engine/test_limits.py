"""How many run hosts there are at once, and when one is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.telemetry import Fact, HostsCounted
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.engine.test_postgres import PROJECT as PG_PROJECT
from tests.integration.engine.test_postgres import SLEEPERS
from tests.integration.engine_driver import drive, new_invocation, open_engine, opened, write_files
from tests.integration.postgres import PostgresDatabase, postgres_env
from tests.integration.servers import wait_for

PROJECT = {
    "dbt_project.yml": "name: small\nversion: '1.0'\nprofile: small\n",
    "profiles.yml": """
small:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('SMALL_DB') }}", schema: main, threads: 2}
""",
    "models/one.sql": "select 1 as one",
    "models/two.sql": "select * from {{ ref('one') }}",
    "models/three.sql": "select * from {{ ref('two') }}",
}


class HostCounts:
    """Hears how many hosts there are."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def record(self, fact: Fact) -> None:
        """Keeps the counts."""
        if isinstance(fact, HostsCounted):
            self.counts.append(fact.count)


@pytest.fixture
def small(tmp_path: Path) -> ProjectLocation:
    write_files(tmp_path / "small", PROJECT)
    return ProjectLocation(tmp_path / "small", tmp_path / "small")


def limits(**environ: str) -> EngineLimits:
    """As a worker reads them."""
    return read_settings(environ).engine


def invocations(folder: Path, count: int) -> list[Any]:
    """Runs with a warehouse each."""
    return [
        new_invocation(command="run", env={"SMALL_DB": str(folder / f"{number}.duckdb")}) for number in range(count)
    ]


@pytest.mark.parametrize(("environ", "alone"), [({"DBT_TEMPORAL_MAX_HOSTS": "1"}, True), ({}, False)])
async def test_runs_share_as_many_hosts_as_there_may_be(
    tmp_path: Path, small: ProjectLocation, environ: dict[str, str], alone: bool
) -> None:
    heard = HostCounts()
    async with open_engine(tmp_path / "cache", limits=limits(**environ), telemetry=heard) as engine:
        all_three = invocations(tmp_path, 3)
        # Each needs a host at the same time, however slow the machine is: a host stays until its run has ended.
        await asyncio.gather(*(opened(engine, small, each).plan() for each in all_three))
        runs = await asyncio.gather(*(drive(engine, small, each) for each in all_three))
    assert [set(run.statuses().values()) for run in runs] == [{"success"}] * 3
    assert (max(heard.counts) == 1) is alone


async def test_a_run_waits_while_the_only_host_is_busy(tmp_path: Path, small: ProjectLocation) -> None:
    slow = "select count(*) as n from range(100000000) a(i), range(100000000) b(j) where (a.i * b.j) % 1000003 = 7"
    write_files(small.project_dir, {"models/slow.sql": "{{ config(materialized='table') }} " + slow})
    async with open_engine(tmp_path / "cache", limits=limits(DBT_TEMPORAL_MAX_HOSTS="1")) as engine:
        busy, waiting = invocations(tmp_path, 2)
        facts: dict[str, Any] = {}
        running = asyncio.ensure_future(opened(engine, small, busy).execute_node("model.small.slow", facts.update))
        await wait_for(lambda: _has_begun(facts))
        planning = asyncio.ensure_future(opened(engine, small, waiting).plan())
        done, _ = await asyncio.wait([planning], timeout=1)
        assert not done
        running.cancel()
        assert (await asyncio.wait_for(planning, 120)).plan.nodes
        await asyncio.gather(running, return_exceptions=True)


async def test_a_host_that_dies_makes_room_although_it_was_being_replaced(
    tmp_path: Path, postgres: PostgresDatabase
) -> None:
    write_files(tmp_path / "pg", PG_PROJECT)
    location = ProjectLocation(tmp_path / "pg", tmp_path / "pg")
    invocation = new_invocation(command="run", env=postgres_env(postgres, "PG"))
    one_that_is_always_too_large = limits(DBT_TEMPORAL_MAX_HOSTS="1", DBT_TEMPORAL_HOST_MEMORY_MB="1")
    async with open_engine(tmp_path / "cache", limits=one_that_is_always_too_large) as engine:
        facts: dict[str, Any] = {}
        dying = asyncio.ensure_future(
            opened(engine, location, invocation).execute_node("model.pg.sleeps", facts.update)
        )
        await wait_for(lambda: _sleeps(postgres), within=60, what="the node sleeps")
        # The first request that ends lets the host be measured, and the one after it needs a new one.
        await opened(engine, location, invocation).plan()
        waiting = asyncio.ensure_future(
            opened(engine, location, invocation).execute_node("model.pg.base", lambda _: None)
        )
        done, _ = await asyncio.wait([waiting], timeout=1)
        assert not done
        os.kill(facts["host_pid"], signal.SIGKILL)
        with pytest.raises(DbtTemporalError, match="killed by signal 9"):
            await asyncio.wait_for(dying, 120)
        assert (await asyncio.wait_for(waiting, 120)).result.status == "success"


async def _sleeps(database: PostgresDatabase) -> bool:
    return database.query(SLEEPERS) == [(1,)]


async def _has_begun(facts: dict[str, Any]) -> bool:
    return "host_pid" in facts


@pytest.mark.parametrize(("environ", "hosts"), [({"DBT_TEMPORAL_HOST_MEMORY_MB": "1"}, 3), ({}, 1)])
async def test_a_host_that_holds_too_much_memory_gets_no_further_node(
    tmp_path: Path, small: ProjectLocation, environ: dict[str, str], hosts: int
) -> None:
    (invocation,) = invocations(tmp_path, 1)
    pids = []
    async with open_engine(tmp_path / "cache", limits=limits(**environ)) as engine:
        for name in ("one", "two", "three"):
            facts: dict[str, Any] = {}
            outcome = await opened(engine, small, invocation).execute_node(f"model.small.{name}", facts.update)
            assert outcome.result.status == "success"
            pids.append(facts["host_pid"])
    assert len(set(pids)) == hosts


@pytest.mark.parametrize(("environ", "kept"), [({"DBT_TEMPORAL_PARSED_PROJECTS_MB": "1"}, 1), ({}, 2)])
async def test_parsed_projects_that_hold_too_much_memory_together_are_dropped_but_the_last(
    tmp_path: Path, small: ProjectLocation, environ: dict[str, str], kept: int
) -> None:
    async with open_engine(tmp_path / "cache", limits=limits(**environ)) as engine:
        for invocation in invocations(tmp_path, 2):
            await opened(engine, small, invocation).plan()
            await engine.end_run(invocation.invocation_id)

        async def are_kept() -> bool:
            return len(list((tmp_path / "cache").glob("**/parents/*"))) == kept

        await wait_for(are_kept, within=60, what=f"{kept} parsed projects are kept")
