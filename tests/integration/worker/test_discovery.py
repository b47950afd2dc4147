"""What a worker says of its projects, when it starts and when they are edited: real sources, with real dbt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import pytest
from dependency_injector import providers

from dbt_temporal.application.steps.messages import PlanProjectInput, PlanProjectOutput
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.input import parse_run_input
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from tests.integration.buckets import Storage
from tests.integration.engine_driver import write_files
from tests.integration.fixtures_buckets import gcs_endpoint, s3_endpoint, storage
from tests.integration.programs import PATIENCE_SECS, PROJECTS, Desk, started
from tests.integration.sources.git_servers import Repository

__all__ = ["gcs_endpoint", "s3_endpoint", "storage"]

MULTI_PROJECT = Path(__file__).parents[3] / "examples" / "multi-project"


DOES_NOT_PARSE = {
    "dbt_project.yml": "name: shop\nprofile: shop\n",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: ':memory:'}}}",
    "models/fine.sql": "select 1 as one",
    "models/schema.yml": "models:\n  - name: fine\n    columns: [\n",
}


@asynccontextmanager
async def wired(folder: Path, source: str) -> AsyncIterator[WorkerContainer]:
    """A worker's wiring, without a server."""
    environ = {**os.environ, "DBT_PROJECT_DIRS": source, "DBT_TEMPORAL_CACHE_DIR": str(folder / "cache")}
    container = WorkerContainer()
    container.settings.override(providers.Object(read_settings(environ)))
    container.environ.override(providers.Object(environ))
    container.current_dir.override(providers.Object(folder))
    try:
        yield container
    finally:
        await container.engine().close()


@pytest.fixture
def desk(tmp_path: Path, temporal_address: str) -> Desk:
    made = Desk(tmp_path)
    made.env |= {"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_TASK_QUEUE": tmp_path.name}
    return made


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        # dbt names the model's file, and the line in a YAML file.
        ("parse_error", ["models/lost.sql"]),
        ("yaml_error", ["yaml_error: schema.yml", "line 5"]),
        ("env_missing", ["Env var required but not provided"]),
        ("no_profile", ["Could not find profile named"]),
    ],
)
def test_at_a_strict_start_a_project_that_does_not_load_stops_the_worker_with_dbts_message(
    desk: Desk, project: str, expected: list[str]
) -> None:
    # A good project beside it does not help.
    places = f"{PROJECTS / 'slow'},{PROJECTS / 'broken' / project}"
    done = subprocess.run(
        [sys.executable, "-m", "dbt_temporal", "worker"],
        env={**desk.env, "DBT_PROJECT_DIRS": places, "DBT_TEMPORAL_STRICT_START": "true"},
        cwd=desk.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECS,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    for text in (f"the project {PROJECTS / 'broken' / project} does not load: ", *expected):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


FARM = {
    "dbt_project.yml": "name: farm\nprofile: farm\nmodels: {farm: {+schema: \"{{ var('field') }}\"}}\n",
    "profiles.yml": "farm: {target: dev, outputs: {dev: {type: duckdb, path: \"{{ env_var('FARM_DB') }}\"}}}\n",
    "models/crop.sql": "{{ config(materialized='table') }} select '{{ var('field') }}' as field",
}


def test_a_project_that_needs_what_only_runs_bring_waits_for_it_and_takes_no_other_down(desk: Desk) -> None:
    farm, lost = desk.folder / "farm", desk.project(PROJECTS / "broken" / "parse_error")
    write_files(farm, FARM)
    desk.env["DBT_PROJECT_DIRS"] = f"{PROJECTS / 'slow'},{farm},{lost}"
    with started(desk, "worker") as program:
        program.says("Working on task queue")
        (line,) = [line for line in program.output.splitlines() if "Waiting project farm: " in line]
        assert f"the project {farm} does not load: " in line
        assert "Env var required but not provided: 'FARM_DB'" in line
        (line,) = [line for line in program.output.splitlines() if "Waiting project parse_error: " in line]
        assert "depends on a node named 'a_model_that_does_not_exist'" in line
        assert "Loaded project slow: " in program.output

        database = f"FARM_DB={desk.folder / 'farm.duckdb'}"
        done = desk.command("run", "--project", "farm", "--vars", "{field: hill}", "--env", database)
        assert done.returncode == 0, done.stdout + done.stderr
        done = desk.command("run", "--project", "farm", "--env", database)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Required var 'field' not found in config" in done.stdout
        done = desk.command("run", "--project", "slow", "--select", "before")
        assert done.returncode == 0, done.stdout + done.stderr

        (lost / "models" / "lost.sql").write_text("select 1 as id")
        done = desk.command("run", "--project", "parse_error")
        assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(desk.folder / "farm.duckdb")) as connection:
        assert connection.execute("select field from main_hill.crop").fetchall() == [("hill",)]


def test_a_dbt_temporal_yml_that_is_wrong_stops_the_worker_all_the_same(desk: Desk) -> None:
    farm = desk.folder / "farm"
    write_files(farm, {**FARM, "dbt_temporal.yml": "retri: {}"})
    desk.env["DBT_PROJECT_DIRS"] = f"{PROJECTS / 'slow'},{farm}"
    done = desk.command("worker")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "retri" in done.stderr


async def told(folder: Path, source: str) -> str:
    """Why the projects of a source do not load."""
    async with wired(folder, source) as worker:
        with pytest.raises(DbtTemporalError) as caught:
            await worker.load_projects()()
    assert caught.value.error_type in (ErrorType.COMPILATION, ErrorType.CONFIGURATION)
    return caught.value.message


async def test_a_project_of_a_git_repository_that_does_not_parse_is_told_with_file_and_line(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    repository.commit({f"dbt/{name}": text for name, text in DOES_NOT_PARSE.items()})
    source = f"git+file://{repository.folder}#main:dbt"
    message = await told(tmp_path, source)
    assert message.startswith(f"the project {source} does not load: ")
    assert "schema.yml" in message
    assert "line 4" in message


async def test_a_project_of_a_bucket_that_does_not_parse_is_told_with_file_and_line(
    tmp_path: Path, storage: Storage
) -> None:
    for name, text in DOES_NOT_PARSE.items():
        storage.put(f"dbt/shop/{name}", text.encode())
    message = await told(tmp_path, f"{storage.url}/dbt")
    assert message.startswith(f"the project {storage.url}/dbt/shop does not load: ")
    assert "schema.yml" in message
    assert "line 4" in message


async def test_each_run_is_planned_on_the_files_as_they_are_and_carries_their_revision(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    write_files(project, {**DOES_NOT_PARSE, "models/schema.yml": ""})

    async with wired(tmp_path, str(project)) as worker:
        (loaded,) = await worker.load_projects()()
        worker.registry().add(loaded)

        async def plan(invocation_id: str) -> PlanProjectOutput:
            request = PlanProjectInput(
                invocation_id=invocation_id, started_at="2026-01-01T00:00:00+00:00", input=parse_run_input({})
            )
            return await worker.use_cases().plan_project(request)

        first = await plan("first")
        write_files(project, {"models/added.sql": "select 1 as one", "dbt_temporal.yml": "retry: {max_attempts: 7}"})
        second = await plan("second")
    assert first.invocation.revision == loaded.loaded.location.revision
    assert set(first.plan.nodes) == {"model.shop.fine"}
    assert second.invocation.revision not in (None, first.invocation.revision)
    assert set(second.plan.nodes) == {"model.shop.fine", "model.shop.added"}
    assert (first.config.retry.max_attempts, second.config.retry.max_attempts) == (3, 7)


def test_the_worker_lists_its_projects_with_what_they_hold(desk: Desk) -> None:
    desk.env["DBT_PROJECTS_DIR"] = str(MULTI_PROJECT)
    with started(desk, "worker") as program:
        program.says("Working on task queue")
    for name, nodes in (("analytics", "3 models"), ("marketing", "2 models")):
        (line,) = [line for line in program.output.splitlines() if f"Loaded project {name}:" in line]
        for text in ("revision ", f"source {MULTI_PROJECT / name}", "adapter postgres", "target dev", nodes, " s"):
            assert text in line
