"""on-run-end after `source freshness` sees its results, as on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from tests.integration.engine_driver import drive, new_invocation, open_engine, write_files
from tests.integration.equality.compare import run_cli

pytestmark = pytest.mark.every_dbt_version

SHOWN = (
    "r.node.unique_id, r.node.resource_type, r.status, r.thread_id[:7], r.execution_time is number, r.timing | length, "
    "r.message or '', r.adapter_response, r.failures, r.max_loaded_at is defined, (r.max_loaded_at or '') | string, "
    "r.age is number, r.to_dict().keys() | list | sort"
)
PROJECT = {
    "dbt_project.yml": f"""
name: fresh
version: '1.0'
profile: fresh
on-run-start: "create or replace table seen (shown text)"
on-run-end: >-
  {{% for r in results | sort(attribute='node.unique_id') %}}insert into seen values
  ('{{{{ [{SHOWN}] | join('|') | replace("'", '"') }}}}');{{% endfor %}}
flags: {{source_freshness_run_project_hooks: true}}
""",
    "profiles.yml": """
fresh: {target: dev, outputs: {dev: {type: duckdb, path: "{{ env_var('FRESH_DB') }}", threads: 1}}}
""",
    "models/sources.yml": """
sources:
  - name: raw
    schema: main
    config: {freshness: {error_after: {count: 1, period: day}}, loaded_at_field: loaded}
    tables: [{name: new}, {name: old}, {name: missing}]
""",
}


async def test_hooks_after_source_freshness_see_what_dbt_gives_them(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    write_files(folder, PROJECT)
    seen: dict[str, list[Any]] = {}
    for side in ("ours", "theirs"):
        database = tmp_path / f"{side}.duckdb"
        with duckdb.connect(str(database)) as connection:
            connection.execute("create table new as select timestamp '2100-01-01 00:00:00' as loaded")
            connection.execute("create table old as select timestamp '2000-01-01 00:00:00' as loaded")
        env = {"FRESH_DB": str(database)}
        if side == "ours":
            environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
            async with open_engine(tmp_path / "cache", environ=environ) as engine:
                invocation = new_invocation(command="source-freshness", env=env)
                await drive(engine, ProjectLocation(folder, folder), invocation)
        else:
            run_cli(["source", "freshness"], folder, tmp_path / "target", env)
        with duckdb.connect(str(database)) as connection:
            seen[side] = connection.execute("select shown from seen order by 1").fetchall()
    assert sorted(row[0].split("|")[2] for row in seen["theirs"]) == ["error", "pass", "runtime error"]
    assert [row[0].split("|") for row in seen["ours"]] == [row[0].split("|") for row in seen["theirs"]]
