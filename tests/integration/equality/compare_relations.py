"""Whether two databases hold the same relations with the same rows, but for what belongs to one run alone."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import psycopg2
import psycopg2.extensions

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:?\d\d)?|Z)?")
_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_YESTERDAY = str(datetime.now(UTC).date() - timedelta(days=1))
_OWN_COLUMNS = frozenset({"dbt_scd_id", "execution_seconds"})
"""A snapshot's hash of the instant at which the run took it, and what the example's on-run-end hook notes of nodes."""
_FILE_PATIENCE_SECS = 30.0

Columns: TypeAlias = list[tuple[str, str]]
Relations: TypeAlias = dict[str, tuple[str, Columns, list[tuple[str, ...]]]]
"""Kind, columns with their types, and rows of each relation, by `schema.name`."""

_NAMES = """
select table_schema, table_name, table_type from information_schema.tables
where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2
"""


def relation_differences(ours: Path, theirs: Path) -> list[str]:
    """What differs between two DuckDB files: relations, their kinds, columns and types, and rows in any order."""
    return differences_of_relations(duckdb_relations(ours), duckdb_relations(theirs))


def differences_of_relations(mine: Relations, other: Relations) -> list[str]:
    """What differs."""
    found = [f"only one side has {name}" for name in sorted(mine.keys() ^ other.keys())]
    for name in sorted(mine.keys() & other.keys()):
        for what, one, two in zip(("kind", "columns"), mine[name][:2], other[name][:2], strict=True):
            if one != two:
                found.append(f"{name}: {what}: {one} != {two}")
        rows, others = Counter(mine[name][2]), Counter(other[name][2])
        if rows != others:
            only = (sorted((rows - others).elements(), key=str), sorted((others - rows).elements(), key=str))
            found.append(f"{name}: rows ({rows.total()} and {others.total()}): {only[0]} != {only[1]}")
    return found


def duckdb_relations(file: Path) -> Relations:
    """What a file holds. Waits for a process that still has it open."""
    deadline = time.monotonic() + _FILE_PATIENCE_SECS
    while True:
        try:
            database = duckdb.connect(str(file), read_only=True)
            break
        except duckdb.IOException as error:
            if "lock" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    with database:
        return _relations(lambda query: database.execute(query).fetchall(), lambda name: f"describe {name}")


def postgres_relations(connection: psycopg2.extensions.connection) -> Relations:
    """What a PostgreSQL database holds."""
    with connection.cursor() as cursor:

        def fetch(query: str) -> list[tuple[Any, ...]]:
            cursor.execute(query)
            return cursor.fetchall()

        return _relations(fetch, _postgres_columns)


def _postgres_columns(name: str) -> str:
    return (
        "select attname, format_type(atttypid, atttypmod) from pg_attribute "
        f"where attrelid = '{name}'::regclass and attnum > 0 and not attisdropped order by attnum"
    )


def _relations(fetch: Callable[[str], list[tuple[Any, ...]]], describe: Callable[[str], str]) -> Relations:
    found: Relations = {}
    for schema, name, kind in fetch(_NAMES):
        quoted = f'"{schema}"."{name}"'
        columns = [(str(column), str(of)) for column, of, *_ in fetch(describe(quoted))]
        try:
            rows = [_row(columns, row) for row in fetch(f"select * from {quoted}")]
        except (duckdb.Error, psycopg2.Error) as error:  # a view of a query that fails
            rows = [(type(error).__name__,)]
        found[f"{schema}.{name}"] = (kind, columns, sorted(rows, key=str))
    return found


def _row(columns: Columns, row: tuple[Any, ...]) -> tuple[str, ...]:
    named = zip(columns, row, strict=True)
    return tuple("own" if name in _OWN_COLUMNS else _plain(value) for (name, _), value in named)


def _plain(value: Any) -> str:
    """A value as text, without instants of the run and ids of the run. Test data lies in the past."""
    text = _RUN_ID.sub("id", str(value))
    return _INSTANT.sub(lambda found: "now" if found[0][:10] >= _YESTERDAY else found[0], text)
