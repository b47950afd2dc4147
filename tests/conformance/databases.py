"""The databases that scenarios run on, and what each of them must say of itself before a scenario fits it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.integration.postgres import PostgresDatabase, running_postgres

DATABASES = ("duckdb", "postgres")
GRANTEES = {f"DBT_TEST_USER_{number}": f"dbt_test_user_{number}" for number in (1, 2, 3)}
"""Roles that the scenarios about grants find by these variables."""

_DUCKDB_COLUMNS = {
    "int_type": "INT",
    "string_type": "VARCHAR",
    "data_types": [  # value, type in the contract, type in the message
        ["1", "int", "INT"],
        ["'1'", "VARCHAR", "VARCHAR"],
        ["true", "bool", "BOOL"],
        ["'2020-01-02 03:04:05'::timestamp", "TIMESTAMP", "TIMESTAMP"],
        ["'1'::numeric", "numeric", "DECIMAL"],
        ["[1, 2]", "INTEGER[]", "INTEGER[]"],
    ],
}
_DUCKDB_UNIT_TYPES = [  # SQL, YAML
    ["1", "1"],
    ["2.0", "2.0"],
    ["'12345'", "12345"],
    ["true", "true"],
    ["DATE '2020-01-02'", "2020-01-02"],
    ["TIMESTAMP '2020-01-02 03:04:05'", "2020-01-02 03:04:05"],
    ["[1, 2, 3]", "[1, 2, 3]"],
]

_DUCKDB_NULL = {"expected_error_messages": ["NOT NULL constraint failed"]}

OVERRIDES: dict[str, dict[str, dict[str, Any]]] = {
    "duckdb": {
        "constraints.test_constraints.BaseTableConstraintsColumnsEqual": _DUCKDB_COLUMNS,
        "constraints.test_constraints.BaseViewConstraintsColumnsEqual": _DUCKDB_COLUMNS,
        "constraints.test_constraints.BaseIncrementalConstraintsColumnsEqual": _DUCKDB_COLUMNS,
        "constraints.test_constraints.BaseConstraintsRollback": _DUCKDB_NULL,
        "constraints.test_constraints.BaseIncrementalConstraintsRollback": _DUCKDB_NULL,
        "unit_testing.test_types.BaseUnitTestingTypes": {"data_types": _DUCKDB_UNIT_TYPES},
    }
}
"""Fixtures by database and scenario: the names of types and the words of errors, for which the package leaves room."""


@contextmanager
def prepared_postgres() -> Iterator[PostgresDatabase]:
    """A server with a database and the roles of `GRANTEES`, which the environment names meanwhile."""
    with running_postgres() as server, server.fresh_database("conformance") as database:
        with closing(database.connect()) as opened, opened.cursor() as cursor:
            for role in GRANTEES.values():
                with contextlib.suppress(psycopg2.errors.DuplicateObject):
                    cursor.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
        yield database


def profile_target(name: str, folder: Path, postgres: PostgresDatabase | None) -> dict[str, Any]:
    """The output of a scenario's profile; `folder` is the scenario's own."""
    if postgres is None:
        return {"type": name, "threads": 4, "path": str(folder / "dbt.duckdb")}
    return {
        "type": name,
        "threads": 4,
        "host": postgres.host,
        "port": postgres.port,
        "user": postgres.user,
        "pass": postgres.password,
        "dbname": postgres.dbname,
    }
