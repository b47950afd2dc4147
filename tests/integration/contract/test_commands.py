"""Every command of dbt through the workflow, and what dbt's own rules make of hooks and failures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dbt.artifacts.schemas.freshness import FreshnessExecutionResultArtifact
from dbt.version import __version__ as dbt_version

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult
from tests.integration.engine_driver import copy_project, write_files
from tests.integration.equality.compare import run_cli, run_results_difference
from tests.integration.run_harness import DbtHarness, history, scheduled

pytestmark = pytest.mark.every_dbt_version

DBT_1_12 = tuple(int(part) for part in dbt_version.split(".")[:2]) >= (1, 12)


class Shop:
    """The example, whose freshness checks are made to warn and to fail; commands run in it one after the other."""

    def __init__(self, runs: DbtHarness, database: Path) -> None:
        self.runs = runs
        self._env = {"JAFFLE_SHOP_DB": str(database)}

    async def run(self, command: str, **fields: Any) -> Outcome:
        return await self.runs.run({"command": command, "env": self._env, **fields})

    async def output(self, command: str, **fields: Any) -> DbtRunOutput:
        outcome = await self.run(command, **fields)
        assert outcome.ending is Ending.COMPLETED, outcome.message
        assert outcome.output is not None
        return outcome.output


@pytest.fixture(scope="module")
async def shop(dbt_workers: Callable[[], DbtHarness], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    location = copy_project("examples/jaffle-shop", folder / "project")
    sources = location.project_dir / "models" / "staging" / "_sources.yml"
    text = sources.read_text().replace("warn_after: {count: 36500,", "warn_after: {count: 1,")
    sources.write_text(text.replace("warn_after: {count: 2,", "error_after: {count: 2,"))
    shop = Shop(dbt_workers(), folder / "shop.duckdb")
    await shop.runs.load(location)
    await shop.output("build")
    return shop


def kinds(output: DbtRunOutput) -> set[str]:
    return {result.unique_id.partition(".")[0] for result in output.node_results}


@pytest.mark.parametrize(
    ("command", "kind", "word"),
    [("seed", "seed", "success"), ("run", "model", "success"), ("snapshot", "snapshot", "success")],
)
async def test_a_command_runs_its_kind_of_node(shop: Shop, command: str, kind: str, word: str) -> None:
    output = await shop.output(command)
    assert kinds(output) == {kind}
    assert {result.dbt_status for result in output.node_results} == {word}
    assert output.artifacts is not None
    assert output.artifacts.run_results_path is not None


async def test_test_runs_data_tests_and_unit_tests(shop: Shop) -> None:
    output = await shop.output("test")
    assert kinds(output) == {"test", "unit_test"}
    assert {result.dbt_status for result in output.node_results} <= {"pass", "warn"}


async def test_build_is_the_default_and_runs_all_kinds(shop: Shop) -> None:
    run = await shop.runs.submit({"env": shop._env})
    outcome = await run.outcome()
    assert outcome.output is not None
    assert kinds(outcome.output) >= {"seed", "model", "snapshot", "test", "unit_test"}


async def test_compile_returns_the_code_and_runs_nothing_in_the_database(shop: Shop) -> None:
    output = await shop.output("compile", select="dim_products")
    (result,) = [each for each in output.node_results if each.unique_id == "model.jaffle_shop.dim_products"]
    assert result.compiled_code is not None
    assert "{{" not in result.compiled_code
    assert result.adapter_response == {}
    others = await shop.output("run", select="dim_products")
    assert [(each.compiled_code, each.output) for each in others.node_results] == [(None, None)]


async def test_list_returns_the_nodes_and_starts_no_activity_for_them(shop: Shop) -> None:
    run = await shop.runs.submit({"command": "list", "select": "resource_type:seed", "env": shop._env})
    outcome = await run.outcome()
    assert outcome.output is not None
    listed = {each.unique_id: each.message for each in outcome.output.node_results}
    assert listed["seed.jaffle_shop.raw_orders"] == "jaffle_shop.raw_orders"
    assert scheduled(await history(run.handle)) == ["plan_project", "store_artifacts", "end_run"]
    assert outcome.output.artifacts is not None
    assert outcome.output.artifacts.manifest_path is not None
    assert outcome.output.artifacts.run_results_path is None


async def test_source_freshness_tells_what_it_found_and_fails_for_a_stale_source(shop: Shop) -> None:
    run = await shop.runs.submit({"command": "source-freshness", "env": shop._env})
    outcome = await run.outcome()
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "DbtRunFailed")
    assert "source.jaffle_shop.shop.raw_payments (StaleSource" in (outcome.message or "")
    assert outcome.output is not None
    found = {each.unique_id.rpartition(".")[2]: each for each in outcome.output.node_results}
    warned, stale = found["raw_orders"], found["raw_payments"]
    assert (warned.status, warned.dbt_status, stale.status, stale.dbt_status) == ("success", "warn", "error", "error")
    assert warned.freshness is not None
    assert warned.freshness.status == "warn"
    assert warned.freshness.max_loaded_at is not None
    assert warned.freshness.snapshotted_at is not None
    assert (warned.freshness.max_loaded_at_time_ago_in_s or 0) > 86400
    assert warned.freshness.criteria["warn_after"] == {"count": 1, "period": "day"}
    log = "\n".join(await run.handle.query("run_log"))
    assert re.search(r"raw_orders  \[WARN in \d+\.\d\ds\]  \d+d \d\dh old, more than 1 day\n", log), log
    names = scheduled(await history(run.handle))
    assert names.count("source:raw_payments") == 1, "a stale source is not tried again"


async def test_source_freshness_writes_sources_json_as_dbt_reads_it(shop: Shop) -> None:
    outcome = await shop.run("source-freshness")
    assert outcome.output is not None
    assert outcome.output.artifacts is not None
    assert outcome.output.artifacts.sources_path is not None
    artifact = FreshnessExecutionResultArtifact.read_and_check_versions(outcome.output.artifacts.sources_path)
    assert {result.unique_id.rpartition(".")[2] for result in artifact.results} == {"raw_orders", "raw_payments"}


async def test_what_dbt_refuses_fails_as_configuration_in_dbts_words_and_runs_nothing(shop: Shop) -> None:
    for wrong, words in (
        ({"selector": "no_such_selector"}, "no_such_selector"),
        ({"select": "unheard_of:x"}, "unheard_of"),
        ({"target": "nowhere"}, "nowhere"),
    ):
        run = await shop.runs.submit({**wrong, "env": shop._env})
        outcome = await run.outcome()
        assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration"), outcome
        assert words in (outcome.message or "")
        assert scheduled(await history(run.handle)) == ["plan_project"]


async def test_selection_vars_and_target_reach_dbt(shop: Shop) -> None:
    output = await shop.output(
        "run", select="marts", exclude="fct_orders", vars={"regular_from_orders": 2}, target="dev"
    )
    ids = {each.unique_id for each in output.node_results}
    assert "model.jaffle_shop.dim_customers" in ids
    assert "model.jaffle_shop.fct_orders" not in ids
    args = json.loads(shop.runs.artifact(output, "run_results.json").read_bytes())["args"]
    assert (args["vars"], args["target"]) == ({"regular_from_orders": 2}, "dev")


async def test_a_named_selector_and_indirect_selection_reach_dbt(shop: Shop) -> None:
    eager = await shop.output("test", select="stg_orders")
    careful = await shop.output("test", select="stg_orders", indirect_selection="cautious")
    assert {each.unique_id for each in careful.node_results} < {each.unique_id for each in eager.node_results}


async def test_defer_reads_from_where_the_manifest_says_what_is_not_selected(shop: Shop) -> None:
    in_dev = await shop.output("compile", select="dim_products")
    assert in_dev.artifacts is not None
    # Nothing has been built for the target prod.
    output = await shop.output(
        "compile", select="dim_products", target="prod", defer_manifest_ref=in_dev.artifacts.manifest_path
    )
    (result,) = [each for each in output.node_results if each.unique_id == "model.jaffle_shop.dim_products"]
    assert "dev_staging" in (result.compiled_code or "")
    assert "prod_staging" not in (result.compiled_code or "")


def as_if_it_had_failed(run_results: Path) -> None:
    document = json.loads(run_results.read_bytes())
    for result in document["results"]:
        if result["unique_id"].startswith("model."):
            result["status"] = "error"
    run_results.write_text(json.dumps(document))


async def test_state_and_retry_read_the_artifacts_of_an_earlier_run(shop: Shop) -> None:
    built = await shop.output("run", select="dim_products")
    assert built.artifacts is not None
    listed = await shop.output(
        "list", select="state:modified", state_manifest_ref=built.artifacts.manifest_path, exclude="resource_type:test"
    )
    assert listed.node_results == []
    assert built.artifacts.run_results_path is not None
    as_if_it_had_failed(Path(built.artifacts.run_results_path))
    again = await shop.output("run", retry_from=built.artifacts.run_results_path)
    assert [each.unique_id for each in again.node_results] == ["model.jaffle_shop.dim_products"]


async def test_full_refresh_reaches_dbt(shop: Shop) -> None:
    output = await shop.output("run", select="daily_sales", full_refresh=True)
    args = json.loads(shop.runs.artifact(output, "run_results.json").read_bytes())["args"]
    assert args["full_refresh"] is True


async def test_an_empty_selection_succeeds_and_says_so(shop: Shop) -> None:
    run = await shop.runs.submit({"select": "tag:nobody_has_it", "env": shop._env})
    outcome = await run.outcome()
    assert outcome.output is not None
    assert (outcome.ending, outcome.output.node_results) == (Ending.COMPLETED, [])
    assert "\n".join(await run.handle.query("run_log")).count("Nothing to do.") == 1


# dbt's rules about failures, in projects made for them.

PROFILE = """
rules:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{{ env_var('RULES_DB', ':memory:') }}"
      threads: 4
"""


async def rules_run(
    dbt_workers: Callable[[], DbtHarness], folder: Path, files: dict[str, str], **fields: Any
) -> tuple[DbtHarness, DbtRunOutput]:
    """One run of a small project."""
    project = folder / "project"
    write_files(project, {"profiles.yml": PROFILE, **files})
    runs = dbt_workers()
    await runs.load(ProjectLocation(project_dir=project, profiles_dir=project))
    (folder / "ours").mkdir()
    outcome = await runs.run({"env": {"RULES_DB": str(folder / "ours" / "rules.duckdb")}, **fields})
    assert outcome.output is not None, outcome.message
    return runs, outcome.output


def by_name(output: DbtRunOutput) -> dict[str, NodeExecutionResult]:
    return {result.unique_id.rpartition(".")[2]: result for result in output.node_results}


def as_the_command_line(runs: DbtHarness, output: DbtRunOutput, folder: Path) -> list[str]:
    """Where our run_results.json differs from that of `dbt build`."""
    theirs = folder / "theirs"
    theirs.mkdir()
    run_cli(["build"], folder / "project", theirs, {"RULES_DB": str(theirs / "rules.duckdb")})
    ours = runs.artifact(output, "run_results.json").read_bytes()
    return run_results_difference(ours, theirs / "run_results.json")


@pytest.mark.parametrize(
    ("flags", "runs_nodes"),
    [
        ("", not DBT_1_12),
        ("flags: {skip_nodes_if_on_run_start_fails: true}", False),
        ("flags: {skip_nodes_if_on_run_start_fails: false}", True),
    ],
)
async def test_a_failed_on_run_start_does_what_dbt_of_this_version_does(
    dbt_workers: Callable[[], DbtHarness], tmp_path: Path, flags: str, runs_nodes: bool
) -> None:
    project = f"""
name: rules
profile: rules
on-run-start: ["select * from there_is_no_such_table"]
on-run-end: ["create table if not exists ended as select {{{{ results | length }}}} as seen"]
{flags}
"""
    runs, output = await rules_run(
        dbt_workers, tmp_path, {"dbt_project.yml": project, "models/one.sql": "select 1 as id"}
    )
    assert not output.success
    assert by_name(output)["one"].status == ("success" if runs_nodes else "skipped")
    if not flags or runs_nodes is DBT_1_12:  # the two behaviours, each once: the command line takes its time
        assert as_the_command_line(runs, output, tmp_path) == []
    # on-run-end ran, and both hooks stand in run_results.json.
    recorded = json.loads(runs.artifact(output, "run_results.json").read_bytes())["results"]
    statuses = {result["unique_id"]: result["status"] for result in recorded}
    assert statuses["operation.rules.rules-on-run-start-0"] == "error"
    assert statuses["operation.rules.rules-on-run-end-0"] == "success"


async def test_skipping_after_failures_is_dbts(dbt_workers: Callable[[], DbtHarness], tmp_path: Path) -> None:
    schema = """
models:
  - {name: warned, columns: [{name: id, data_tests: [{not_null: {config: {severity: warn}}}]}]}
"""
    runs, output = await rules_run(
        dbt_workers,
        tmp_path,
        {
            "dbt_project.yml": "name: rules\nprofile: rules\n",
            "models/schema.yml": schema,
            "models/tolerated.sql": "{{ config(on_error='continue') }} select * from there_is_no_such_table",
            "models/tolerated_child.sql": "-- depends_on: {{ ref('tolerated') }}\nselect 1 as id",
            "models/broken.sql": "select * from there_is_no_such_table",
            "models/broken_child.sql": "select * from {{ ref('broken') }}",
            "models/warned.sql": "select null as id",
            "models/warned_child.sql": "select * from {{ ref('warned') }}",
        },
    )
    found = by_name(output)
    assert found["broken_child"].status == "skipped"
    assert found["warned_child"].status == "success"
    # on_error is a setting of dbt-core from 1.12 on; before, dbt does not know it.
    assert found["tolerated_child"].status == ("success" if DBT_1_12 else "skipped")
    assert as_the_command_line(runs, output, tmp_path) == []


async def test_fail_fast_reports_what_was_not_run(dbt_workers: Callable[[], DbtHarness], tmp_path: Path) -> None:
    models = {f"models/later_{number}.sql": "-- depends_on: {{ ref('fine') }}\nselect 1 as id" for number in range(5)}
    profile = PROFILE.replace("threads: 4", "threads: 1")
    runs, output = await rules_run(
        dbt_workers,
        tmp_path,
        {
            "dbt_project.yml": "name: rules\nprofile: rules\n",
            "profiles.yml": profile,
            "models/a_broken.sql": "select * from there_is_no_such_table",
            "models/a_broken_child.sql": "-- depends_on: {{ ref('a_broken') }}, {{ ref('fine') }}\nselect 1 as id",
            "models/fine.sql": "select 1 as id",
            **models,
        },
        fail_fast=True,
    )
    found = by_name(output)
    assert found["a_broken"].status == "error"
    not_run = [result for name, result in found.items() if name.startswith("later_")]
    assert {(result.status, result.message) for result in not_run} == {("skipped", "Skipping due to fail_fast")}
    assert len(found) == 8
    log = runs.artifact(output, "log.txt").read_text()
    assert log.count("[Skipping due to fail_fast]") >= 5
