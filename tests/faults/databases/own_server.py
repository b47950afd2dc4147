"""A PostgreSQL server of a test's own, which it may stop, kill and fill."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg2

from examples.postgres_server import HOST, USER, embedded_postgres
from tests.integration.postgres import PostgresDatabase
from tests.integration.programs import eventually
from tests.integration.servers import free_port


@dataclass(frozen=True)
class OwnPostgres:
    """The server and its database.

    Attributes:
        server: its first process.
        database: an empty one.
    """

    server: psutil.Process
    database: PostgresDatabase

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All of the server's processes stand still: connections are taken by the kernel, and nobody answers."""
        processes = [self.server, *self.server.children()]
        _signal(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(processes, signal.SIGCONT)

    def crash(self) -> None:
        """One of its processes is killed; it ends all sessions, and starts again from what it has written."""
        session = self.database.connect()
        with contextlib.closing(session):
            psutil.Process(session.info.backend_pid).kill()
        eventually(self._answers, lambda: "the server answers again")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            return self.database.query("select 1") == [(1,)]
        return False


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A server that is gone afterwards."""
    before = {each.pid for each in psutil.Process().children()}
    with embedded_postgres(free_port()) as (port, password):
        (server,) = [each for each in psutil.Process().children() if each.pid not in before]
        database = PostgresDatabase(HOST, port, USER, password, "postgres")
        # Else a commit that was confirmed may be lost in a crash, as tests' servers are quick rather than safe.
        database.execute(f"alter role {USER} set synchronous_commit = on")
        yield OwnPostgres(server, database)
