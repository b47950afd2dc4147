"""The databases that scenarios run on, and what each of them must say of itself before a scenario fits it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg2 import sql

from examples.postgres_server import HOST, USER, embedded_postgres
from tests.integration.postgres import PostgresDatabase
from tests.integration.servers import free_port

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
    """A server of its own, with the roles of `GRANTEES` and the database and user that scenarios expect."""
    with embedded_postgres(free_port()) as (port, password):
        server = PostgresDatabase(HOST, port, USER, password, "postgres")
        with closing(server.connect()) as opened, opened.cursor() as cursor:
            cursor.execute("create database dbt")
            role = sql.SQL("create role root superuser login password {}")
            cursor.execute(role.format(sql.Literal(password)))
            for grantee in GRANTEES.values():
                cursor.execute(sql.SQL("create role {}").format(sql.Identifier(grantee)))
        yield replace(server, dbname="dbt", user="root")


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
