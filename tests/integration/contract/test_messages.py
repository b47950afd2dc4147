"""What dbt prints, logs at info level and warns of is in the run's log, as its console has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import write_files
from tests.integration.equality.compare import run_cli
from tests.integration.run_harness import DbtHarness

pytestmark = pytest.mark.every_dbt_version

PROJECT = """
name: talks
version: "1.0"
profile: talks
on-run-start: "{% if execute %}{{ log('told by on-run-start', info=True) }}{% endif %}"
on-run-end: "{% if execute %}{{ log('told by on-run-end', info=True) }}{% endif %}"
models: {talks: {no_such_folder: {+materialized: table}}}
"""
FILES = {
    "dbt_project.yml": PROJECT,
    "profiles.yml": "talks: {target: d, outputs: {d: {type: duckdb, path: \"{{ env_var('TALKS_DB', 'unused') }}\"}}}",
    "macros/list_schemas.sql": """
{% macro duckdb__list_schemas(database) %}
{{ log('told while the run is set up', info=True) }}
{{ return(run_query("select distinct schema_name from system.information_schema.schemata")) }}
{% endmacro %}
""",
    "models/quiet.sql": "select 1 as id",
    "models/between.sql": """
{{ config(materialized='ephemeral') }}
{% if execute %}{{ log('logged by the ephemeral model', info=True) }}{% endif %}
select 2 as id
""",
    "models/talks.sql": """
{% if execute %}
{{ log('logged by the model', info=True) }}{{ log('not for the console') }}{{ print('printed by the model') }}
{% do exceptions.warn('the model warns') %}
{% endif %}
select id from {{ ref('quiet') }} union all select id from {{ ref('between') }}
""",
}
SELECTION = "quiet between talks talk no_such_model"
SAID = (
    "told while the run is set up",
    "told by on-run-start",
    "logged by the ephemeral model",
    "logged by the model",
    "printed by the model",
    "the model warns",
    "told by on-run-end",
    "The selection criterion 'no_such_model' does not match any enabled nodes",
    "- models.talks.no_such_folder",
)


@pytest.fixture(scope="module")
async def talks(dbt_workers: Callable[[], DbtHarness], tmp_path_factory: pytest.TempPathFactory) -> DbtHarness:
    folder = tmp_path_factory.mktemp("talks")
    write_files(folder / "project", FILES)
    runs = dbt_workers()
    runs.write_artifacts = True
    await runs.load(ProjectLocation(project_dir=folder / "project", profiles_dir=folder / "project"))
    return runs


async def log_of(runs: DbtHarness, database: Path, **fields: Any) -> list[str]:
    run = await runs.submit({"command": "run", "select": SELECTION, "env": {"TALKS_DB": str(database)}, **fields})
    outcome = await run.outcome()
    assert outcome.output is not None
    assert outcome.output.success
    log: list[str] = await run.handle.query("run_log")
    assert runs.artifact(outcome.output, "log.txt").read_text().splitlines() == log
    return log


async def test_each_is_told_once_in_every_run_as_the_command_line_tells_it(talks: DbtHarness, tmp_path: Path) -> None:
    write_files(tmp_path / "cli", FILES)
    env = {"TALKS_DB": str(tmp_path / "cli.duckdb")}
    told = run_cli(["run", "--select", *SELECTION.split()], tmp_path / "cli", tmp_path / "target", env).stdout
    assert {said: told.count(said) for said in SAID} == dict.fromkeys(SAID, 1)
    for number in range(2):
        log = await log_of(talks, tmp_path / f"{number}.duckdb")
        assert {said: sum(said in line for line in log) for said in SAID} == dict.fromkeys(SAID, 1)
        assert not [line for line in log if "not for the console" in line]


async def test_what_a_node_says_stands_below_its_end_and_what_planning_says_before_the_first_node(
    talks: DbtHarness, tmp_path: Path
) -> None:
    log = await log_of(talks, tmp_path / "talks.duckdb")
    end = next(number for number, line in enumerate(log) if "=> view_model main.talks" in line)
    assert [line.strip() for line in log[end + 1 : end + 3]] == ["logged by the model", "printed by the model"]
    assert [line for line in log if "ephemeral" in line] == ["     between: logged by the ephemeral model"]
    begin = next(number for number, line in enumerate(log) if " START " in line)
    assert log[next(number for number, line in enumerate(log) if "'talk' does not match" in line) + 1].strip() == (
        "Did you mean talks?"
    )
    planning = [number for number, line in enumerate(log) if "no_such_model" in line or "no_such_folder" in line]
    assert planning
    assert max(planning) < begin


async def test_a_run_that_is_to_be_quiet_has_what_is_printed_alone_as_the_command_line(
    talks: DbtHarness, tmp_path: Path
) -> None:
    log = await log_of(talks, tmp_path / "talks.duckdb", env={"TALKS_DB": str(tmp_path / "q.duckdb"), "DBT_QUIET": "1"})
    assert [said for said in SAID if any(said in line for line in log)] == ["printed by the model"]
