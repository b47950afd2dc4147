"""One database connection: how its statement is cancelled.

Checked on dbt-adapters 1.24, dbt-postgres 1.11 (psycopg2), dbt-duckdb 1.11; read in dbt-bigquery, dbt-snowflake and
dbt-databricks 1.12: `Connection`, `thread_connections`, `cancel`, `cancel_open`.
"""

from __future__ import annotations

import copy
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.contracts.connection import Connection


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
