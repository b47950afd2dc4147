"""Plans come from dbt's own selection and graph."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.plan import ExecutionPlan
from tests.integration.engine_driver import copy_project, drive, new_invocation, open_engine, opened, write_files

pytestmark = pytest.mark.every_dbt_version


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtCoreEngine]:
    async with open_engine(tmp_path_factory.mktemp("cache")) as engine:
        yield engine


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ProjectLocation:
    return copy_project("examples/jaffle-shop", tmp_path_factory.mktemp("shop") / "project")


@pytest.fixture
def own_shop(tmp_path: Path) -> ProjectLocation:
    """A shop that the test may change."""
    return copy_project("examples/jaffle-shop", tmp_path / "shop")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {name: str(tmp_path / "warehouse.duckdb") for name in ("JAFFLE_SHOP_DB", "WITH_FAILURES_DB")}


async def plan_of(engine: DbtCoreEngine, location: ProjectLocation, **run_input: Any) -> ExecutionPlan:
    return (await opened(engine, location, new_invocation(**run_input)).plan()).plan


def names(plan: ExecutionPlan) -> set[str]:
    return {node.name for node in plan.nodes.values()}


async def test_a_loaded_project_says_what_the_start_up_table_shows(
    engine: DbtCoreEngine, shop: ProjectLocation
) -> None:
    loaded = await engine.load_project(shop)

    assert (loaded.name, loaded.adapter_type, loaded.target, loaded.threads) == ("jaffle_shop", "duckdb", "dev", 4)
    assert (loaded.counts["model"], loaded.counts["seed"], loaded.counts["unit_test"]) == (12, 5, 2)


async def test_edges_lead_through_ephemeral_models_which_are_not_in_the_plan(
    engine: DbtCoreEngine, shop: ProjectLocation
) -> None:
    plan = await plan_of(engine, shop, command="run")

    orders = plan.nodes["model.jaffle_shop.fct_orders"]
    assert "model.jaffle_shop.int_order_lines" not in plan.nodes
    assert "model.jaffle_shop.stg_order_items" in orders.depends_on
    assert orders.materialization == "incremental"
    assert orders.relation == "dev_marts.fct_orders"


async def test_edges_lead_through_nodes_that_are_not_selected(engine: DbtCoreEngine, shop: ProjectLocation) -> None:
    plan = await plan_of(engine, shop, command="run", select="stg_orders daily_sales")

    assert plan.nodes["model.jaffle_shop.daily_sales"].depends_on == ["model.jaffle_shop.stg_orders"]


async def test_in_a_build_a_unit_test_comes_before_its_model_and_waits_for_the_same(
    engine: DbtCoreEngine, shop: ProjectLocation
) -> None:
    plan = await plan_of(engine, shop)

    unit_test = "unit_test.jaffle_shop.daily_sales.returned_orders_bring_no_revenue"
    model = plan.nodes["model.jaffle_shop.daily_sales"]
    assert unit_test in model.depends_on
    assert plan.nodes[unit_test].depends_on == [node for node in model.depends_on if node != unit_test]
    assert plan.nodes[unit_test].relation == "daily_sales::returned_orders_bring_no_revenue"


async def test_in_a_build_a_model_waits_for_the_tests_of_what_it_reads(
    engine: DbtCoreEngine, shop: ProjectLocation
) -> None:
    plan = await plan_of(engine, shop)

    waits_for = {plan.nodes[node].resource_type for node in plan.nodes["model.jaffle_shop.stg_orders"].depends_on}
    assert waits_for == {"seed", "test"}


async def test_levels_hold_every_node_once_and_after_what_it_waits_for(
    engine: DbtCoreEngine, shop: ProjectLocation
) -> None:
    plan = await plan_of(engine, shop)

    level_of = {node: number for number, level in enumerate(plan.levels) for node in level}
    assert level_of.keys() == plan.nodes.keys()
    assert all(level_of[above] < level_of[node.unique_id] for node in plan.nodes.values() for above in node.depends_on)


async def test_the_longest_way_to_go_has_the_highest_priority(engine: DbtCoreEngine, shop: ProjectLocation) -> None:
    plan = await plan_of(engine, shop)

    priorities = {node.priority for node in plan.nodes.values()}
    assert priorities == {1, 2, 3, 4, 5}
    assert plan.nodes["seed.jaffle_shop.raw_orders"].priority == 1
    assert plan.nodes["exposure.jaffle_shop.weekly_shop_report"].priority == 5


async def test_hooks_of_the_project_are_announced(engine: DbtCoreEngine, shop: ProjectLocation) -> None:
    built, compiled = await plan_of(engine, shop), await plan_of(engine, shop, command="compile")

    assert (built.has_on_run_start, built.has_on_run_end) == (True, True)
    assert (compiled.has_on_run_start, compiled.has_on_run_end) == (False, False)


async def test_an_empty_selection_is_an_empty_plan(engine: DbtCoreEngine, shop: ProjectLocation) -> None:
    for command in ("build", "run", "test", "list", "source-freshness"):
        plan = await plan_of(engine, shop, command=command, select="no_such_model")
        assert (plan.nodes, plan.levels) == ({}, [])


@pytest.mark.parametrize(
    ("run_input", "words"),
    [
        ({"select": "unheard_of:x"}, "unheard_of"),
        ({"selector": "no_such_selector"}, "no_such_selector"),
        ({"target": "nowhere"}, "nowhere"),
        ({"state_manifest_ref": "/no/such/place"}, "state_manifest_ref"),
        ({"defer_manifest_ref": "s3://bucket/manifest.json"}, "defer_manifest_ref"),
        ({"retry_from": "/no/such/run_results.json"}, "retry_from"),
        ({"select": "state:modified"}, "state"),
    ],
)
async def test_bad_input_is_a_configuration_error_with_dbts_own_words(
    engine: DbtCoreEngine, shop: ProjectLocation, run_input: dict[str, Any], words: str
) -> None:
    with pytest.raises(DbtTemporalError) as caught:
        await plan_of(engine, shop, **run_input)

    assert caught.value.error_type is ErrorType.CONFIGURATION
    assert words in caught.value.message
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("project", "error_type", "words"),
    [
        ("parse_error", ErrorType.COMPILATION, "depends on a node named"),
        ("yaml_error", ErrorType.COMPILATION, "yml"),
        ("no_profile", ErrorType.CONFIGURATION, "Could not find profile named"),
        ("env_missing", ErrorType.CONFIGURATION, "A_VARIABLE_NOBODY_SETS"),
    ],
)
async def test_a_broken_project_fails_to_load_with_dbts_own_words(
    engine: DbtCoreEngine, tmp_path: Path, project: str, error_type: ErrorType, words: str
) -> None:
    location = copy_project(f"tests/projects/broken/{project}", tmp_path / project)

    with pytest.raises(DbtTemporalError) as caught:
        await engine.load_project(location)

    assert (caught.value.error_type, words in caught.value.message) == (error_type, True), caught.value.message


async def test_meta_of_a_node_overrides_how_it_is_executed(engine: DbtCoreEngine, own_shop: ProjectLocation) -> None:
    write_files(
        own_shop.project_dir,
        {"models/odd.sql": "{{ config(meta={'dbt_temporal': {'retry': {'max_attempts': 7}}}) }} select 1 as one"},
    )

    plan = await plan_of(engine, own_shop, select="odd")

    overrides = plan.nodes["model.jaffle_shop.odd"].overrides
    assert overrides is not None
    assert overrides.max_attempts == 7


async def test_wrong_meta_of_a_node_is_a_configuration_error_that_names_it(
    engine: DbtCoreEngine, own_shop: ProjectLocation
) -> None:
    write_files(
        own_shop.project_dir,
        {"models/odd.sql": "{{ config(meta={'dbt_temporal': {'tries': 7}}) }} select 1 as one"},
    )

    with pytest.raises(DbtTemporalError, match=r"model\.jaffle_shop\.odd.*tries"):
        await plan_of(engine, own_shop, select="odd")


async def test_a_changed_project_without_a_revision_is_parsed_again(
    engine: DbtCoreEngine, own_shop: ProjectLocation
) -> None:
    await engine.load_project(own_shop)
    write_files(own_shop.project_dir, {"models/new_one.sql": "select 1 as one"})

    assert "new_one" in names(await plan_of(engine, own_shop, command="run"))


async def test_state_selects_what_has_changed_since_a_manifest(
    engine: DbtCoreEngine, own_shop: ProjectLocation, tmp_path: Path
) -> None:
    listed = await drive(engine, own_shop, new_invocation(command="list"))
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "manifest.json").write_bytes(listed.artifacts["manifest.json"])
    write_files(own_shop.project_dir, {"models/new_one.sql": "select 1 as one"})

    for reference in (str(tmp_path / "before"), (tmp_path / "before" / "manifest.json").as_uri()):
        plan = await plan_of(engine, own_shop, command="run", select="state:new", state_manifest_ref=reference)
        assert names(plan) == {"new_one"}


async def test_results_can_be_selected_by_without_a_manifest(
    engine: DbtCoreEngine, own_shop: ProjectLocation, tmp_path: Path
) -> None:
    listed = await drive(engine, own_shop, new_invocation(command="compile", select="stg_orders"))
    results = tmp_path / "before" / "run_results.json"
    results.parent.mkdir()
    results.write_bytes(listed.artifacts["run_results.json"])

    for reference in (str(results.parent), str(results)):
        plan = await plan_of(engine, own_shop, command="run", select="result:success", state_manifest_ref=reference)
        assert names(plan) == {"stg_orders"}
    for field, reference in (("state_manifest_ref", str(tmp_path)), ("defer_manifest_ref", str(results))):
        with pytest.raises(DbtTemporalError, match=rf"{field}: there is no manifest.json .*at {reference}$"):
            await plan_of(engine, own_shop, command="run", **{field: reference})


class Fetched:
    """References whose copies lie in the run's own folder."""

    async def fetch(self, _field: str, reference: str, folder: Path) -> str:
        if reference.startswith("s3://broken"):
            manifest = {"metadata": {"dbt_schema_version": "of/another/v1.json"}}
            write_files(folder, {"manifest.json": json.dumps(manifest)})
        return str(folder / "manifest.json")


@pytest.mark.parametrize("bucket", ["empty", "broken"])
@pytest.mark.parametrize("field", ["state_manifest_ref", "defer_manifest_ref"])
async def test_errors_about_state_name_it_as_the_input_does(
    own_shop: ProjectLocation, tmp_path: Path, bucket: str, field: str
) -> None:
    reference = f"s3://{bucket}/run/manifest.json"
    async with open_engine(tmp_path / "cache", references=Fetched()) as engine:
        with pytest.raises(DbtTemporalError) as caught:
            await plan_of(engine, own_shop, command="run", **{field: reference})
    assert f"s3://{bucket}/run" in caught.value.message
    assert str(tmp_path / "cache") not in caught.value.message


async def test_retry_runs_what_did_not_succeed(engine: DbtCoreEngine, tmp_path: Path, env: dict[str, str]) -> None:
    location = copy_project("tests/projects/with_failures", tmp_path / "failures")
    first = await drive(engine, location, new_invocation(env=env))
    results = tmp_path / "run_results.json"
    results.write_bytes(first.artifacts["run_results.json"])

    plan = await plan_of(engine, location, env=env, retry_from=str(results))

    failed = {
        result["unique_id"]
        for result in json.loads(results.read_bytes())["results"]
        if result["status"] in ("error", "fail", "skipped", "partial success")
    }
    assert plan.nodes.keys() == failed
    narrowed = await plan_of(engine, location, env=env, retry_from=str(results), select="sql_error+")
    assert narrowed.nodes.keys() < failed
    assert "model.with_failures.sql_error" in narrowed.nodes


async def test_models_that_add_rows_may_not_be_run_twice(
    engine: DbtCoreEngine, own_shop: ProjectLocation, env: dict[str, str]
) -> None:
    configs = {
        "adds": "materialized='incremental'",
        "appends": "materialized='incremental', incremental_strategy='append', unique_key='id'",
        "of_its_own": "materialized='mine'",
        "replaces_rows": "materialized='incremental', unique_key='id'",
        "merges": "materialized='incremental', incremental_strategy='delete+insert', unique_key=['id']",
        "always_anew": "materialized='incremental', full_refresh=true",
        "never_anew": "materialized='incremental', full_refresh=false",
        "table": "materialized='table'",
        "view": "materialized='view'",
    }
    models = {f"models/{name}.sql": f"{{{{ config({config}) }}}} select 1 as id" for name, config in configs.items()}
    mine = "{% materialization mine, default %}{{ return({'relations': []}) }}{% endmaterialization %}"
    write_files(own_shop.project_dir, {**models, "macros/mine.sql": mine})

    async def unrepeatable(**run_input: Any) -> set[str]:
        asked = new_invocation(env=env, select=" ".join(configs), **run_input)
        plan = await opened(engine, own_shop, asked).plan()
        return {unique_id.removeprefix("model.jaffle_shop.") for unique_id in plan.unrepeatable}

    assert await unrepeatable(command="build") == {"adds", "appends", "of_its_own", "never_anew"}
    assert await unrepeatable(command="run", full_refresh=True) == {"of_its_own", "never_anew"}
    assert await unrepeatable(command="compile") == set()
