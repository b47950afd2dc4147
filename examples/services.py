"""What the examples need, until Ctrl-C: `python -m examples.services PORT COMMAND...`.

It starts PostgreSQL with their data, and by COMMAND a Temporal server on PORT. What runs already is named, used, and
left alone.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from examples import postgres
from examples.postgres_server import HOST, PostgresUnavailableError

STOP_SECS = 30.0
LOOK_SECS = 0.2


def main(words: Sequence[str]) -> int:
    """Runs until a signal, or until the Temporal server ends. Returns the exit code."""
    if len(words) < 2 or not words[0].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with ExitStack() as started:
        try:
            has_postgres = started.enter_context(_postgres())
        except PostgresUnavailableError as error:
            print(error, file=sys.stderr)
            return 1
        server = started.enter_context(_temporal(int(words[0]), words[1:]))
        if server is None and not has_postgres:
            print("Nothing was started, and nothing is ended.", flush=True)
            return 0
        while not stopped.wait(LOOK_SECS):
            if server is not None and server.poll() is not None:
                return server.returncode
    return 0


@contextmanager
def _postgres() -> Iterator[bool]:
    """PostgreSQL; whether it was started here, so that it is ended too."""
    if postgres.keeper() is not None:
        print(
            f"PostgreSQL of the examples runs already on {HOST}:{postgres.PORT}: it is left alone.",
            flush=True,
        )
        yield False
        return
    if _answers(postgres.PORT):
        raise PostgresUnavailableError(
            f"{HOST}:{postgres.PORT} is taken by something that is no PostgreSQL of the examples, and is left alone: "
            "name another port, EXAMPLES_PG_PORT=5434"
        )
    postgres.start()
    try:
        yield True
    finally:
        postgres.stop()


@contextmanager
def _temporal(port: int, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes] | None]:
    """The Temporal server; None where something listens there already."""
    if _answers(port):
        print(
            f"A server runs already on {HOST}:{port}: it is taken for Temporal, and left alone. The examples need "
            "their namespaces there (TEMPORAL_PORT names another port).",
            flush=True,
        )
        yield None
        return
    server = subprocess.Popen(command)
    try:
        yield server
    finally:
        # A terminal's Ctrl-C has reached it, too; a second signal would cut its end short.
        try:
            server.wait(0.0 if server.poll() is not None else 2.0)
        except subprocess.TimeoutExpired:
            server.terminate()
            server.wait(STOP_SECS)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
