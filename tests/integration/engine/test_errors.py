"""Failed nodes carry what kind of failure it was, and whether another attempt may help."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbt_temporal.domain.errors import ErrorType
from tests.integration.engine_driver import DrivenRun, copy_project, drive, new_invocation, open_engine
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


async def test_the_log_of_a_node_holds_its_sql_and_nothing_of_other_nodes(tmp_path: Path) -> None:
    location = copy_project("examples/jaffle-shop", tmp_path / "project")
    async with open_engine(tmp_path / "cache") as engine:
        run = await drive(engine, location, new_invocation(env={"JAFFLE_SHOP_DB": str(tmp_path / "w.duckdb")}))

    log = run.outcomes["model.jaffle_shop.stg_orders"].log
    assert "create view" in log
    assert "[debug] [Thread-" in log
    assert "stg_customers" not in log
    assert "\x1b[" not in log
