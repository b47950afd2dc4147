"""`dbt-temporal compare-engines` on projects that both engines build alike, or not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.integration.engine_driver import write_files
from tests.integration.postgres import PostgresDatabase
from tests.integration.v2.installed import BINARY, environment, make_project, needs_dbt_v2, on_duckdb, on_postgres

pytestmark = needs_dbt_v2

FILES = {
    "models/same.sql": "select 1 as id, cast(1.5 as numeric(10, 2)) as amount union all select 1, 1.5",
    "models/by_version.sql": "select id, '{{ dbt_version }}' as version from {{ ref('same') }}",
    "models/by_schema.sql": "select 1 as id{% if target.schema.endswith('_v2') %}, 2 as more{% endif %}",
    "models/inner.sql": "{{ config(materialized='ephemeral') }} select 1 as id",
    "models/view_of_it.sql": "{{ config(materialized='view') }} select id from {{ ref('inner') }}",
    "models/broken_by_one.sql": "select {{ 'no_such_column' if target.schema.endswith('_v2') else 1 }} as id",
    "seeds/listed.csv": "id,word\n1,a\n2,\n",
    "tests/none.sql": "select * from {{ ref('same') }} where id > 1",
    "tests/one_row_more.sql": "select * from {{ ref('by_schema') }} limit 1",
    "tests/counted.sql": "select 1 as id {% if target.schema.endswith('_v2') %} union all select 2 {% endif %}",
}

SEEDS = "seeds: {any: {+column_types: {id: integer, word: varchar}}}\n"
"""Of other seeds, the engines do not infer the same types."""


def compared(folder: Path, env: Mapping[str, str], *flags: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the report, and all that was printed."""
    report = folder.parent / "report.json"
    ended = subprocess.run(
        [sys.executable, "-m", "dbt_temporal", "compare-engines", "--report", str(report), *flags],
        cwd=folder,
        env=environment({**env, "DBT_TEMPORAL_V2_BINARY": str(BINARY), "DBT_PROFILES_DIR": str(folder)}),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    written = json.loads(report.read_bytes()) if report.exists() else {}
    return ended.returncode, written, ended.stdout + ended.stderr


def verdicts(report: Mapping[str, Any]) -> dict[str, str]:
    return {node["unique_id"].split(".")[2]: node["verdict"] for node in report["nodes"]}


def test_what_differs_is_named_node_by_node_and_what_does_not_is_equal(tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", FILES, more=SEEDS)
    code, report, printed = compared(location.project_dir, on_duckdb(tmp_path), "--examples", "1", "--threads", "2")
    assert code == 1, printed
    assert verdicts(report) == {
        "same": "equal",
        "by_version": "rows",
        "by_schema": "columns",
        "view_of_it": "equal",
        "broken_by_one": "status",
        "listed": "equal",
        "none": "equal",
        "one_row_more": "equal",
        "counted": "failures",
    }
    by_name = {node["unique_id"].split(".")[2]: node for node in report["nodes"]}
    assert by_name["by_version"]["differing_columns"] == ["version"]
    assert (by_name["by_version"]["rows"], by_name["by_version"]["only"]) == ([2, 2], [1, 1])
    assert [rows[0]["id"] for rows in by_name["by_version"]["examples"]] == ["1", "1"]
    assert by_name["by_schema"]["why"] == "only in the second: more"
    assert by_name["broken_by_one"]["statuses"] == ["success", "error"]
    assert "no_such_column" in by_name["broken_by_one"]["why"]
    assert "Different: 4 of 9 nodes" in printed
    with duckdb.connect(str(tmp_path / "any.duckdb"), read_only=True) as database:
        schemas = {
            row[0] for row in database.execute("select distinct table_schema from information_schema.tables").fetchall()
        }
    assert schemas == {"main_dbt_core", "main_v2"}


def test_a_project_that_both_build_alike_is_equal_on_postgres_too(tmp_path: Path, postgres: PostgresDatabase) -> None:
    files = {name: text for name, text in FILES.items() if name.split("/")[1] in ("same.sql", "listed.csv", "none.sql")}
    files["models/of_json.sql"] = """select cast('{"a": 1}' as json) as document"""
    location = make_project(tmp_path / "project", files, more=SEEDS)
    code, report, printed = compared(location.project_dir, on_postgres(postgres))
    assert code == 0, printed
    assert set(verdicts(report).values()) == {"equal"}
    assert "Equal: all 4 nodes have come to the same" in printed


def test_nothing_is_built_where_both_would_write_to_the_same_relations(tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", {"models/one.sql": "select 1 as id"})
    macro = "{% macro generate_schema_name(custom, node) %}fixed{% endmacro %}"
    write_files(location.project_dir, {"macros/names.sql": macro})
    code, report, printed = compared(location.project_dir, on_duckdb(tmp_path))
    assert (code, report) == (2, {})
    assert "both engines would write to the same 1 relations (any.fixed.one)" in printed
    assert not (tmp_path / "any.duckdb").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--target", "nowhere"], "there is no target 'nowhere'; there are: duckdb, postgres"),
        (["--target", "duckdb", "--targets", "duckdb", "postgres"], "exclude each other"),
        (["--report", "report.html"], "must end with .md or .json"),
    ],
)
def test_a_wrong_flag_is_named_with_what_is_allowed(tmp_path: Path, flags: list[str], said: str) -> None:
    location = make_project(tmp_path / "project", {"models/one.sql": "select 1 as id"})
    code, _, printed = compared(location.project_dir, on_duckdb(tmp_path), *flags)
    assert code == 2
    assert said in " ".join(printed.split())


def test_without_dbt_v2_the_message_says_where_it_comes_from(tmp_path: Path) -> None:
    location = make_project(tmp_path / "project", {"models/one.sql": "select 1 as id"})
    env = {**on_duckdb(tmp_path), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [sys.executable, "-m", "dbt_temporal", "compare-engines"],
        cwd=location.project_dir,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "the engine v2 is not here" in ended.stderr
