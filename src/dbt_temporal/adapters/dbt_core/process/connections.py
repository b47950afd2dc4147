"""A node's own database connection: what identifies its statement, and how it alone is stopped.

Checked on dbt-adapters 1.24, dbt-postgres 1.11 (psycopg2) and dbt-duckdb 1.11: `thread_connections`, `Connection`,
`LazyHandle`.
"""

from __future__ import annotations

import contextlib
import time
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


_CLOCK_SKEW_SECS = 60.0
_END_SECS = 30.0


def cancel_statement(adapter: BaseAdapter, unique_id: str) -> bool:
    """Cancels what the node's connections are running; says whether there was an open connection."""
    found = [
        connection for connection in _connections(adapter) if connection.name == unique_id and _is_open(connection)
    ]
    for connection in found:
        with contextlib.suppress(Exception):  # it may have ended this moment; the caller asks again
            _cancel(adapter, connection)
    return bool(found)


def cancel_everything(adapter: BaseAdapter) -> None:
    """Cancels what any connection of this process is running."""
    for connection in _connections(adapter):
        if _is_open(connection):
            with contextlib.suppress(Exception):  # it may have ended this moment; the caller asks again
                _cancel(adapter, connection)


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
    """Ends a session that a lost attempt has left behind, and waits for its end; says whether it still was there.

    The pid may be somebody else's by now: then that session began after the attempt was last heard to have it.
    """
    pid, seen_at = facts.get("backend_pid"), facts.get("seen_at")
    if adapter.type() != "postgres" or not isinstance(pid, int):
        return False
    ours = f"pid = {pid} and usename = current_user and datname = current_database()"
    if isinstance(seen_at, (int, float)):
        ours += f" and backend_start <= to_timestamp({seen_at + _CLOCK_SKEW_SECS})"
    with adapter.connection_named("end_session"):
        _, table = adapter.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {ours}", fetch=True)
        if not table.rows:
            return False
        give_up_at = time.monotonic() + _END_SECS
        while time.monotonic() < give_up_at:
            adapter.execute("select pg_stat_clear_snapshot()")  # the view stands still within a transaction
            _, table = adapter.execute(f"select count(*) from pg_stat_activity where {ours}", fetch=True)
            if not table.rows[0][0]:
                break
            time.sleep(0.05)
        return True


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
