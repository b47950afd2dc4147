"""Failed nodes carry what kind of failure it was, and whether another attempt may help."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import (
    DrivenRun,
    copy_project,
    drive,
    new_invocation,
    open_engine,
    opened,
    write_files,
)
from tests.integration.postgres import PostgresDatabase, postgres_env

pytestmark = pytest.mark.every_dbt_version

EXPECTED = {
    "model.with_failures.sql_error": (ErrorType.ADAPTER, False),
    "model.with_failures.missing_relation": (ErrorType.ADAPTER, False),
    "model.with_failures.bad_cast": (ErrorType.ADAPTER, False),
    "model.with_failures.bad_post_hook": (ErrorType.ADAPTER, False),
    "model.with_failures.compile_error": (ErrorType.COMPILATION, False),
    "model.with_failures.undefined_macro_error": (ErrorType.COMPILATION, False),
    "model.with_failures.contract_mismatch": (ErrorType.COMPILATION, False),
    "model.with_failures.eph_broken_user": (ErrorType.COMPILATION, False),
    "model.with_failures.mb_partial": (ErrorType.ADAPTER, False),
    "unit_test.with_failures.unit_tested.worth_is_wrong": (ErrorType.UNIT_TEST_FAILURE, False),
    "test.with_failures.assert_two_parents": (ErrorType.TEST_FAILURE, False),
    "test.with_failures.assert_with_broken_sql": (ErrorType.ADAPTER, False),
    "seed.with_failures.bad_seed": (ErrorType.ADAPTER, False),
}


PLAIN = {
    "dbt_project.yml": "name: plain\nprofile: plain\n",
    "profiles.yml": "plain: {target: dev, outputs: {dev: {type: duckdb, path: \"{{ env_var('DB', ':memory:') }}\"}}}\n",
    "models/a.sql": "select 1 as id",
}
LONG_NAME = f"""
models:
  - name: a
    columns:
      - name: id
        data_tests:
          - not_null: {{name: {"n" * 253}}}
"""
LARGE_CELL = f"""
unit_tests:
  - name: too_large
    model: a
    given: []
    expect: {{format: csv, rows: "id\\n{"1" * 140_000}"}}
"""


def plain_project(tmp_path: Path, files: dict[str, str]) -> ProjectLocation:
    folder = tmp_path / "project"
    write_files(folder, PLAIN | files)
    return ProjectLocation(project_dir=folder, profiles_dir=folder)


def check(run: DrivenRun) -> None:
    found = {}
    for unique_id in EXPECTED:
        error = run.outcomes[unique_id].error
        found[unique_id] = (error.error_type, error.retryable) if error else None
    assert found == EXPECTED
    for unique_id, outcome in run.outcomes.items():
        failed = outcome.result.status == "error" or unique_id == "model.with_failures.eph_broken_user"
        assert (outcome.error is not None) == failed, unique_id


async def test_failures_on_duckdb_are_classified(tmp_path: Path) -> None:
    location = copy_project("tests/projects/with_failures", tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(env={"WITH_FAILURES_DB": str(tmp_path / "w.duckdb")}))

    check(run)


async def test_failures_on_postgres_are_classified(tmp_path: Path, postgres: PostgresDatabase) -> None:
    location = copy_project("tests/projects/with_failures", tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(env=postgres_env(postgres), target="postgres"))

    check(run)


async def test_a_name_too_long_for_a_file_is_not_tried_again(tmp_path: Path) -> None:
    location = plain_project(tmp_path, {"models/a.yml": LONG_NAME})
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(env={"DB": str(tmp_path / "w.duckdb")}))

    [failed] = [outcome for outcome in run.outcomes.values() if outcome.error is not None]
    assert "File name too long" in str(failed.result.message)
    assert failed.error is not None
    assert (failed.error.error_type, failed.error.retryable) == (ErrorType.ADAPTER, False)


async def test_an_exception_that_nobody_foresaw_in_planning_is_not_tried_again(tmp_path: Path) -> None:
    location = plain_project(tmp_path, {"models/a.yml": LARGE_CELL})
    async with open_engine(tmp_path / "cache") as engine:
        with pytest.raises(DbtTemporalError, match="Error: field larger than field limit") as caught:
            await engine.load_project(location)

    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ADAPTER, False)


async def test_a_project_that_another_program_is_to_parse_is_refused_where_dbt_has_that(tmp_path: Path) -> None:
    flagged = PLAIN["dbt_project.yml"] + "flags: {use_v2_parser: true}\n"
    location = plain_project(tmp_path, {"dbt_project.yml": flagged})
    async with open_engine(tmp_path / "cache") as engine:
        if version("dbt-core") < "1.12":  # which knows no such flag, and parses by itself
            await engine.load_project(location)
            return
        with pytest.raises(DbtTemporalError, match=r"use_v2_parser .* is not supported") as caught:
            await engine.load_project(location)

    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.CONFIGURATION, False)


async def test_a_database_that_is_not_there_yet_is_worth_another_attempt(
    tmp_path: Path, postgres: PostgresDatabase
) -> None:
    location = copy_project("tests/projects/with_failures", tmp_path / "project")
    env = postgres_env(postgres)
    [name] = [name for name, value in env.items() if value == postgres.dbname]
    invocation = new_invocation(env=env | {name: "not_there_yet"}, target="postgres")
    async with open_engine(tmp_path / "cache") as engine:
        with pytest.raises(DbtTemporalError, match='database "not_there_yet" does not exist') as caught:
            await opened(engine, location, invocation).before_run(lambda _: None)

    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ADAPTER, True)


async def test_the_log_of_a_node_holds_its_sql_and_nothing_of_other_nodes(tmp_path: Path) -> None:
    location = copy_project("examples/jaffle-shop", tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(env={"JAFFLE_SHOP_DB": str(tmp_path / "w.duckdb")}))

    log = run.outcomes["model.jaffle_shop.stg_orders"].log
    assert "create view" in log
    assert "[debug] [Thread-" in log
    # dbt itself says whose connection a thread had before, where the thread is not a new one.
    said = [line for line in log.splitlines() if "Re-using an available connection" not in line]
    assert "stg_customers" not in "\n".join(said)
    assert "\x1b[" not in log
