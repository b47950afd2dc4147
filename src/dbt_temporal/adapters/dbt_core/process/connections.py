"""A node's own database connection: what identifies its statement, and how it alone is stopped.

Checked on dbt-adapters 1.24, dbt-postgres 1.11 (psycopg2) and dbt-duckdb 1.11: `thread_connections`, `Connection`,
`LazyHandle`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.contracts.connection import Connection, ConnectionState, LazyHandle


def watch_opening(adapter: BaseAdapter, opened: Callable[[], None]) -> None:
    """Has `opened` called on the thread of each connection that opens, before its first statement runs."""
    manager = adapter.connections
    open_connection = manager.open

    def watched(connection: Connection) -> Connection:
        result = open_connection(connection)
        opened()
        return result

    manager.open = watched  # dbt takes it from the instance: LazyHandle(self.open)


def cancel_statement(adapter: BaseAdapter, unique_id: str) -> bool:
    """Cancels what the node's connections are running; says whether there was an open connection."""
    found = [
        connection for connection in _connections(adapter) if connection.name == unique_id and _is_open(connection)
    ]
    for connection in found:
        with contextlib.suppress(Exception):  # it may have ended this moment; the caller asks again
            _cancel(adapter, connection)
    return bool(found)


def statement_facts(adapter: BaseAdapter) -> dict[str, Any] | None:
    """What identifies the calling thread's session in the database; None where it is unknown."""
    connection = adapter.connections.get_if_exists()
    if connection is None or not _is_open(connection):
        return None
    if adapter.type() in ("postgres", "redshift"):
        pid = getattr(connection.handle, "get_backend_pid", lambda: None)()
        return {"adapter": adapter.type(), "backend_pid": pid} if pid else None
    return None


def end_session(adapter: BaseAdapter, facts: dict[str, Any]) -> bool:
    """Ends a session that a killed process has left behind; says whether the database knew it."""
    pid = facts.get("backend_pid")
    if adapter.type() != "postgres" or not isinstance(pid, int):
        return False
    with adapter.connection_named("end_session"):
        _, table = adapter.execute(f"select pg_terminate_backend({pid})", fetch=True)
        return bool(table.rows and table.rows[0][0])


def _connections(adapter: BaseAdapter) -> list[Connection]:
    connections = adapter.connections
    with connections.lock:
        return list(connections.thread_connections.values())


def _is_open(connection: Connection) -> bool:
    return connection.state == ConnectionState.OPEN and not isinstance(connection._handle, LazyHandle)


def _cancel(adapter: BaseAdapter, connection: Connection) -> None:
    kind = adapter.type()
    if kind == "postgres":
        # The adapter's own way terminates the session, which then looks like a lost connection.
        connection.handle.cancel()
    elif kind == "duckdb":
        connection.handle.cursor().interrupt()
    else:
        with adapter.connection_named("cancel"):
            adapter.connections.cancel(connection)
