"""What a run of dbt leaves behind: artifacts, logs and output, beside those of the dbt command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.artifacts.schemas.manifest import WritableManifest
from dbt.artifacts.schemas.run import RunResultsArtifact
from temporalio.api.history.v1 import HistoryEvent

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import DbtRunOutput
from tests.integration.engine_driver import copy_project, write_files
from tests.integration.equality.compare import manifest_difference, run_cli, run_results_difference
from tests.integration.equality.compare_relations import relation_differences
from tests.integration.run_harness import DbtHarness, history, scheduled
from tests.integration.servers import wait_for

pytestmark = pytest.mark.every_dbt_version


COLOURS = re.compile(r"\x1b\[[\d;]*m")
"""dbt colours the differences that a unit test finds, in run_results.json too."""


SEMANTIC = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "profiles.yml": """
shop: {target: dev, outputs: {dev: {type: duckdb, path: "{{ env_var('SHOP_DB', ':memory:') }}", schema: main}}}
""",
    "models/orders.sql": "select 1 as id, date '2024-01-01' as ordered_at, 2 as amount",
    "models/days.sql": "select date '2024-01-01' as day",
    "models/_models.yml": """
models:
  - name: days
    time_spine: {standard_granularity_column: day}
    columns: [{name: day, granularity: day}]
semantic_models:
  - name: orders
    model: ref('orders')
    defaults: {agg_time_dimension: ordered_at}
    entities: [{name: id, type: primary}]
    dimensions: [{name: ordered_at, type: time, type_params: {time_granularity: day}}]
    measures: [{name: amount, agg: sum}]
metrics:
  - {name: revenue, label: Revenue, type: simple, type_params: {measure: amount}}
""",
}


@dataclass(frozen=True)
class BuiltProject:
    """One `build` of a project with failures, by the workflow."""

    runs: DbtHarness
    project: Path
    database: Path
    outcome: Outcome
    output: DbtRunOutput
    events: list[HistoryEvent]
    run_log: list[str]

    def document(self, name: str) -> Any:
        """An artifact."""
        return json.loads(self.runs.artifact(self.output, name).read_bytes())

    def run_results(self) -> dict[str, Any]:
        """The results of run_results.json by unique_id."""
        return {result["unique_id"]: result for result in self.document("run_results.json")["results"]}


@pytest.fixture(scope="module")
async def built(dbt_workers: Callable[[], DbtHarness], tmp_path_factory: pytest.TempPathFactory) -> BuiltProject:
    folder = tmp_path_factory.mktemp("built")
    location = copy_project("tests/projects/with_failures", folder / "project")
    (folder / "ours").mkdir()
    database = folder / "ours" / "warehouse.duckdb"
    runs = dbt_workers()
    await runs.load(location)
    run = await runs.submit({"env": {"WITH_FAILURES_DB": str(database)}})
    outcome = await run.outcome()
    assert outcome.output is not None, outcome
    run_log = await run.handle.query("run_log")
    return BuiltProject(
        runs, location.project_dir, database, outcome, outcome.output, await history(run.handle), run_log
    )


@pytest.fixture(scope="module")
def by_cli(built: BuiltProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the command line's artifacts and database, of the same command."""
    folder = tmp_path_factory.mktemp("theirs")
    run_cli(["build"], built.project, folder, {"WITH_FAILURES_DB": str(folder / "warehouse.duckdb")})
    return folder


def test_a_failed_run_stores_what_the_command_line_writes(built: BuiltProject, by_cli: Path) -> None:
    ours = built.runs.folder / built.output.invocation_id
    assert run_results_difference((ours / "run_results.json").read_bytes(), by_cli / "run_results.json") == []
    assert manifest_difference((ours / "manifest.json").read_bytes(), by_cli / "manifest.json") == []


async def test_semantic_models_and_metrics_are_stored_as_the_command_line_writes_them(
    dbt_workers: Callable[[], DbtHarness], tmp_path: Path
) -> None:
    write_files(tmp_path / "project", SEMANTIC)
    runs = dbt_workers()
    await runs.load(ProjectLocation(tmp_path / "project", tmp_path / "project"))
    output = (await runs.run({"env": {"SHOP_DB": str(tmp_path / "shop.duckdb")}})).output
    assert output is not None
    assert output.success
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    run_cli(["build"], tmp_path / "project", theirs, {"SHOP_DB": str(theirs / "shop.duckdb")})
    ours = json.loads(runs.artifact(output, "semantic_manifest.json").read_bytes())
    assert [metric["name"] for metric in ours["metrics"]] == ["revenue"]
    assert ours == json.loads((theirs / "semantic_manifest.json").read_bytes())


def test_a_failed_run_builds_the_relations_that_the_command_line_builds(built: BuiltProject, by_cli: Path) -> None:
    assert relation_differences(built.database, by_cli / "warehouse.duckdb") == []


def test_the_artifacts_are_read_by_dbts_own_classes(built: BuiltProject) -> None:
    artifacts = built.output.artifacts
    assert artifacts is not None
    assert artifacts.run_results_path is not None
    assert artifacts.manifest_path is not None
    results = RunResultsArtifact.read_and_check_versions(artifacts.run_results_path)
    manifest = WritableManifest.read_and_check_versions(artifacts.manifest_path)
    assert results.metadata.invocation_id == manifest.metadata.invocation_id == built.output.invocation_id
    assert len(results.results) == 79
    assert "model.with_failures.sql_error" in manifest.nodes


def test_every_node_of_the_output_has_the_contracts_word_beside_dbts(built: BuiltProject) -> None:
    words = {
        "success": "success",
        "pass": "success",
        "warn": "success",
        "no-op": "success",
        "error": "error",
        "fail": "error",
        "partial success": "error",
        "skipped": "skipped",
    }
    recorded = built.run_results()
    assert {each.unique_id for each in built.output.node_results} == {
        unique_id for unique_id in recorded if not unique_id.startswith("operation.")
    }
    for each in built.output.node_results:
        theirs = recorded[each.unique_id]
        assert each.dbt_status == theirs["status"]
        assert each.status == words[theirs["status"]]
        if each.status == "skipped":
            continue
        assert each.execution_time == pytest.approx(theirs["execution_time"])
        message = theirs["message"] and COLOURS.sub("", theirs["message"])
        # Of a microbatch model ours goes on with why batches failed, which dbt says in its log alone.
        said = each.message and each.message[: len(message or "")] if each.batch_results else each.message
        assert (said, each.failures) == (message, theirs["failures"])
        assert each.adapter_response == theirs["adapter_response"]
        assert [instants(phase.model_dump()) for phase in each.timing] == [
            instants(phase) for phase in theirs["timing"]
        ]
        assert each.compiled_code is None, "it is in run_results.json"


def instants(phase: dict[str, str]) -> list[Any]:
    return [phase["name"], *(datetime.fromisoformat(phase[key]) for key in ("started_at", "completed_at"))]


def test_a_skipped_node_says_for_which_one(built: BuiltProject) -> None:
    reasons = {each.unique_id: each.message for each in built.output.node_results if each.status == "skipped"}
    assert len(reasons) == 22
    assert reasons["model.with_failures.sql_error_grandchild"] == "model.with_failures.sql_error failed"
    assert reasons["model.with_failures.unit_tested_child"] == (
        "unit_test.with_failures.unit_tested.worth_is_wrong failed"
    )
    assert all(reasons.values())


def results_that_on_run_end_saw(database: Path) -> list[tuple[Any, ...]]:
    """What the project's on-run-end hooks wrote down: each status, how often; and the schemas."""
    with closing(duckdb.connect(str(database), read_only=True)) as connection:
        return connection.execute(
            "select subject, detail from wf.hook_log where hook = 'on-run-end' order by subject"
        ).fetchall()


def test_project_hooks_are_in_run_results_and_see_the_results(built: BuiltProject, by_cli: Path) -> None:
    hooks = {uid: result["status"] for uid, result in built.run_results().items() if uid.startswith("operation.")}
    assert len(hooks) == 3
    assert set(hooks.values()) == {"success"}
    seen = results_that_on_run_end_saw(built.database)
    assert ("error", "9") in seen
    assert seen == results_that_on_run_end_saw(by_cli / "warehouse.duckdb")


def test_the_failure_counts_names_and_carries_the_output(built: BuiltProject) -> None:
    assert (built.outcome.ending, built.outcome.error_type) == (Ending.FAILED, "DbtRunFailed")
    message = built.outcome.message or ""
    failed = [each for each in built.output.node_results if each.status == "error"]
    assert message.startswith(f"{len(failed)} of {len(built.output.node_results)} nodes failed: ")
    assert failed[0].unique_id in message
    assert message.endswith(f"and {len(failed) - 5} more")
    assert not built.output.success


def test_the_text_that_dbt_logged_is_kept_by_node_and_linked_from_its_failure(built: BuiltProject) -> None:
    logs = built.runs.folder / built.output.invocation_id / "logs"
    ran = {each.unique_id for each in built.output.node_results if each.status != "skipped"}
    # dbt gives ephemeral models no result; the message that names one stands in its user's.
    assert {path.name.removesuffix(".log") for path in logs.iterdir()} >= ran
    failure = next(
        event.activity_task_failed_event_attributes.failure.message
        for event in built.events
        if "model sql_error " in event.activity_task_failed_event_attributes.failure.message
    )
    link = re.search(r"^Log of this node: (.+)$", failure, re.MULTILINE)
    assert link is not None
    assert Path(link[1]) == logs / "model.with_failures.sql_error.log"
    assert "does_not_exist" in failure or "not found" in failure
    assert "sql_error" in Path(link[1]).read_text()


def test_what_assembled_the_artifacts_is_deleted(built: BuiltProject) -> None:
    assert {path.name for path in (built.runs.folder / built.output.invocation_id).iterdir()} == {
        "compiled",
        "logs",
        "log.txt",
        "manifest.json",
        "report.html",
        "run.json",
        "run_results.json",
        "semantic_manifest.json",
    }


def test_the_log_holds_every_node_in_the_order_of_events_and_dbts_summary(built: BuiltProject) -> None:
    assert built.output.log_path == str(built.runs.artifact(built.output, "log.txt"))
    lines = built.runs.artifact(built.output, "log.txt").read_text().splitlines()
    assert lines == built.run_log
    assert lines[-1] == "Done. PASS=39 WARN=3 ERROR=15 SKIP=22 NO-OP=0 TOTAL=79"
    numbered = [line for line in lines if re.match(r"\d+ of \d+ (START|SKIP) ", line)]
    assert len(numbered) == len(built.output.node_results)
    assert [int(line.split()[0]) for line in numbered] == list(range(1, len(numbered) + 1))
    broken = lines.index(next(line for line in lines if "START table_model wf.sql_error" in line))
    ended = lines.index(next(line for line in lines if "=> table_model wf.sql_error " in line and "[ERROR" in line))
    skip = lines.index(next(line for line in lines if "SKIP view_model wf.sql_error_child" in line))
    assert broken < ended < skip
    assert lines[skip].endswith("[model.with_failures.sql_error failed]")


def test_nothing_is_tried_again_that_cannot_help(built: BuiltProject) -> None:
    started = [line for line in built.run_log if " START " in line]
    batches = [line for line in built.run_log if re.match(r" *=> batch \d+ of ", line) and "[SKIP" not in line]
    batched = [each for each in built.output.node_results if each.batch_results]
    # Two versions of a model share a name, so names are counted, not compared. A microbatch model is a step before its
    # batches, and one after them.
    assert len([name for name in scheduled(built.events) if ":" in name]) == len(started) + len(batches) + len(batched)
    assert not [line for line in built.run_log if "RETRY" in line]


async def test_a_cancelled_run_stores_the_artifacts_of_what_was_done(
    dbt_workers: Callable[[], DbtHarness], tmp_path: Path
) -> None:
    runs = dbt_workers()
    await runs.load(copy_project("tests/projects/slow", tmp_path / "slow"))
    run = await runs.submit({"env": {"SLOW_DB": str(tmp_path / "warehouse.duckdb")}, "vars": {"seconds": 60}})

    async def slow_is_running() -> bool:
        statuses = await run.handle.query("node_status")
        return bool(statuses.get("model.slow.slow") == "running")

    await wait_for(slow_is_running, within=60)
    await run.cancel()
    assert (await run.outcome()).ending is Ending.CANCELLED
    run_id = (await run.handle.describe()).run_id
    results = RunResultsArtifact.read_and_check_versions(str(runs.folder / run_id / "run_results.json"))
    assert {result.unique_id: str(result.status) for result in results.results} == {
        "model.slow.before": "success",
        "model.slow.slow": "skipped",
        "model.slow.after": "skipped",
    }
    WritableManifest.read_and_check_versions(str(runs.folder / run_id / "manifest.json"))
    log = (runs.folder / run_id / "log.txt").read_text()
    assert "=> table_model slow_models.slow  [CANCELLED]" in log
    assert log.splitlines() == await run.handle.query("run_log")
