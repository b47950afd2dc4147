"""A small HTTP server for probes: 200 or 503. `/ready` is about readiness, every other path about health."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

from dbt_temporal.adapters.health.beat import check_health
from dbt_temporal.adapters.health.readiness import Readiness
from dbt_temporal.domain.errors import configuration_error

READY_PATH = b"/ready"
REQUEST_TIMEOUT_SECS = 5.0


@contextlib.asynccontextmanager
async def health_server(port: int, path: Path, readiness: Readiness, host: str = "0.0.0.0") -> AsyncIterator[int]:
    """Serves on the port while the context lasts; yields the port (a free one for 0).

    A fresh health file at `path` is health.

    Raises:
        DbtTemporalError: of type Configuration, where the port is taken.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_TIMEOUT_SECS):
                head = await reader.readuntil(b"\r\n\r\n")
            words = head.split(maxsplit=2)
            target = words[1].partition(b"?")[0] if len(words) > 1 else b""
            writer.write(_response(*(readiness.answer if target.rstrip(b"/") == READY_PATH else check_health(path))))
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(answer, host, port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise configuration_error(f"HEALTH_PORT={port}: cannot listen there ({why}): give a free port") from error
    async with server:
        yield server.sockets[0].getsockname()[1]


def _response(well: bool, text: str) -> bytes:
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    body = f"{text}\n".encode()
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
