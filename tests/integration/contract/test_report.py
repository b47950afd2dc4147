"""The report that a run of dbt stores beside its artifacts, of a project with failures, and of a cancelled run."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings
from dbt_temporal.application.ports.runs import Ending
from dbt_temporal.domain.results import ArtifactPaths
from dbt_temporal.entrypoints.cli.operators.told import print_logs, print_results
from dbt_temporal.entrypoints.cli.submit import Target
from tests.integration.engine_driver import copy_project
from tests.integration.run_harness import DbtHarness
from tests.integration.servers import wait_for

pytestmark = pytest.mark.every_dbt_version

NAMES = (
    "unique_id", "name", "kind", "status", "ready", "started", "began", "taken", "ended", "seconds", "attempts",
    "failed", "text", "parent", "path", "critical",
)  # fmt: skip


def rows_of(page: str) -> dict[str, dict[str, Any]]:
    """What the page's script shows, by unique_id."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    rows = json.loads(found[1])["rows"]
    return {row[0]: dict(zip(NAMES, row, strict=True)) for row in rows}


@pytest.fixture(scope="module")
async def runs(dbt_workers: Callable[[], DbtHarness], tmp_path_factory: pytest.TempPathFactory) -> DbtHarness:
    folder = tmp_path_factory.mktemp("reported")
    runs = dbt_workers()
    await runs.load(copy_project("tests/projects/with_failures", folder / "project"))
    return runs


async def test_a_failed_run_has_a_report_of_all_its_nodes(runs: DbtHarness, tmp_path: Path) -> None:
    outcome = await runs.run({"env": {"WITH_FAILURES_DB": str(tmp_path / "warehouse.duckdb")}})
    output = outcome.output
    assert output is not None
    assert output.report_path == str(runs.artifact(output, "report.html"))
    page = runs.artifact(output, "report.html").read_text()
    rows = rows_of(page)
    assert {each.unique_id for each in output.node_results} <= rows.keys()
    broken = rows["model.with_failures.sql_error"]
    assert (broken["status"], broken["path"]) == ("error", "models/broken/sql_error.sql")
    assert [reason for _, _, reason in broken["failed"]]
    child = rows["model.with_failures.sql_error_child"]
    assert (child["status"], child["started"]) == ("skipped", None)
    assert "model.with_failures.sql_error" in child["text"]
    for row in rows.values():
        if row["started"] is not None:
            assert row["ready"] <= row["started"] <= row["began"] <= row["ended"]
            assert row["taken"] is None or row["began"] <= row["taken"] <= row["ended"]
    compiled = json.loads(runs.artifact(output, "run_results.json").read_bytes())["results"]
    code = next(each["compiled_code"] for each in compiled if each["unique_id"] == "model.with_failures.sql_error")
    assert code.strip().splitlines()[0] in page


async def test_the_results_and_logs_of_a_run_are_told_at_a_terminal(
    runs: DbtHarness, temporal_address: str, tmp_path: Path
) -> None:
    run = await runs.submit({"env": {"WITH_FAILURES_DB": str(tmp_path / "warehouse.duckdb")}})
    await run.outcome()
    connection = ConnectionSettings(address=temporal_address, task_queue=runs.task_queue)
    target = Target(connection, TracingSettings(), {}, None)
    out = Console(file=io.StringIO(), width=200)
    await print_results(target, run.workflow_id, None, True, out)
    assert isinstance(out.file, io.StringIO)
    told = {each["unique_id"]: each for each in map(json.loads, out.file.getvalue().splitlines())}
    stored = runs.folder / await runs.gateway.invocation_id(run.workflow_id) / "run_results.json"
    assert list(told) == [each["unique_id"] for each in json.loads(stored.read_bytes())["results"]]
    assert told["model.with_failures.sql_error"]["status"] == "error"
    out = Console(file=io.StringIO(), width=200)
    await print_logs(target, run.workflow_id, "sql_error", None, out)
    assert isinstance(out.file, io.StringIO)
    assert "no_such_column" in out.file.getvalue()


async def test_the_second_run_is_compared_with_the_first(runs: DbtHarness, tmp_path: Path) -> None:
    run_input = {"command": "seed", "env": {"WITH_FAILURES_DB": str(tmp_path / "warehouse.duckdb")}}
    first, second = (await runs.run(run_input)).output, (await runs.run(run_input)).output
    assert first is not None
    assert second is not None
    assert first.invocation_id in runs.artifact(second, "report.html").read_text()


async def test_a_cancelled_run_has_a_report_too(dbt_workers: Callable[[], DbtHarness], tmp_path: Path) -> None:
    runs = dbt_workers()
    await runs.load(copy_project("tests/projects/slow", tmp_path / "project"))
    run = await runs.submit({"env": {"SLOW_DB": str(tmp_path / "warehouse.duckdb")}, "vars": {"seconds": 60}})

    async def slow_is_running() -> bool:
        statuses = await run.handle.query("node_status")
        return bool(statuses.get("model.slow.slow") == "running")

    await wait_for(slow_is_running, within=60)
    await run.cancel()
    assert (await run.outcome()).ending is Ending.CANCELLED
    place = runs.folder / await runs.gateway.invocation_id(run.workflow_id) / "report.html"
    stored = await runs.gateway.stored(run.workflow_id)
    assert stored is not None
    assert stored.report_path == str(place)
    assert stored.artifacts == ArtifactPaths(
        run_results_path=str(place.with_name("run_results.json")),
        manifest_path=str(place.with_name("manifest.json")),
        log_path=str(place.with_name("log.txt")),
    )
    assert '<span class="word cancelled">cancelled</span>' in place.read_text()


async def test_a_failed_run_tells_where_to_look_next(runs: DbtHarness, tmp_path: Path) -> None:
    env = {"WITH_FAILURES_DB": str(tmp_path / "warehouse.duckdb")}
    run_input = {"env": env, "select": "+sql_error +stored"}
    outcome = await runs.run(run_input)
    output = outcome.output
    assert output is not None
    told = {each.name: each for each in output.failed_nodes or ()}
    assert told.keys() >= {"sql_error", "stored_failure"}
    model, table = told["sql_error"], told["stored_failure"]
    assert model.path == "models/broken/sql_error.sql"
    assert not model.found_rows
    place = runs.artifact(output, "compiled/model.with_failures.sql_error.sql")
    assert model.code_path == str(place)
    compiled = json.loads(runs.artifact(output, "run_results.json").read_bytes())["results"]
    results = {each["unique_id"]: each for each in compiled}
    assert place.read_text().strip() == results["model.with_failures.sql_error"]["compiled_code"].strip()
    assert table.found_rows
    assert table.path == "models/quality/_quality.yml"
    assert table.stored_failures == results[table.unique_id]["relation_name"]
    assert str(table.stored_failures).endswith('"stored_failure"')
    (without_table,) = [each for name, each in told.items() if name.startswith("relationships_stg_events")]
    assert [line.text.strip() for line in without_table.lines if line.is_named] == [
        "on child.from_field = parent.to_field"
    ]
