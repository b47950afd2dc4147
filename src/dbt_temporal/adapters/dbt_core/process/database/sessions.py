"""Sessions in the database by their name, which says whose they are from their first byte.

A lost attempt may still run in the database, and nobody may have heard what it had there. So each session is named by
run, step and attempt, and whoever makes another attempt at the step first ends what has such a name. Only PostgreSQL
has such names here. Checked on dbt-postgres 1.11 (`open`: `application_name`, `set role`) and PostgreSQL 18.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.contracts.connection import Connection

MAX_NAME_BYTES = 63
"""PostgreSQL cuts a longer `application_name` off."""

_END_SECS = 30.0
_OTHERS = (
    "from pg_stat_activity where position(%(mark)s in application_name) > 0 and pid <> pg_backend_pid()"
    " and usename = session_user and datname = current_database()"
)


@dataclass(frozen=True)
class SessionOwner:
    """Whose a session is.

    Attributes:
        invocation_id: the run's, for people.
        run: what no two runs have at once, and a run has again that comes in the place of another.
        step: which of the run's steps.
        attempt: its number, for people.
        whole_run: whether nothing else of the run goes on while the step does.
    """

    invocation_id: str
    run: str
    step: str
    attempt: int = 1
    whole_run: bool = False

    @property
    def mark(self) -> str:
        """What the names of those sessions have in them that may not be there beside this step's."""
        return f" {_short(self.run)}." + ("" if self.whole_run else f"{_short(self.step)}.")

    def name(self, given: str | None) -> str:
        """The name of a session; it begins with the profile's own `application_name`."""
        end = f" {_short(self.run)}.{_short(self.step)}.{self.attempt}"
        begin = f"{given or 'dbt'} {self.invocation_id}".encode("ascii", "replace").decode()
        return begin[: MAX_NAME_BYTES - len(end)] + end


def name_session(adapter: BaseAdapter, connection: Connection, owner: SessionOwner) -> None:
    """Has a connection that is about to be opened tell whose it is."""
    if adapter.type() == "postgres":
        given = adapter.config.credentials  # a connection that was open before has those of its last owner
        connection.credentials = copy.copy(given)
        connection.credentials.application_name = owner.name(given.application_name)


def session_id(adapter: BaseAdapter, handle: Any) -> int | None:
    """What the database calls a session, where the driver's connection knows: PostgreSQL's backend process."""
    if adapter.type() != "postgres":
        return None
    pid: int = handle.info.backend_pid
    return pid


def end_sessions(adapter: BaseAdapter, connection: Connection, mark: str) -> None:
    """Ends all other sessions with this mark, by a connection that was just opened, and waits for their end.

    A server that has no means to do so is told of in the log: there, a lost attempt ends when its client has gone.

    Raises:
        TimeoutError: one of them does not end.
        psycopg2.Error: the connection was lost before they had ended.
    """
    if adapter.type() != "postgres":
        return
    handle, role = connection.handle, connection.credentials.role
    try:
        # The role may be one that must not end the sessions of its members.
        handle.rollback()
        handle.autocommit = True  # every node comes here: begin and rollback are round trips, too
        with handle.cursor() as cursor:
            if role:
                cursor.execute("reset role")
            _end(cursor, mark)
    except TimeoutError:
        raise
    except Exception as error:
        if handle.closed:
            raise  # it says nothing of what the server can do, and they may go on
        _tell_once(f"sessions of lost attempts cannot be ended in this database: {error}")
    finally:
        with contextlib.suppress(Exception):  # a connection that is lost by now says so with its first statement
            handle.autocommit = False
            if role:
                handle.cursor().execute(f"set role {role}")


def _end(cursor: Any, mark: str) -> None:
    asked = {"mark": mark}
    cursor.execute(f"select pg_terminate_backend(pid) {_OTHERS}", asked)
    ended = cursor.rowcount
    if not ended:
        return
    print(f"{ended} database sessions of attempts that were lost are ended", flush=True)
    give_up_at = time.monotonic() + _END_SECS
    while True:
        cursor.execute(f"select count(*) {_OTHERS}", asked)
        (left,) = cursor.fetchone()
        if not left:
            return
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{left} database sessions of lost attempts do not end, and another would run beside")
        time.sleep(0.05)


@cache
def _tell_once(text: str) -> None:
    print(text, flush=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
