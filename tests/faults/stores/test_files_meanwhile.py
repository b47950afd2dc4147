"""The files of a project are broken while a run is under way: it ends on what it was planned on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from dbt_temporal.application.ports.runs import Ending
from tests.faults.phases.held import END, IN_DATABASE, NODE, PROJECT, START, STORE, HeldRun, HeldRuns, held_runs
from tests.integration.engine_driver import write_files
from tests.integration.fixtures_buckets import s3_endpoint
from tests.integration.postgres import PostgresDatabase
from tests.integration.sources.git_servers import Repository

__all__ = ["s3_endpoint"]

AFTER = "{{ config(materialized='table') }} select * from {{ ref('adds') }}"
BROKEN = {
    "project": {"dbt_project.yml": "name: pg\nprofile: [pg"},
    "model": {"models/after.sql": "{{ ref('gone') }"},
    "profile": {"profiles.yml": "pg: {target: gone, outputs: {}}"},
    "settings": {"dbt_temporal.yml": "retry: {max_attempts: none at all}"},
}


@pytest.fixture
async def runs(
    tmp_path: Path, temporal_address: str, postgres: PostgresDatabase, temporal_client: Client, s3_endpoint: str
) -> AsyncIterator[HeldRuns]:
    async with held_runs(tmp_path, temporal_address, postgres, temporal_client, s3_endpoint) as runs:
        write_files(tmp_path / "pg", {"models/after.sql": AFTER})
        yield runs


async def test_a_run_ends_on_the_files_that_it_was_planned_on_whatever_is_broken_meanwhile(
    runs: HeldRuns, tmp_path: Path
) -> None:
    await runs.worker()
    for number, (what, files) in enumerate(BROKEN.items(), 1):
        run = await runs.begin()
        await run.reaches(NODE)
        write_files(tmp_path / "pg", files)
        later = await (await runs.begin()).run.outcome()
        assert (later.ending, later.output) == (Ending.FAILED, None), (what, later.message)
        assert later.error_type in ("Configuration", "Compilation"), (what, later.message)
        for phase in (NODE, END, STORE):
            await run.let_go(phase)
        outcome = await run.run.outcome()
        assert outcome.ending is Ending.COMPLETED, (what, outcome.message)
        assert run.rows() == dict.fromkeys(IN_DATABASE, 1), what
        assert runs.site.count("select count(*) from main.after") == number, what
        assert set((await run.statuses()).values()) == {"success"}, what
        write_files(tmp_path / "pg", {**PROJECT, "models/after.sql": AFTER})


async def test_a_run_ends_on_the_commit_that_its_branch_had_and_the_next_worker_takes_the_new_one(
    runs: HeldRuns, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "shop.git")
    told = "{{{{ config(materialized='table') }}}} select '{commit}' as told, * from {{{{ ref('adds') }}}}"
    repository.commit({**PROJECT, "models/after.sql": told.format(commit="first")})

    async def ends_with(run: HeldRun, commit: str) -> None:
        for phase in (NODE, END, STORE):
            await run.let_go(phase)
        outcome = await run.run.outcome()
        assert outcome.ending is Ending.COMPLETED, outcome.message
        assert run.rows() == dict.fromkeys(IN_DATABASE, 1)
        assert runs.site.count(f"select count(*) from main.after where told = '{commit}' and run = '{run.id}'") == 1

    url = f"git+file://{repository.folder}#main"
    first = await runs.worker(DBT_PROJECT_DIRS=url)
    run = await runs.begin()
    await run.reaches(NODE)
    repository.commit({"models/after.sql": told.format(commit="second")})
    await ends_with(run, "first")
    first.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.ended) == 0
    await runs.worker(DBT_PROJECT_DIRS=url)
    later = await runs.begin()
    await later.let_go(START)
    await ends_with(later, "second")
