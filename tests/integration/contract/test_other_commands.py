"""Commands beside those of each day through the workflow, with the command line's results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dbt.version import __version__ as dbt_version

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.runs import Ending, Outcome
from dbt_temporal.domain.results import DbtRunOutput
from tests.integration.engine_driver import write_files
from tests.integration.equality.compare import run_cli, run_results_difference
from tests.integration.run_harness import DbtHarness

pytestmark = pytest.mark.every_dbt_version

DBT_1_12 = tuple(int(part) for part in dbt_version.split(".")[:2]) >= (1, 12)

PROFILES = """\
tools:
  target: dev
  outputs:
    dev: {type: duckdb, path: "{{ env_var('TOOLS_DB', ':memory:') }}", schema: main, threads: 1}
    copy: {type: duckdb, path: "{{ env_var('TOOLS_DB', ':memory:') }}", schema: copied, threads: 1}
"""
FILES = {
    "dbt_project.yml": "name: tools\nversion: '1.0'\nprofile: tools\n",
    "profiles.yml": PROFILES,
    "models/steady.sql": "{{ config(materialized='table') }} select 1 as n",
    "models/shaky.sql": "select {{ env_var('SHAKY', '2') }} as n",
    "models/after.sql": "select n from {{ ref('shaky') }}",
}
BAD = {"SHAKY": "no_such_column"}


class Tools:
    """One project, of which both sides have a database of their own."""

    def __init__(self, runs: DbtHarness, folder: Path) -> None:
        self.runs = runs
        self.folder = folder
        self.project = folder / "project"
        self.target = folder / "theirs" / "target"
        for side in ("ours", "theirs"):
            (folder / side).mkdir(parents=True)
        write_files(self.project, FILES)

    def env(self, side: str, **more: str) -> dict[str, str]:
        return {"TOOLS_DB": str(self.folder / side / "tools.duckdb"), **more}

    async def run(self, command: str | None, *, more_env: dict[str, str] | None = None, **fields: Any) -> Outcome:
        named = {} if command is None else {"command": command}
        return await self.runs.run({**named, "env": self.env("ours", **(more_env or {})), **fields})

    async def output(self, command: str, **fields: Any) -> DbtRunOutput:
        outcome = await self.run(command, **fields)
        assert outcome.ending is Ending.COMPLETED, outcome.message
        assert outcome.output is not None
        return outcome.output

    def theirs(self, arguments: Sequence[str], more_env: dict[str, str] | None = None, code: int = 0) -> str:
        result = run_cli(arguments, self.project, self.target, self.env("theirs", **(more_env or {})))
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout

    def results_differ(self, output: DbtRunOutput) -> list[str]:
        ours = self.runs.artifact(output, "run_results.json").read_bytes()
        return run_results_difference(ours, self.target / "run_results.json")


@pytest.fixture(scope="module")
async def tools(dbt_workers: Callable[[], DbtHarness], tmp_path_factory: pytest.TempPathFactory) -> Tools:
    tools = Tools(dbt_workers(), tmp_path_factory.mktemp("tools"))
    await tools.runs.load(ProjectLocation(tools.project, tools.project))
    return tools


async def test_retry_runs_what_did_not_succeed_in_the_latest_run(tools: Tools) -> None:
    outcome = await tools.run("retry")
    assert (outcome.ending, outcome.error_type) == (Ending.FAILED, "Configuration")
    assert "no run of 'tools' has stored results yet" in (outcome.message or "")

    failed = await tools.run("run", more_env=BAD)
    tools.theirs(["run"], BAD, code=1)
    assert failed.output is not None
    await tools.output("list")  # which has no results, so the failed run is still the latest that has
    again = await tools.output("retry")
    tools.theirs(["retry"])
    # dbt passes the arguments of the earlier run on as texts.
    assert [line for line in tools.results_differ(again) if not line.startswith(".args.sqlparse.")] == []
    assert {result.unique_id for result in again.node_results} == {"model.tools.shaky", "model.tools.after"}

    # By its id, which the newer run has not changed; and then the latest one has nothing left.
    by_id = await tools.output("retry", retry_from=failed.output.invocation_id)
    assert len(by_id.node_results) == 2
    assert (await tools.output("retry")).node_results == []


async def test_state_is_that_of_the_latest_run_by_name(tools: Tools) -> None:
    await tools.output("run")
    listed = await tools.output("list", select="state:modified", state_manifest_ref="latest")
    assert listed.node_results == []
