"""Artifacts of earlier runs are used as the dbt command line uses those in its folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from dbt_temporal.adapters.dbt_core.engine import DbtCoreEngine
from dbt_temporal.domain.errors import DbtTemporalError
from tests.integration.equality.compare import run_results_difference
from tests.integration.equality.test_resolved_flags import Sides

pytestmark = pytest.mark.every_dbt_version


SOURCES = {
    "models/sources.yml": """\
sources:
  - name: raw
    schema: main
    config: {loaded_at_field: loaded_at, freshness: {warn_after: {count: 1, period: day}}}
    tables: [{name: grows}, {name: stays}]
""",
    "models/from_grows.sql": "select * from {{ source('raw', 'grows') }}",
    "models/from_stays.sql": "select * from {{ source('raw', 'stays') }}",
}


async def test_source_status_compares_the_current_sources_with_those_of_earlier(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    sides = Sides(engine, tmp_path, SOURCES)
    files: dict[str, Path] = {}
    target = tmp_path / "theirs" / "target"
    for when in ("2026-01-01", "2026-01-02"):
        for side in ("ours", "theirs"):
            with duckdb.connect(sides.env(side, {})["FLAGS_DB"]) as connection:
                connection.sql(f"create or replace table grows as select timestamp '{when}' as loaded_at")
                connection.sql("create table if not exists stays as select timestamp '2026-01-01' as loaded_at")
        files[when] = tmp_path / when / "sources.json"
        sides.theirs("source", "freshness")
        files[when].parent.mkdir()
        shutil.copyfile(target / "sources.json", files[when])
    select = "source_status:fresher+"
    theirs = sides.theirs("run", "--select", select, "--state", str(files["2026-01-01"].parent))
    earlier, current = files.values()
    ours = await sides.ours(command="run", select=select, state_manifest_ref=str(earlier), sources_ref=str(current))
    assert run_results_difference(ours.artifacts["run_results.json"], theirs) == []
    assert list(ours.statuses()) == ["model.project.from_grows"]
    with pytest.raises(DbtTemporalError, match="No current state comparison freshness results"):
        await sides.ours(command="run", select=select, state_manifest_ref=str(earlier))
    with pytest.raises(DbtTemporalError, match=r"sources_ref: there is no sources\.json at nowhere"):
        await sides.ours(command="run", select=select, state_manifest_ref=str(earlier), sources_ref="nowhere")


async def test_errors_about_state_name_it_as_the_input_does_when_nodes_are_to_run(
    engine: DbtCoreEngine, tmp_path: Path
) -> None:
    sides = Sides(engine, tmp_path, {"models/one.sql": "select 1 as n"})
    results = tmp_path / "earlier" / "run_results.json"
    results.parent.mkdir()
    results.write_bytes((await sides.ours(command="run")).artifacts["run_results.json"])
    with pytest.raises(DbtTemporalError) as caught:
        await sides.ours({"DBT_DEFER": "true"}, command="run", state_manifest_ref=str(results.parent))
    assert f'Could not find manifest in --state path: "{results.parent}"' in caught.value.message
