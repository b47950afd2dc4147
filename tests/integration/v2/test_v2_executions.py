"""Runs on dbt v2 whose workflow continues as new."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from temporalio.client import Client

from dbt_temporal.adapters.dbt_v2.engine import DbtV2Engine
from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.executions.test_continue_as_new import executions
from tests.integration.run_harness import FAST_RETRIES, WorkerHarness, history, scheduled
from tests.integration.v2.installed import make_project, needs_dbt_v2, on_duckdb

pytestmark = [needs_dbt_v2, pytest.mark.asyncio]

SMALL = read_settings({"DBT_TEMPORAL_CONTINUE_AS_NEW_EVENTS": "40"}).tuning


async def test_a_run_in_several_executions_is_one_process_that_runs_each_node_once(
    temporal_client: Client, task_queue: str, v2_engine: DbtV2Engine, tmp_path: Path
) -> None:
    models = {
        f"models/n{i:02}.sql": "{{ config(materialized='incremental') }} select 1 as id"
        + (f" from {{{{ ref('n{i - 4:02}') }}}}" if i > 3 else "")
        for i in range(24)
    }
    location = make_project(
        tmp_path / "project",
        models,
        more='on-run-end: "create table {{ target.schema }}.counted as '
        "{% for i in range(24) %}{{ 'union all ' if i }}select count(*) as c from {{ target.schema }}."
        "n{{ '%02d' % i }} {% endfor %}\"\n",
    )
    async with AsyncExitStack() as stack:
        worker = WorkerHarness(temporal_client, task_queue, stack, v2_engine)
        worker.tuning = SMALL
        worker.write_artifacts = True
        loaded = await v2_engine.load_project(location)
        worker.projects = [ReadyProject(loaded, ProjectConfig.model_validate({"retry": FAST_RETRIES}))]
        run = await worker.submit({"env": on_duckdb(tmp_path), "threads": 2})
        output = (await run.outcome()).output
        assert output is not None
        assert output.success, output
        assert [result.attempts for result in output.node_results] == [1] * 24
        chain = await executions(run)
        assert len(chain) > 2
        names = [name for each in chain for name in scheduled(await history(each))]
        assert len([name for name in names if name.startswith("model:")]) == 24
        assert names.count("before_run") == 1
        assert names.count("resume_run") == 0
    assert not list((tmp_path / "cache" / "v2" / "runs").glob("*"))
