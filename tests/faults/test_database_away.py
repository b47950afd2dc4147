"""A database that takes no connections for a while: the run waits for it, and goes on."""

from __future__ import annotations

from pathlib import Path

from tests.faults.doors import door_to
from tests.faults.test_side_by_side import SLEEPS_LONG, SLEEPS_NO_MORE
from tests.integration.engine_driver import write_files
from tests.integration.servers import wait_for
from tests.integration.worker.test_shutdown import Site

APPENDS = (
    "{{ config(materialized='incremental', incremental_strategy='append') }} "
    "select 1 as one from pg_sleep((select max(secs) from public.nap))"
)
AFTER = "{{ config(materialized='table') }} select * from {{ ref('sleeps') }}"
SETTINGS = "retry: {max_attempts: 2, initial_interval_secs: 0.2}\nbreaker: {probe_secs: 0.5}\n"


async def test_a_run_waits_for_a_database_that_is_away_and_writes_once(site: Site, tmp_path: Path) -> None:
    write_files(tmp_path / "pg", {"models/after.sql": AFTER, "dbt_temporal.yml": SETTINGS})
    site.database.execute(SLEEPS_LONG)
    async with door_to(site.database.port) as door:
        await site.worker(PG_PORT=str(door.port))
        run = await site.run()
        await door.shut()
        lines: list[str] = []

        async def says(text: str) -> bool:
            snapshot = await run.snapshot(with_nodes=False)
            lines.extend(snapshot.new_log_lines if snapshot is not None else ())

            return any(text in line for line in lines)

        await wait_for(lambda: says("The database takes no connections"), what="the run waits")
        assert any("no connections (connection to server" in line and "refused)" in line for line in lines)
        site.database.execute(SLEEPS_NO_MORE)
        await door.open()
        outcome = await run.outcome()
        assert outcome.output is not None, outcome.message
        statuses = {each.unique_id.rsplit(".", 1)[-1]: each.status for each in outcome.output.node_results}
        assert statuses == {"sleeps": "success", "after": "success"}
        assert site.count("select count(*) from main.sleeps") == 1
        assert await says("The database takes connections again")
