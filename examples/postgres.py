"""The PostgreSQL server of the examples, filled with their raw data: `python -m examples.postgres [start|stop]`.

Without a word it runs until Ctrl-C; `start` leaves it running, `stop` ends it. EXAMPLES_PG_PORT names another port.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2

from examples.postgres_server import HOST, USER, PostgresUnavailableError, embedded_postgres

PORT = int(os.environ.get("EXAMPLES_PG_PORT") or 5433)
PASSWORD = "postgres"
"""No secret: the server takes connections of this machine only, and holds invented data."""
DATABASE = "examples"
SEED = Path(__file__).with_name("seed.sql")
STATE = Path(tempfile.gettempdir()) / f"dbt-temporal-examples-{os.getuid()}-{PORT}.json"
"""Which process keeps the server, as {pid, created}; there while it is ready."""
START_SECS = 90.0
STOP_SECS = 30.0


def main(words: list[str]) -> int:
    """Runs one of the commands. Returns the exit code."""
    commands = {(): run, ("start",): start, ("stop",): stop}
    command = commands.get(tuple(words))
    if command is None:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return command()
    except PostgresUnavailableError as error:
        print(error, file=sys.stderr)
        return 1


def run() -> int:
    """Starts and fills the server, and keeps it until a signal."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    if keeper() is not None:
        raise PostgresUnavailableError(f"the examples' PostgreSQL runs already on port {PORT}; `stop` ends it")
    with embedded_postgres(PORT, PASSWORD):
        fill()
        with told():
            print(f"PostgreSQL on {HOST}:{PORT}, user {USER}, password {PASSWORD}, database {DATABASE}", flush=True)
            stopped.wait()
    return 0


def start() -> int:
    """Starts `run` in the background and waits until it is ready; nothing where one runs already."""
    if keeper() is None:
        with tempfile.TemporaryFile() as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "examples.postgres"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            deadline = time.monotonic() + START_SECS
            while keeper() is None:
                if child.poll() is not None or time.monotonic() > deadline:
                    child.terminate()
                    output.seek(0)
                    raise PostgresUnavailableError(output.read().decode(errors="replace").strip())
                time.sleep(0.05)
    print(f"PostgreSQL runs on {HOST}:{PORT}.")
    return 0


def stop() -> int:
    """Ends what `start` or `run` keeps."""
    process = keeper()
    if process is None:
        print(f"No PostgreSQL of the examples runs on port {PORT}.")
        return 0
    process.terminate()
    process.wait(STOP_SECS)
    print("PostgreSQL has ended.")
    return 0


def keeper() -> psutil.Process | None:
    """The process that keeps the server; None where there is none, or only the note of one that was killed."""
    try:
        state = json.loads(STATE.read_text())
        process = psutil.Process(state["pid"])
        return process if process.create_time() == state["created"] else None
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None


@contextmanager
def told() -> Iterator[None]:
    """Says that the server is ready, for `start` and `stop`, while the block runs."""
    own = psutil.Process()
    unfinished = STATE.with_suffix(f".{own.pid}")
    unfinished.write_text(json.dumps({"pid": own.pid, "created": own.create_time()}))
    unfinished.rename(STATE)
    try:
        yield
    finally:
        STATE.unlink(missing_ok=True)


def fill() -> None:
    """Makes the database and its raw data."""
    execute("postgres", f"create database {DATABASE}")
    execute(DATABASE, SEED.read_text())


def execute(database: str, statements: str) -> None:
    """Runs statements on a connection of their own."""
    connection = psycopg2.connect(host=HOST, port=PORT, user=USER, password=PASSWORD, dbname=database)
    with closing(connection), connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statements)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
