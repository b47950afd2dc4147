"""Runs in a program's own process, with dbt."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal import DbtInProcess, DbtRunState, DbtTemporalError, ErrorType, run_dbt
from tests.integration.programs import EXAMPLE, PROJECTS


def environ_in(folder: Path, **more: str) -> dict[str, str]:
    """An environment whose databases, cache and artifacts are in a folder."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "TEMPORAL_"))}
    return {
        **given,
        "JAFFLE_SHOP_DB": str(folder / "jaffle_shop.duckdb"),
        "WITH_FAILURES_DB": str(folder / "with_failures.duckdb"),
        "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "WRITE_ARTIFACTS": "true",
        "ARTIFACT_STORE": str(folder / "artifacts"),
        **more,
    }


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbtInProcess]:
    """The example, loaded for the module's tests, and the pre_run hook that any of them may name."""
    folder = tmp_path_factory.mktemp("shop")

    async def skip(payload: dict[str, Any]) -> dict[str, Any]:
        return {"skip": True, "reason": f"{len(payload['plan']['nodes'])} nodes are too many"}

    async with DbtInProcess(EXAMPLE, hooks={"skip": skip}, environ=environ_in(folder)) as dbt:
        yield dbt


async def test_one_call_builds_a_project_and_leaves_its_artifacts(tmp_path: Path) -> None:
    output = await run_dbt(
        EXAMPLE, select="+stg_customers", resource_types=["seed", "model"], environ=environ_in(tmp_path)
    )
    assert output.success
    assert [each.unique_id for each in output.node_results] == [
        "seed.jaffle_shop.raw_customers",
        "model.jaffle_shop.stg_customers",
    ]
    assert (tmp_path / "artifacts" / output.invocation_id / "run_results.json").exists()


async def test_several_runs_share_what_was_loaded(shop: DbtInProcess) -> None:
    assert (await shop.run("seed")).success
    outputs = await asyncio.gather(
        shop.run("compile", select="stg_customers"), shop.run("list", select="resource_type:model")
    )
    assert [output.success for output in outputs] == [True, True]
    assert outputs[0].node_results[0].compiled_code


async def test_states_are_told_with_the_lines_of_the_log(shop: DbtInProcess) -> None:
    states: list[DbtRunState] = []
    output = await shop.run("seed", select="raw_orders", observe=states.append)
    assert output.success
    assert states[-1].node_status == {"seed.jaffle_shop.raw_orders": "success"}
    assert (states[-1].succeeded, states[-1].running) == (1, 0)
    assert any("raw_orders" in line for state in states for line in state.new_log_lines)


async def test_a_function_is_a_hook(shop: DbtInProcess) -> None:
    hooks = {"pre_run": [{"workflow_type": "skip", "task_queue": "none"}]}
    output = await shop.run("seed", hooks=hooks)
    assert (output.skipped, output.skip_reason) == (True, "5 nodes are too many")


async def test_a_run_with_failed_nodes_returns_what_it_came_to_and_is_the_latest_where_the_environment_says_so(
    tmp_path: Path,
) -> None:
    environ = environ_in(tmp_path, ARTIFACT_LATEST="always")
    output = await run_dbt(PROJECTS / "with_failures", "build", environ=environ)
    assert not output.success
    assert "error" in {each.status for each in output.node_results}
    assert list((tmp_path / "artifacts" / "latest" / "with_failures").glob("*/run_results.json"))


async def test_a_project_that_asks_for_leases_takes_them_of_this_process(tmp_path: Path) -> None:
    project = Path(shutil.copytree(EXAMPLE, tmp_path / "shop"))
    config = project / "dbt_temporal.yml"
    config.write_text(config.read_text() + "\nconcurrency: {per: project}\n")
    async with DbtInProcess(project, environ=environ_in(tmp_path)) as dbt:
        outputs = await asyncio.gather(*(dbt.run("seed", select=name) for name in ("raw_orders", "raw_customers")))
    assert [output.success for output in outputs] == [True, True]


async def test_a_folder_without_a_project_is_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DbtTemporalError, match=r"project_dir: the folder '.*empty' holds no dbt project") as error:
        await run_dbt(empty, environ=environ_in(tmp_path))
    assert error.value.error_type is ErrorType.CONFIGURATION


async def test_a_wrong_setting_and_a_wrong_field_are_told(shop: DbtInProcess, tmp_path: Path) -> None:
    with pytest.raises(DbtTemporalError, match="WRITE_ARTIFACTS='perhaps': must be true or false"):
        await run_dbt(EXAMPLE, environ=environ_in(tmp_path, WRITE_ARTIFACTS="perhaps"))
    with pytest.raises(DbtTemporalError, match="selct"):
        await shop.run("build", selct="stg_orders")


async def test_a_project_is_used_within_its_block_alone() -> None:
    with pytest.raises(RuntimeError, match="within the block"):
        await DbtInProcess(EXAMPLE).run("build")
