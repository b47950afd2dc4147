"""Operators at work on a node that adds rows: each row is written once, whatever they do to it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from dbt_temporal.adapters.temporal.gateway import TemporalRun
from tests.faults.test_side_by_side import APPENDS, SLEEPS_LONG, SLEEPS_NO_MORE
from tests.integration.engine_driver import write_files
from tests.integration.servers import wait_for
from tests.integration.worker.test_shutdown import SLEEPERS, Site

__all__ = ["APPENDS"]

NEEDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select writer, (select count(*) from public.delivered) as delivered from {{ ref('sleeps') }}"
)
AFTER = "{{ config(materialized='table') }} select * from {{ ref('needs') }}"


def operator(site: Site, *words: str) -> tuple[int, str]:
    """Says something by our command line; returns its exit code and its output."""
    done = site.desks[0].command(*words, "--address", site.address, "--task-queue", site.task_queue)
    return done.returncode, done.stdout + done.stderr


def rows(site: Site, relation: str = "main.sleeps") -> int:
    return site.count(f"select count(*) from {relation}")


async def test_a_node_that_is_reset_is_ended_in_the_database_and_writes_once(site: Site) -> None:
    site.database.execute(SLEEPS_LONG)
    await site.worker()
    run = await site.run()
    site.database.execute(SLEEPS_NO_MORE)  # the statement that sleeps has read how long before
    code, said = await asyncio.to_thread(operator, site, "node", run.workflow_id, "sleeps", "reset")
    assert (code, said.strip()) == (0, "model:sleeps has its statement ended, and begins again")
    outcome = await run.outcome()
    assert outcome.output is not None, outcome.message
    assert outcome.output.success
    assert (rows(site), site.count(SLEEPERS)) == (1, 0)


async def test_a_run_that_is_repaired_in_place_does_nothing_twice(site: Site, tmp_path: Path) -> None:
    write_files(tmp_path / "pg", {"models/needs.sql": NEEDS, "models/after.sql": AFTER})
    site.database.execute(SLEEPS_LONG, SLEEPS_NO_MORE)
    await site.worker(ARTIFACT_STORE=str(tmp_path / "store"), WRITE_ARTIFACTS="true")
    run = await site.gateway.submit({"command": "build", "on_failure": "hold"}, f"repaired-{site.task_queue}")
    await until_kept_open(run)
    statuses = await run.handle.query("node_status")
    assert statuses == {"model.pg.sleeps": "success", "model.pg.needs": "error", "model.pg.after": "skipped"}
    code, said = await asyncio.to_thread(operator, site, "node", run.workflow_id, "after", "sleeps", "retry")
    assert code == 2
    assert "model.pg.sleeps cannot be retried: it has succeeded" in said
    site.database.execute("create table public.delivered as select 1 as one")
    code, said = await asyncio.to_thread(operator, site, "node", run.workflow_id, "needs", "retry")
    assert (code, said.strip()) == (0, "model.pg.needs runs again, or makes its next attempt now")
    outcome = await run.outcome()
    assert outcome.output is not None, outcome.message
    assert outcome.output.success
    assert [rows(site, f"main.{name}") for name in ("sleeps", "needs", "after")] == [1, 1, 1]
    assert outcome.output.artifacts is not None
    results = read(outcome.output.artifacts.run_results_path)["results"]
    assert [(each["unique_id"], each["status"]) for each in results] == [
        ("model.pg.sleeps", "success"),
        ("model.pg.needs", "success"),
        ("model.pg.after", "success"),
    ]
    nodes = read(outcome.output.artifacts.manifest_path)["nodes"]
    assert all(nodes[f"model.pg.{name}"]["compiled_code"] for name in ("sleeps", "needs", "after"))


async def test_a_run_that_is_kept_open_goes_on_with_a_mended_model(site: Site, tmp_path: Path) -> None:
    write_files(tmp_path / "pg", {"models/needs.sql": NEEDS.replace("writer", "no_such"), "models/after.sql": AFTER})
    site.database.execute(SLEEPS_LONG, SLEEPS_NO_MORE, "create table public.delivered as select 1 as one")
    await site.worker(ARTIFACT_STORE=str(tmp_path / "store"), WRITE_ARTIFACTS="true")
    run = await site.gateway.submit({"command": "build", "on_failure": "hold"}, f"mended-{site.task_queue}")
    await until_kept_open(run)
    write_files(tmp_path / "pg", {"models/needs.sql": NEEDS, "models/last.sql": AFTER.replace("needs", "after")})
    words = ("node", run.workflow_id, "needs", "retry")
    code, said = await asyncio.to_thread(operator, site, *words, "--new-revision")
    assert code == 0, said
    assert "The run goes on with revision" in said
    outcome = await run.outcome()
    assert outcome.output is not None, outcome.message
    assert outcome.output.success
    assert [rows(site, f"main.{name}") for name in ("sleeps", "needs", "after", "last")] == [1, 1, 1, 1]
    assert outcome.output.artifacts is not None
    nodes = read(outcome.output.artifacts.manifest_path)["nodes"]
    assert "no_such" not in nodes["model.pg.needs"]["compiled_code"]
    assert nodes["model.pg.last"]["compiled_code"]
    assert len(read(outcome.output.artifacts.run_results_path)["results"]) == len(nodes)


async def until_kept_open(run: TemporalRun) -> None:
    async def kept_open() -> bool:
        return any("The run is kept open until" in line for line in await run.handle.query("run_log"))

    await wait_for(kept_open, what="the run is kept open")


def read(place: str | None) -> Any:
    assert place is not None
    return json.loads(Path(url2pathname(place.removeprefix("file://"))).read_text())
