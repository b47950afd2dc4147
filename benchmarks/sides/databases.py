"""Where projects are built: a schema of a PostgreSQL server, or a DuckDB file of one's own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg2
from psycopg2 import sql

from benchmarks.sides.processes import ROOT, BenchmarkError, tail

VIEWS_AT_ONCE = 1_000
"""PostgreSQL has room for some thousand locks of a transaction."""

# It ends when the benchmark closes its standard input, as its death does too.
SERVER = """
import sys
from examples.postgres_server import embedded_postgres
with embedded_postgres() as (port, password):
    print(port, password, flush=True)
    sys.stdin.read()
"""


class Database(Protocol):
    """What one side builds its views in."""

    def output(self) -> dict[str, Any]:
        """The output of profiles.yml that leads there, without its threads."""

    def clear(self) -> None:
        """Removes all that was built."""

    def count_views(self) -> int:
        """How many views there are."""


@dataclass(frozen=True)
class DuckDBFile:
    """A DuckDB file."""

    path: Path

    def output(self) -> dict[str, Any]:
        """The output of profiles.yml that leads there, without its threads."""
        return {"type": "duckdb", "path": str(self.path), "schema": "main"}

    def clear(self) -> None:
        """Removes the file."""
        for path in (self.path, self.path.with_name(f"{self.path.name}.wal")):
            path.unlink(missing_ok=True)

    def count_views(self) -> int:
        """How many views there are."""
        with duckdb.connect(self.path, read_only=True) as connection:
            rows = connection.execute("select count(*) from duckdb_views() where not internal").fetchall()
        return int(rows[0][0])


@dataclass(frozen=True)
class DuckDBMemory:
    """A DuckDB in the memory of each process that opens it, gone with that."""

    def output(self) -> dict[str, Any]:
        """The output of profiles.yml that leads there, without its threads."""
        return {"type": "duckdb", "path": ":memory:"}

    def clear(self) -> None:
        """Nothing is left of it."""

    def count_views(self) -> int:
        """Nobody else can see them."""
        return 0


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server; `process` has all of it below itself, where it was started here."""

    host: str
    port: int
    user: str
    password: str
    dbname: str
    process: subprocess.Popen[bytes] | None = None

    def output(self) -> dict[str, Any]:
        """What a connection needs, by the names that dbt and psycopg2 share."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
        }


@dataclass(frozen=True)
class PostgresSchema:
    """A schema of a PostgreSQL server."""

    server: PostgresServer
    name: str

    def output(self) -> dict[str, Any]:
        """The output of profiles.yml that leads there, without its threads."""
        return {"type": "postgres", "schema": self.name, **self.server.output()}

    def clear(self) -> None:
        """Removes the schema; its views before, newest first and some at once: each one that falls takes a lock."""
        newest = (
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = %s and c.relkind = 'v' order by c.oid desc limit %s"
        )
        with closing(psycopg2.connect(**self.server.output())) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while True:
                cursor.execute(newest, (self.name, VIEWS_AT_ONCE))
                views = [sql.Identifier(self.name, name) for (name,) in cursor.fetchall()]
                if not views:
                    break
                cursor.execute(sql.SQL("drop view if exists {} cascade").format(sql.SQL(", ").join(views)))
            cursor.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(self.name)))

    def count_views(self) -> int:
        """How many views there are."""
        with closing(psycopg2.connect(**self.server.output())) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from pg_views where schemaname = %s", (self.name,))
            return sum(count for (count,) in cursor.fetchall())


@contextmanager
def postgres_server(folder: Path) -> Iterator[PostgresServer]:
    """The server that PGHOST and its like name; where PGHOST is not set, one of the package embedded-postgres.

    The folder, which has its log, is made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host = os.environ.get("PGHOST")
    if host:
        given = os.environ
        server = PostgresServer(
            host=host,
            port=int(given.get("PGPORT") or 5432),
            user=given.get("PGUSER") or "postgres",
            password=given.get("PGPASSWORD") or "",
            dbname=given.get("PGDATABASE") or "postgres",
        )
        try:
            psycopg2.connect(**server.output()).close()
        except psycopg2.OperationalError as error:
            raise BenchmarkError(f"the server that PGHOST names does not answer: {error}") from error
        yield server
    else:
        with _embedded_server(folder / "postgres.log") as server:
            yield server


@contextmanager
def _embedded_server(log: Path) -> Iterator[PostgresServer]:
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends it then
        ) as process,
    ):
        assert process.stdout is not None
        answer = process.stdout.readline().split()
        if not answer:
            raise BenchmarkError(f"PostgreSQL does not start:\n{tail(log)}")
        port, password = int(answer[0]), answer[1].decode()
        yield PostgresServer("127.0.0.1", port, "postgres", password, "postgres", process)


@contextmanager
def databases(
    kind: str, folder: Path, sides: Sequence[str] = ("ours", "cli")
) -> Iterator[tuple[list[Database], subprocess.Popen[bytes] | None]]:
    """Where each side builds, and the PostgreSQL server, if it was started here.

    Args:
        kind: `postgres` or `duckdb`.
        folder: has the DuckDB files, or the server's log; made where it is not there.
        sides: their names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "duckdb":
        yield [DuckDBFile(folder / f"{side}.duckdb") for side in sides], None
        return
    name = f"bench_{secrets.token_hex(4)}"
    with postgres_server(folder) as server:
        schemas: list[Database] = [PostgresSchema(server, f"{name}_{side}") for side in sides]
        try:
            yield schemas, server.process
        finally:
            for schema in schemas:
                schema.clear()
