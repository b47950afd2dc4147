"""Whether two DuckDB files hold the same relations with the same rows, but for what belongs to one run alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:?\d\d)?|Z)?")
_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_YESTERDAY = str(datetime.now(UTC).date() - timedelta(days=1))
_OWN_COLUMNS = frozenset({"dbt_scd_id", "execution_seconds"})
"""A snapshot's hash of the instant at which the run took it, and what the example's on-run-end hook notes of nodes."""


def relation_differences(ours: Path, theirs: Path) -> list[str]:
    """What differs: relations, their kinds, columns and types, and rows in any order."""
    mine, other = _relations(ours), _relations(theirs)
    found = [f"only one side has {name}" for name in sorted(mine.keys() ^ other.keys())]
    for name in sorted(mine.keys() & other.keys()):
        for what, one, two in zip(("kind", "columns", "rows"), mine[name], other[name], strict=True):
            if one != two:
                found.append(f"{name}: {what}: {one} != {two}")
    return found


def _relations(file: Path) -> dict[str, tuple[str, list[tuple[str, str]], list[tuple[Any, ...]]]]:
    with duckdb.connect(str(file), read_only=True) as database:
        names = database.execute(
            "select table_schema, table_name, table_type from information_schema.tables order by all"
        ).fetchall()
        return {
            f"{schema}.{name}": (kind, *_contents(database, f'"{schema}"."{name}"')) for schema, name, kind in names
        }


def _contents(
    database: duckdb.DuckDBPyConnection, relation: str
) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
    described = database.execute(f"describe {relation}").fetchall()
    columns = [(name, kind) for name, kind, *_ in described]
    rows = database.execute(f"select * from {relation}").fetchall()
    return columns, sorted((_row(columns, row) for row in rows), key=str)


def _row(columns: list[tuple[str, str]], row: tuple[Any, ...]) -> tuple[str, ...]:
    named = zip(columns, row, strict=True)
    return tuple("own" if name in _OWN_COLUMNS else _plain(value) for (name, _), value in named)


def _plain(value: Any) -> str:
    """A value as text, without instants of the run and ids of the run. Test data lies in the past."""
    text = _RUN_ID.sub("id", str(value))
    return _INSTANT.sub(lambda found: "now" if found[0][:10] >= _YESTERDAY else found[0], text)
