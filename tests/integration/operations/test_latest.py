"""Artifacts at an address that does not move: in folders and buckets, and a build of a pull request by them."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import yaml

from dbt_temporal.adapters.artifact_stores.fsspec_store import FsspecArtifactStore
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.stored.latest import FILES, LatestArtifacts
from dbt_temporal.domain.results import LatestRun
from dbt_temporal.entrypoints.cli.flags import run_input_of
from dbt_temporal.entrypoints.cli.main import cli
from tests.integration.engine_driver import write_files
from tests.integration.fixtures_buckets import gcs_endpoint, s3_endpoint, storage
from tests.integration.run_harness import DbtHarness
from tests.unit.repository.doc_pages import ROOT

__all__ = ["gcs_endpoint", "s3_endpoint", "storage"]

RUNS = [f"0198c1d2-7a2e-7c7e-9d55-2b7f0c1f6a{number:02}" for number in range(6)]
PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "models/base.sql": "select 1 as id",
    "models/above.sql": "select id from {{ ref('base') }}",
    "models/aside.sql": "select 2 as id",
}
PROFILES = """\
shop:
  target: prod
  outputs:
    prod: {type: duckdb, path: "{{ env_var('SHOP_DB', ':memory:') }}", schema: main, threads: 1}
    ci: {type: duckdb, path: "{{ env_var('SHOP_DB', ':memory:') }}", schema: "{{ env_var('DBT_SCHEMA', 'x') }}"}
"""


def latest_run(invocation_id: str) -> LatestRun:
    return LatestRun(
        invocation_id=invocation_id,
        project="shop",
        target="prod",
        command="build",
        success=True,
        ended_at="2026-03-01T06:00:00+00:00",
    )


async def published_at_once(root: str, environ: dict[str, str]) -> None:
    """Some runs become the latest at the same time; the folder has the files of one of them."""
    store = FsspecArtifactStore(root, environ)
    # What a release before had in the folder's place.
    await store.write("latest/shop", RUNS[0].encode())
    names = {run: FILES if number % 2 else FILES[:2] for number, run in enumerate(RUNS)}
    for run in RUNS:
        for name in names[run]:
            await store.write(f"{run}/{name}", run.encode())
    latest = LatestArtifacts(store)
    await asyncio.gather(*(latest.publish(latest_run(run)) for run in RUNS))
    known = await latest.run_of("shop", "prod")
    assert known is not None
    found = {name: await store.read(f"latest/shop/prod/{name}") for name in FILES}
    whole = dict.fromkeys(names[known.invocation_id], known.invocation_id.encode())
    assert found == dict.fromkeys(FILES) | whole
    assert await store.read("latest/shop") is None


async def test_runs_that_end_at_once_do_not_mix_their_files_in_a_folder(tmp_path: Path) -> None:
    await published_at_once(str(tmp_path / "store"), {})


async def test_runs_that_end_at_once_do_not_mix_their_files_in_a_bucket(storage: Any) -> None:
    await published_at_once(f"{storage.url}/artifacts", storage.environ)


async def test_a_pull_request_builds_what_it_changes_and_takes_the_rest_from_production(
    dbt_workers: Callable[[], DbtHarness], tmp_path: Path
) -> None:
    database = str(tmp_path / "shop.duckdb")
    prod, branch = dbt_workers(), dbt_workers()
    branch.store, branch.write_artifacts = prod.store, False
    for runs, name, more in (
        (prod, "prod", {}),
        (branch, "branch", {"models/above.sql": "select id + 1 as id from {{ ref('base') }}"}),
    ):
        write_files(tmp_path / name, {**PROJECT, "profiles.yml": PROFILES, **more})
        await runs.load(ProjectLocation(tmp_path / name, tmp_path / name))
    built = await prod.run({"env": {"SHOP_DB": database}})
    assert built.output is not None
    # What is for another target, or makes empty relations, is not production's latest.
    await prod.run({"env": {"SHOP_DB": database}, "empty": True, "target": "ci"})
    folder = prod.folder / "latest" / "shop" / "prod"
    known = json.loads((folder / "run.json").read_text())
    assert known == known | {"invocation_id": built.output.invocation_id, "engine": "dbt-core", "success": True}
    for name in ("manifest.json", "run_results.json"):
        assert json.loads((folder / name).read_text())["metadata"]["invocation_id"] == built.output.invocation_id
    assert (folder / "report.html").read_bytes() == prod.artifact(built.output, "report.html").read_bytes()
    stored = sorted(prod.folder.rglob("*"))
    given = {**input_of_the_example(), "env": {"SHOP_DB": database, "DBT_SCHEMA": "pr_7"}}
    output = (await branch.run(given)).output
    assert output is not None
    assert output.success
    assert [result.unique_id for result in output.node_results] == ["model.shop.above"]
    with duckdb.connect(database, read_only=True) as connection:
        assert connection.sql("select id from pr_7.above").fetchall() == [(2,)], "it has production's base"
        assert connection.sql("select view_name from duckdb_views() where schema_name = 'pr_7'").fetchall() == [
            ("above",)
        ]
    assert sorted(prod.folder.rglob("*")) == stored, "it was only read"


def input_of_the_example() -> dict[str, Any]:
    """What the build in examples/ci submits."""
    steps = yaml.safe_load((ROOT / "examples/ci/pull-request.yml").read_text())["jobs"]["build"]["steps"]
    [command] = [step["run"] for step in steps if step.get("name") == "Build what has changed"]
    _, name, *flags = shlex.split(command)
    with cli.commands[name].make_context(name, flags) as ctx:
        return run_input_of(name, ctx.params).model_dump(mode="json", exclude_unset=True)
