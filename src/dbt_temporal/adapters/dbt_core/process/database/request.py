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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.contracts.connection import Connection, ConnectionState
from dbt_common.context import try_get_invocation_context

from dbt_temporal.adapters.dbt_core.process import bootstrap
from dbt_temporal.adapters.dbt_core.process.database.connections import cancel_statement
from dbt_temporal.adapters.dbt_core.process.database.sessions import (
    SessionOwner,
    end_sessions,
    name_session,
    session_id,
)
from dbt_temporal.application.attempt_facts import PHASE, SESSION
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

CANCEL_AGAIN_SECS = 0.1


class Request:
    """One request of the worker. Its sessions in the database are named after `owner`, where it runs the user's
    statements, and its first one ends those of other attempts at the same."""

    def __init__(self, adapter: BaseAdapter, context: Any, owner: SessionOwner | None = None) -> None:
        self._adapter = adapter
        self._context = copy.copy(context)
        self._context.request = self
        self._owner = owner
        self._alone = owner is None
        """Whether no other attempt has a session any more."""
        self._first = threading.Lock()
        self._lock = threading.Lock()
        self._opened: list[_Opened] = []
        self.silence_secs = math.inf
        """How long it may go on while nothing is heard of the worker."""
        self.tell: Callable[[Mapping[str, Any]], None] = lambda _facts: None
        """Takes facts about the request, which the worker is to hear."""
        self.cancelled = threading.Event()
        self.ended = threading.Event()

    def begin(self) -> None:
        """Makes the calling thread, and those that it starts, work for the request."""
        bootstrap.share_invocation_context(self._context)

    def open(self, connection: Connection, by_adapter: Callable[[Connection], Connection]) -> Connection:
        """Opens a connection, and takes note of it before its first statement runs."""
        with self._first if not self._alone else contextlib.nullcontext():
            if self._owner is not None:
                name_session(self._adapter, connection, self._owner)
            opened = by_adapter(connection)
            self._take_note(connection)
            if not self._alone and self._owner is not None:
                end_sessions(self._adapter, connection, self._owner.mark)
                self._alone = True
        return opened

    def _take_note(self, connection: Connection) -> None:
        with self._lock:
            still_open = [each for each in self._opened if each.is_open]
            self._opened = [*still_open, _Opened(connection, connection.handle)]
        session = session_id(self._adapter, connection.handle)
        if session is not None:
            self.tell({SESSION: session})

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
    def holding(self, lock: threading.Lock | threading.RLock, waiting: str | None = None) -> Iterator[None]:
        """Holds a lock; a cancelled request does not wait for whoever has it.

        Args:
            lock: what is held.
            waiting: the phase of the request while it waits.

        Raises:
            DbtTemporalError: the request was cancelled before it had the lock.
        """
        while not lock.acquire(timeout=CANCEL_AGAIN_SECS):
            self.refuse_if_cancelled()
            if waiting is not None:
                self.tell({PHASE: waiting})
                waiting = None
        try:
            yield
        finally:
            lock.release()


@dataclass(frozen=True)
class _Opened:
    connection: Connection
    handle: Any

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed since. dbt's object lives longer, and may be another request's by now."""
        return self.connection.state == ConnectionState.OPEN and self.connection._handle is self.handle


def watch_connections(adapter: BaseAdapter) -> None:
    """Has each connection told to the request on whose threads it is opened."""
    manager = adapter.connections
    open_connection = manager.open

    def watched(connection: Connection) -> Connection:
        request: Request | None = getattr(try_get_invocation_context(), "request", None)
        return open_connection(connection) if request is None else request.open(connection, open_connection)

    manager.open = watched  # dbt takes it from the instance: LazyHandle(self.open)
