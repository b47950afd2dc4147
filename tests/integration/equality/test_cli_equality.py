"""What the engine reports is what the dbt command line of the same version reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql

from tests.integration.engine_driver import DrivenRun, copy_project, drive, new_invocation, open_engine
from tests.integration.equality.compare import (
    manifest_difference,
    run_cli,
    run_results_difference,
    sources_difference,
    sql_difference,
    unpacked_sql,
)
from tests.integration.equality.compare_relations import relation_differences
from tests.integration.postgres import PostgresDatabase, postgres_env

pytestmark = pytest.mark.every_dbt_version

SHOP = ("examples/jaffle-shop", "JAFFLE_SHOP_DB")
FAILURES = ("tests/projects/with_failures", "WITH_FAILURES_DB")


@dataclass(frozen=True)
class BothRuns:
    """Our run, and the command line's target folder and output."""

    ours: DrivenRun
    target: Path
    output: str

    def differences(self) -> list[str]:
        """Where the artifacts differ."""
        found = manifest_difference(self.ours.artifacts["manifest.json"], self.target / "manifest.json")
        if "run_results.json" in self.ours.artifacts:
            found += run_results_difference(self.ours.artifacts["run_results.json"], self.target / "run_results.json")
        if "sources.json" in self.ours.artifacts:
            found += sources_difference(self.ours.artifacts["sources.json"], self.target / "sources.json")
        return found + sql_difference(unpacked_sql(self.ours.artifacts.get("sql.zip")), self.target)


async def run_both(
    project: tuple[str, str],
    tmp_path: Path,
    command: str = "build",
    arguments: tuple[str, ...] = (),
    env: Mapping[str, Mapping[str, str]] | None = None,
    between: Callable[[], None] = lambda: None,
    **run_input: Any,
) -> BothRuns:
    """Runs the engine and then the command line, each on a database of its own (`env` by side, or DuckDB files)."""
    source, variable = project
    location = copy_project(source, tmp_path / "project")
    sides = env or {side: {variable: str(tmp_path / side / "warehouse.duckdb")} for side in ("ours", "theirs")}
    for side in sides:
        (tmp_path / side).mkdir(exist_ok=True)
    environ = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    async with open_engine(tmp_path / "cache", environ=environ) as engine:
        invocation = new_invocation(command=command, env=dict(sides["ours"]), **run_input)
        ours = await drive(engine, location, invocation, with_sql=True)
    between()
    target = tmp_path / "theirs" / "target"
    words = {"source-freshness": ["source", "freshness"]}.get(command, [command])
    finished = run_cli([*words, *arguments], location.project_dir, target, sides["theirs"])
    return BothRuns(ours, target, finished.stdout)


@pytest.mark.parametrize("project", [SHOP, FAILURES], ids=["shop", "failures"])
async def test_a_build_gives_what_the_command_line_gives(project: tuple[str, str], tmp_path: Path) -> None:
    both = await run_both(project, tmp_path)

    assert both.differences() == []
    assert relation_differences(*(tmp_path / side / "warehouse.duckdb" for side in ("ours", "theirs"))) == []


async def test_a_build_on_postgres_gives_the_artifacts_of_the_command_line(
    postgres: PostgresDatabase, tmp_path: Path
) -> None:
    env = postgres_env(postgres)
    both = await run_both(
        FAILURES,
        tmp_path,
        arguments=("--target", "postgres"),
        env={"ours": env, "theirs": env},
        between=lambda: drop_schemas(postgres),
        target="postgres",
    )

    assert both.differences() == []


def drop_schemas(database: PostgresDatabase) -> None:
    """Empties a database, so that the second run begins where the first one did."""
    with closing(database.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("select nspname from pg_namespace where nspname like 'wf%'")
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(name)))


@pytest.mark.parametrize("command", ["run", "test", "seed", "snapshot", "source-freshness"])
async def test_a_command_with_failures_gives_the_artifacts_of_the_command_line(command: str, tmp_path: Path) -> None:
    both = await run_both(FAILURES, tmp_path, command)

    assert both.differences() == []


async def test_compile_gives_the_artifacts_of_the_command_line(tmp_path: Path) -> None:
    both = await run_both(SHOP, tmp_path, "compile")

    assert both.differences() == []
    model = both.ours.outcomes["model.jaffle_shop.dim_products"]
    assert model.result.compiled_code is not None


async def test_list_prints_what_the_command_line_prints(tmp_path: Path) -> None:
    both = await run_both(SHOP, tmp_path, "list", ("--quiet",))

    listed = [node.listing for node in both.ours.plan.plan.nodes.values()]
    assert listed == both.output.split()


async def test_a_microbatch_window_gives_the_artifacts_of_the_command_line(tmp_path: Path) -> None:
    window = ("--event-time-start", "2024-04-01", "--event-time-end", "2024-07-01", "--vars", "{batch_size: month}")
    both = await run_both(
        FAILURES,
        tmp_path,
        arguments=("--select", "+tag:microbatch", *window),
        select="+tag:microbatch",
        event_time_start="2024-04-01",
        event_time_end="2024-07-01",
        vars={"batch_size": "month"},
    )

    assert both.differences() == []
    assert both.ours.status("model.with_failures.mb_partial") == "partial success"
