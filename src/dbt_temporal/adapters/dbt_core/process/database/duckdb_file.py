"""Taking turns on a DuckDB file, which one process at a time may have open.

A host keeps the file open while its nodes run and a moment longer, then closes it; opening waits for whoever has it.
Checked on dbt-duckdb 1.11.1: `DuckDBConnectionManager._ENV`, `_LOCK`, `Environment.close`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbt.adapters.base.impl import BaseAdapter

from dbt_temporal.adapters.dbt_core.process.database.request import Request
from dbt_temporal.application.attempt_facts import PHASE, WAITING_FOR_FILE

LINGER_SECS = 0.1
"""How long the file stays open after the last node: the next one of a chain usually comes within that time."""

OPEN_LIMIT_SECS = 300.0
NEW_FILE_SECS = 5.0
"""How old a file may be that DuckDB does not know for its own, and still be one that is being made."""
_FIRST_WAIT_SECS = 0.02
_LONGEST_WAIT_SECS = 0.5


class WarehouseGate:
    """Everything that talks to the warehouse goes through `using`."""

    @contextlib.contextmanager
    def using(self, request: Request) -> Iterator[None]:  # noqa: ARG002
        """The warehouse may be used meanwhile. A request that is cancelled does not wait for it any longer."""
        yield


class DuckDbFileGate(WarehouseGate):
    def __init__(self, adapter: BaseAdapter, open_limit_secs: float = OPEN_LIMIT_SECS) -> None:
        self._adapter = adapter
        self._manager: Any = type(adapter.connections)
        self._open_limit_secs = open_limit_secs
        self._lock = threading.Lock()
        self._users = 0
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def using(self, request: Request) -> Iterator[None]:
        """See the base class.

        Raises:
            Exception: the driver's own, when the file could not be opened within the limit.
        """
        with request.holding(self._lock, waiting=WAITING_FOR_FILE):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._users == 0:
                self._open(request)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._timer = threading.Timer(LINGER_SECS, self._close_if_unused)
                    self._timer.daemon = True
                    self._timer.start()

    def _open(self, request: Request) -> None:
        deadline = time.monotonic() + self._open_limit_secs
        wait = _FIRST_WAIT_SECS
        while True:
            try:
                with self._adapter.connection_named("open"):
                    _ = self._adapter.connections.get_thread_connection().handle
                return
            except Exception as error:
                self._close()
                passes = _is_locked(error) or self._is_being_made(error)
                if not passes or request.cancelled.is_set() or time.monotonic() > deadline:
                    raise
            if wait == _FIRST_WAIT_SECS:
                request.tell({PHASE: WAITING_FOR_FILE})
            time.sleep(wait)
            wait = min(wait * 1.5, _LONGEST_WAIT_SECS)

    def _is_being_made(self, error: BaseException) -> bool:
        """Whether another process has created the file a moment ago, and not written what DuckDB knows it by.

        DuckDB looks at a file before it asks for the lock on it.
        """
        if "not a valid DuckDB database file" not in str(error):
            return False
        try:
            return time.time() - Path(self._adapter.config.credentials.path).stat().st_mtime < NEW_FILE_SECS
        except OSError:
            return False

    def _close_if_unused(self) -> None:
        with self._lock:
            if self._users == 0:
                self._close()

    def _close(self) -> None:
        with self._manager._LOCK:
            environment, self._manager._ENV = self._manager._ENV, None
            if environment is not None:
                with contextlib.suppress(Exception):
                    environment.close()


def gate_for(adapter: BaseAdapter) -> WarehouseGate:
    """The gate of an adapter: only DuckDB files need one; a database in memory would be lost by closing it."""
    if adapter.type() != "duckdb" or is_in_memory(adapter):
        return WarehouseGate()
    credentials: Any = adapter.config.credentials
    if credentials.is_motherduck or credentials.remote:
        return WarehouseGate()
    return DuckDbFileGate(adapter)


def is_in_memory(adapter: BaseAdapter) -> bool:
    """Whether DuckDB keeps a database in the memory of this process: the target's own, or one that it attaches."""
    if adapter.type() != "duckdb" or adapter.config.credentials.remote:
        return False
    credentials: Any = adapter.config.credentials
    attached = [attachment.path for attachment in credentials.attach or []]
    # DuckDB takes `:memory:name` as well, and no path at all.
    return any(not path or path.startswith(":memory:") for path in [credentials.path, *attached])


def _is_locked(error: BaseException) -> bool:
    text = str(error)
    return "Could not set lock on file" in text or "Conflicting lock is held" in text
