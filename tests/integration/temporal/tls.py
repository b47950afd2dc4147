"""TLS in front of the Temporal development server, which speaks none: certificates made on the spot, and a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

SERVER_NAME = "temporal.internal"


@dataclass(frozen=True)
class Pem:
    """A certificate and its key, as files."""

    cert: str
    key: str


class Authority:
    """A CA, and what it signs."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.ca = trustme.CA()
        self.file = folder / f"{name}-ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))

    def client(self) -> Pem:
        """A client's certificate."""
        issued = self.ca.issue_cert("worker@example.com")
        cert, key = self._folder / f"{self._name}-client.pem", self._folder / f"{self._name}-client.key"
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
        return Pem(str(cert), str(key))

    def server(self, *names: str, clients: Authority | None = None) -> ssl.SSLContext:
        """A server's side, which asks for certificates signed by `clients`, if that is given."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names).configure_cert(context)
        context.set_alpn_protocols(["h2"])
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            clients.ca.configure_trust(context)
        return context


@asynccontextmanager
async def tls_in_front_of(target: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """A proxy on a free port of localhost that ends TLS and hands on to `target`; yields its `host:port`."""
    host, port = target.rsplit(":", 1)
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def both_ways(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(both_ways(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
