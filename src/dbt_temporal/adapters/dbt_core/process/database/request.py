"""A request under way: the database connections that it has opened, on whichever threads, and how it alone is stopped.

dbt hands its invocation context on to the threads that it starts (for schemas, the relation cache, the catalog), and so
do we for batches. So each request has a context of its own, by which a thread knows for which request it works.
Checked on dbt-common 1.39 (`InvocationContext`, `_thread_initializer`) and dbt-adapters 1.24 (`LazyHandle`).
"""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.contracts.connection import Connection, ConnectionState
from dbt_common.context import try_get_invocation_context

from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.database.connections import cancel_statement, session_facts
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

CANCEL_AGAIN_SECS = 0.1

Facts = dict[str, Any]


class Request:
    """One request of the worker. `tell` hears of its sessions in the database, whenever it opens another."""

    def __init__(self, adapter: BaseAdapter, context: Any, tell: Callable[[list[Facts]], None]) -> None:
        self._adapter = adapter
        self._context = copy.copy(context)
        self._context.request = self
        self._tell = tell
        self._lock = threading.Lock()
        self._opened: list[_Opened] = []
        self.silence_secs = math.inf
        """How long it may go on while nothing is heard of the worker."""
        self.cancelled = threading.Event()
        self.ended = threading.Event()

    def begin(self) -> None:
        """Makes the calling thread, and those that it starts, work for the request."""
        bootstrap.share_invocation_context(self._context)

    def connection_opened(self, connection: Connection) -> None:
        """Takes note of a connection, before its first statement runs."""
        facts = session_facts(self._adapter, connection)
        with self._lock:
            still_open = [each for each in self._opened if each.is_open]
            self._opened = [*still_open, _Opened(connection, connection.handle, facts)]
            sessions = [each.facts for each in self._opened if each.facts is not None]
        if facts is not None:
            self._tell(sessions)

    def cancel_statements(self) -> None:
        with self._lock:
            opened = list(self._opened)
        for each in opened:
            if each.is_open:
                with contextlib.suppress(Exception):  # it may have ended this moment; the caller asks again
                    cancel_statement(self._adapter, each.connection, each.handle)

    def cancel(self) -> None:
        """Stops the request's statements, again and again until it has ended: it may be between two statements."""
        self.cancelled.set()
        while not self.ended.is_set():
            self.cancel_statements()
            self.ended.wait(CANCEL_AGAIN_SECS)

    def refuse_if_cancelled(self) -> None:
        """To be called before something begins.

        Raises:
            DbtTemporalError: the request was cancelled.
        """
        if self.cancelled.is_set():
            raise DbtTemporalError(ErrorType.ENGINE_CRASHED, "cancelled while it waited for others")

    @contextlib.contextmanager
    def holding(self, lock: threading.Lock | threading.RLock) -> Iterator[None]:
        """Holds a lock; a cancelled request does not wait for whoever has it.

        Raises:
            DbtTemporalError: the request was cancelled before it had the lock.
        """
        while not lock.acquire(timeout=CANCEL_AGAIN_SECS):
            self.refuse_if_cancelled()
        try:
            yield
        finally:
            lock.release()


@dataclass(frozen=True)
class _Opened:
    connection: Connection
    handle: Any
    facts: Facts | None

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed since. dbt's object lives longer, and may be another request's by now."""
        return self.connection.state == ConnectionState.OPEN and self.connection._handle is self.handle


def watch_connections(adapter: BaseAdapter) -> None:
    """Has each connection told to the request on whose threads it is opened."""
    manager = adapter.connections
    open_connection = manager.open

    def watched(connection: Connection) -> Connection:
        result = open_connection(connection)
        request = getattr(try_get_invocation_context(), "request", None)
        if request is not None:
            request.connection_opened(connection)
        return result

    manager.open = watched  # dbt takes it from the instance: LazyHandle(self.open)
