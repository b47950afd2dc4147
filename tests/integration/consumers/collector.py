"""A server that takes OpenLineage's events, as a catalogue does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Collector:
    """What it was sent.

    Attributes:
        url: its own.
        events: what it has taken, in order.
        paths, keys: where the events were sent, and under which API keys.
        answers: the status codes of its next answers; then each is 201. What is refused is not taken.
        gate: it answers nothing before that is set.
        asked: how many requests there were.
    """

    url: str
    events: list[dict[str, Any]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    keys: set[str | None] = field(default_factory=set)
    answers: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def told(self) -> list[tuple[str, str]]:
        """The jobs with the types of their events, in order."""
        return [(event["job"]["name"], event["eventType"]) for event in self.events]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Such a server for as long as the block goes on."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            collector.asked += 1
            collector.gate.wait()
            status = collector.answers.pop(0) if collector.answers else 201
            if status < 400:
                collector.events.append(content)
                collector.paths.add(self.path)
                collector.keys.add(self.headers["Authorization"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Tests say what they miss."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    collector.gate.set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
