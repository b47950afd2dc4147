"""A small web server for files that are in memory."""

from __future__ import annotations

import mimetypes
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

from dbt_temporal.domain.errors import configuration_error

INDEX_FILE = "index.html"
STOP_POLL_SECS = 0.05


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server_version = "dbt-temporal"
    sys_version = ""
    timeout = 30.0
    site: Mapping[str, bytes]

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/") or INDEX_FILE
        content = self.site.get(name)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)  # without the name, which may have what no header takes
            return
        kind, _ = mimetypes.guess_type(name)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """A terminal is not told of each request."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that has gone amid an answer is nothing that a terminal is told of."""


@contextmanager
def serving(site: Mapping[str, bytes], host: str, port: int) -> Iterator[str]:
    """Serves files while the block runs, and gives the URL.

    Args:
        site: the files by their paths; `/` is index.html.
        host: the address to listen on.
        port: the port; 0 for a free one.

    Raises:
        DbtTemporalError: of type Configuration, where nothing can listen there.
    """
    handler = type("_SiteHandler", (_Handler,), {"site": site})
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = type("_SiteServer", (_Server,), {"address_family": family})
    try:
        server = listening((host, port), handler)
    except (OSError, OverflowError) as error:
        raise configuration_error(f"cannot listen at {host}:{port}: {error}; --port names another one") from error
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": STOP_POLL_SECS}, daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
