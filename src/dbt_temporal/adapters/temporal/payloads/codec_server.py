"""A codec server: Temporal's UI and CLI send it payloads, and get them decrypted.

The protocol is Temporal's (docs.temporal.io/codec-server): `POST .../encode` and `.../decode`, of which only the last
part of the path counts, with the JSON form of the protobuf message `Payloads` in both directions.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import BoundedSemaphore, Thread
from typing import Any

from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from dbt_temporal.adapters.temporal.payloads.compression import uncompressed
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024
"""A page of a history: Temporal's own limit for one is 4 MiB, which JSON and base64 make larger."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_CONNECTIONS = 32
"""At once; a browser opens six. Further ones are closed."""
REQUEST_TIMEOUT_SECS = 30.0
STOP_POLL_SECS = 0.05
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ALLOWED_HEADERS = "authorization, content-type, x-namespace"

_Conversion = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


@dataclass(frozen=True)
class CodecServerOptions:
    """How the server is reached.

    Attributes:
        host: the address to listen on.
        port: the port; 0 for a free one.
        origins: where the UI is served (`http://localhost:8233`); pages from elsewhere are refused by the browser.
        token: what a caller must show as `Authorization: Bearer <token>`; None where nobody must.
    """

    host: str = "127.0.0.1"
    port: int = 8081
    origins: tuple[str, ...] = ()
    token: str | None = None


class _RequestError(Exception):
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One connection. Each request decrypts with the same codec, on a thread of its own."""

    protocol_version = "HTTP/1.1"
    server_version = "dbt-temporal-codec-server"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_SECS
    codec: PayloadCodec
    options: CodecServerOptions

    def do_OPTIONS(self) -> None:
        """A browser asks whether the UI's page may call us."""
        self._answer(HTTPStatus.NO_CONTENT, b"", preflight=True)

    def do_POST(self) -> None:
        goes_on = not self.close_connection
        self.close_connection = True  # a body that is not read would be taken for the next request
        try:
            self._check_token()  # first: the body may be large
            body = self._body()
            self.close_connection = not goes_on
            answer = asyncio.run(_convert(self._conversion(), body)).encode()
            self._answer(HTTPStatus.OK, answer, "application/json")
        except _RequestError as error:
            self._answer(error.status, f"{error}\n".encode())
        except DbtTemporalError as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"{error.message}\n".encode())

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _RequestError(HTTPStatus.LENGTH_REQUIRED, "send the body with a Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise _RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
        return self.rfile.read(int(length))

    def _check_token(self) -> None:
        token = self.options.token
        shown = self.headers.get("Authorization", "")
        if token is not None and not hmac.compare_digest(shown.encode(), f"Bearer {token}".encode()):
            raise _RequestError(HTTPStatus.UNAUTHORIZED, "send the server's token as `Authorization: Bearer <token>`")

    def _conversion(self) -> _Conversion:
        if self.headers.get_content_type() != "application/json":
            # A page from anywhere may send other types without the browser's asking us first.
            raise _RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json")
        match self.path.partition("?")[0].rstrip("/").rpartition("/")[2]:
            case "encode":
                return self.codec.encode
            case "decode":
                return self._decode
        raise _RequestError(HTTPStatus.NOT_FOUND, "there are POST /encode and POST /decode, also below /<namespace>")

    async def _decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """As people read them: decrypted, and not compressed either."""
        answer, size = [], 0
        for payload in await self.codec.decode(payloads):
            answer.append(uncompressed(payload))
            size += answer[-1].ByteSize()
            if size > MAX_ANSWER_BYTES:
                raise _RequestError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the payloads are larger than {MAX_ANSWER_BYTES} bytes"
                )
        return answer

    def _answer(
        self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8", preflight: bool = False
    ) -> None:
        self.send_response(status)
        origin = self.headers.get("Origin")
        if origin is not None and origin in self.options.origins:
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Credentials", "true")
            if preflight:
                self.send_header("Access-Control-Allow-Methods", "POST, OPTIONS")
                self.send_header("Access-Control-Allow-Headers", ALLOWED_HEADERS)
                self.send_header("Access-Control-Max-Age", "600")
                if self.headers.get("Access-Control-Request-Private-Network") == "true":
                    # A UI on the internet (Temporal Cloud's) calls a server on the user's own machine.
                    self.send_header("Access-Control-Allow-Private-Network", "true")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Vary", "Origin")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """To our log instead of standard error; never bodies or headers."""
        logger.info("%s %s", self.address_string(), format % args)


async def _convert(conversion: _Conversion, body: bytes) -> str:
    try:
        payloads = json_format.Parse(body, Payloads())
    except (json_format.ParseError, UnicodeDecodeError):
        raise _RequestError(
            HTTPStatus.BAD_REQUEST, "the body must be the JSON form of the message `Payloads`"
        ) from None
    return json_format.MessageToJson(Payloads(payloads=await conversion(payloads.payloads)), indent=None)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[_Handler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)
        self._free = BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def server_bind(self) -> None:
        # The library's own would ask DNS for our name.
        TCPServer.server_bind(self)


class CodecServer:
    def __init__(self, codec: PayloadCodec, options: CodecServerOptions) -> None:
        """Listens at once.

        Raises:
            DbtTemporalError: of type Configuration, where the address cannot be had.
        """
        handler = type("Handler", (_Handler,), {"codec": codec, "options": options})
        try:
            self._server = _Listener(options.host, options.port, handler)
        except OSError as error:
            raise configuration_error(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from error

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serves on a thread while the context lasts; yields the URL."""
        thread = Thread(target=self._server.serve_forever, args=(STOP_POLL_SECS,), name="codec-server", daemon=True)
        thread.start()
        try:
            yield self.url
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
