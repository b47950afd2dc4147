"""One database connection: what identifies its session, how its statement is cancelled, how a lost session is ended.

Checked on dbt-adapters 1.24, dbt-postgres 1.11 (psycopg2), dbt-duckdb 1.11; read in dbt-bigquery, dbt-snowflake and
dbt-databricks 1.12: `Connection`, `thread_connections`, `cancel`, `cancel_open`.
"""

from __future__ import annotations

import copy
import time
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.contracts.connection import Connection

_CLOCK_SKEW_SECS = 60.0
_END_SECS = 30.0


def cancel_statement(adapter: BaseAdapter, connection: Connection, handle: Any) -> None:
    """Cancels what one connection is running, by what its adapter has for that.

    `handle` is the driver's connection that is meant; dbt's object may have another one at any moment.
    """
    kind, manager = adapter.type(), adapter.connections
    if kind == "postgres":
        # The adapter's own way terminates the session, which then looks like a lost connection.
        handle.cancel()
    elif kind == "duckdb":
        handle.cursor().interrupt()
    else:
        with adapter.connection_named("cancel"):
            if hasattr(manager, "cancel"):
                manager.cancel(connection)
            else:  # BigQuery's manager knows only how to cancel all of its connections
                of_this_one = copy.copy(manager)
                of_this_one.thread_connections = {
                    key: each for key, each in manager.thread_connections.items() if each is connection
                }
                # It would mark the connection as closed, and a statement that begins next would not be found.
                of_this_one.close = lambda each: each
                of_this_one.cancel_open()


def session_facts(adapter: BaseAdapter, connection: Connection) -> dict[str, Any] | None:
    """What identifies a new connection's session in the database; None where it is unknown."""
    if adapter.type() not in ("postgres", "redshift"):
        return None
    pid = getattr(connection.handle, "get_backend_pid", lambda: None)()
    return {"adapter": adapter.type(), "backend_pid": pid, "seen_at": time.time()} if pid else None


def end_session(adapter: BaseAdapter, facts: dict[str, Any]) -> None:
    """Ends a session that a lost attempt has left behind, where it still is there, and waits for its end.

    The pid may be somebody else's by now: then that session began after the attempt was last heard to have it.
    """
    pid, seen_at = facts.get("backend_pid"), facts.get("seen_at")
    if adapter.type() != "postgres" or not isinstance(pid, int):
        return
    ours = f"pid = {pid} and usename = current_user and datname = current_database()"
    if isinstance(seen_at, (int, float)):
        ours += f" and backend_start <= to_timestamp({seen_at + _CLOCK_SKEW_SECS})"
    with adapter.connection_named("end_session"):
        _, table = adapter.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {ours}", fetch=True)
        if not table.rows:
            return
        give_up_at = time.monotonic() + _END_SECS
        while time.monotonic() < give_up_at:
            adapter.execute("select pg_stat_clear_snapshot()")  # the view stands still within a transaction
            _, table = adapter.execute(f"select count(*) from pg_stat_activity where {ours}", fetch=True)
            if not table.rows[0][0]:
                return
            time.sleep(0.05)
