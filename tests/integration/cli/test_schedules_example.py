"""examples/schedules does what its README says: its commands, on a real server, with dbt."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import duckdb
from click.testing import CliRunner

from dbt_temporal.adapters.temporal.schedules.known import KnownSchedules
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.errors import DbtTemporalError
from dbt_temporal.entrypoints.cli.main import cli
from tests.integration.run_harness import DbtHarness
from tests.integration.servers import wait_for
from tests.unit.repository.doc_pages import ROOT, Page

README = Page("examples/schedules/README.md")


async def test_the_commands_of_the_readme_run_each_time_that_they_are_for(
    dbt_workers: Callable[[], DbtHarness], temporal_address: str, tmp_path: Path
) -> None:
    runs = dbt_workers()
    folder = tmp_path / "visits"
    shutil.copytree(ROOT / "examples/schedules", folder)
    profiles = folder / "profiles.yml"
    profiles.write_text(profiles.read_text().replace("visits.duckdb", str(tmp_path / "visits.duckdb")))
    await runs.load(ProjectLocation(folder, folder))
    await runs.start_worker()
    name = uuid4().hex[:8]
    [nightly], [hourly], [backfill] = (README.blocks("bash", kind) for kind in ("nightly", "hourly", "backfill"))
    schedules = KnownSchedules(runs.client, runs.task_queue)
    # The model of the rows first, on which both stand.
    assert (await runs.run({"command": "run", "select": "visits"})).ending is Ending.COMPLETED
    try:
        await invoked(runs, temporal_address, hourly, f"hourly-{name}")
        await invoked(runs, temporal_address, nightly, f"nightly-{name}")
        told = await invoked(runs, temporal_address, backfill, f"hourly-{name}")
        assert "starts 3 runs" in told
        for hour in (6, 7, 8):
            run = f"dbt-run-hourly-{name}-2026-01-15T{hour:02}:10:00Z"
            assert await outcome(runs, run) is Ending.COMPLETED
        nights = "dbt-temporal schedule backfill nightly --start-time 2026-01-15T00:00:00Z --end-time 2026-01-17"
        assert "starts 2 runs" in await invoked(runs, temporal_address, nights, f"nightly-{name}")
        for day in (15, 16):
            assert await outcome(runs, f"dbt-build-nightly-{name}-2026-01-{day}T01:30:00Z") is Ending.COMPLETED
    finally:
        for schedule_id in (f"hourly-{name}", f"nightly-{name}"):
            await schedules.delete(schedule_id)
    with duckdb.connect(str(tmp_path / "visits.duckdb"), read_only=True) as database:
        hours = database.sql(
            "select strftime(hour, '%Y-%m-%d %H') as h, visits from visits_by_hour order by 1"
        ).fetchall()
        days = database.sql("select cast(day as text), visits from report order by 1").fetchall()
    assert hours == [("2026-01-15 05", 4), ("2026-01-15 06", 4), ("2026-01-15 07", 4)]
    assert days == [("2026-01-14", 96), ("2026-01-15", 96)]


async def invoked(runs: DbtHarness, address: str, command: str, schedule_id: str) -> str:
    """A command of the README, for a schedule of the test's own, which begins as paused."""
    words = shlex.split(command)[1:]
    place = words.index("--") if "--" in words else len(words)
    extra = ["--address", address, "--task-queue", runs.task_queue]
    words[2] = schedule_id
    args = [*words[:place], *extra, *(["--paused"] if words[1] == "create" else []), *words[place:]]
    result = await asyncio.to_thread(CliRunner().invoke, cli, args)
    assert result.exit_code == 0, result.output
    return str(result.output)


async def started(runs: DbtHarness, workflow_id: str) -> bool:
    try:
        await runs.gateway.invocation_id(workflow_id)
    except DbtTemporalError:
        return False
    return True


async def outcome(runs: DbtHarness, workflow_id: str) -> Ending:
    """How a run ends that a schedule starts, perhaps not yet."""
    await wait_for(lambda: started(runs, workflow_id), what=f"{workflow_id} is started")
    return (await runs.gateway.find(workflow_id).outcome()).ending
