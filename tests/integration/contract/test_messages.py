"""What dbt prints, logs at info level and warns of is in the run's log, as its console has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.entrypoints.cli.events.event import Showing
from dbt_temporal.entrypoints.cli.events.reading import LogReader
from dbt_temporal.entrypoints.cli.events.view import view_of
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
OF_PROJECTS = frozenset(
    {"JinjaLogInfo", "JinjaLogWarning", "PrintEvent", "NoNodesForSelectionCriteria", "UnusedResourceConfigPath"}
)
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


async def test_each_message_has_dbts_event_with_its_level_and_its_node(talks: DbtHarness, tmp_path: Path) -> None:
    """As the command line tells it with `--log-format json`."""
    write_files(tmp_path / "cli", FILES)
    env = {"TALKS_DB": str(tmp_path / "cli.duckdb")}
    words = ["--log-format", "json", "run", "--select", *SELECTION.split()]
    lines = [
        json.loads(line) for line in run_cli(words, tmp_path / "cli", tmp_path / "target", env).stdout.splitlines()
    ]
    run = await talks.submit({"command": "run", "select": SELECTION, "env": {"TALKS_DB": str(tmp_path / "o.duckdb")}})
    await run.outcome()
    snapshot = await run.snapshot(with_nodes=False, with_events=True)
    assert snapshot is not None
    told = list(LogReader().events(snapshot.new_log_lines, snapshot.new_numbered, snapshot.new_said))
    for said in SAID:
        (theirs,) = [line for line in lines if said in line["info"]["msg"] and line["info"]["name"] in OF_PROJECTS]
        (ours,) = [event for event in told if said in event.msg]
        info = theirs["info"]
        assert (ours.name, ours.code, ours.level) == (info["name"], info["code"], info["level"]), said
        about = [each.get("node_info", {}).get("unique_id", "") for each in (theirs["data"], ours.data)]
        # dbt tells no node of what is printed; an ephemeral model, without an activity, is told by the node after it.
        assert about[0] in ("", about[1]) or "ephemeral" in said, said
    place = Console(file=StringIO(), width=200)
    with view_of(Showing(level="error"), place, Console(file=StringIO())) as view:
        view.show(snapshot)
    assert isinstance(place.file, StringIO)
    assert place.file.getvalue() == "printed by the model\n"


async def test_a_run_that_is_to_be_quiet_has_what_is_printed_alone_as_the_command_line(
    talks: DbtHarness, tmp_path: Path
) -> None:
    log = await log_of(talks, tmp_path / "talks.duckdb", env={"TALKS_DB": str(tmp_path / "q.duckdb"), "DBT_QUIET": "1"})
    assert [said for said in SAID if any(said in line for line in log)] == ["printed by the model"]
