"""What requests are at, told to the worker while they are under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from dbt_temporal.adapters.dbt_core import wire

PAUSE_SECS = 0.5
"""How long facts are gathered. What ends within that time, as most nodes do, costs no message."""


class Teller:
    """Sends facts about requests, on a thread of its own: whoever learns one does not wait for the worker to hear it.

    Args:
        send: sends a message, and blocks until it is on its way.
        pause: returns when facts have been gathered for long enough.
    """

    def __init__(
        self, send: Callable[[wire.Message], None], pause: Callable[[], object] = lambda: time.sleep(PAUSE_SECS)
    ) -> None:
        self._send = send
        self._pause = pause
        self._untold: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, request_id: int, facts: Mapping[str, Any]) -> None:
        """Takes facts about a request; later ones replace earlier ones of the same name."""
        with self._lock:
            self._untold.setdefault(request_id, {}).update(facts)
            if self._thread is None:
                self._thread = threading.Thread(target=self._tell, daemon=True)
                self._thread.start()
        self._news.set()

    def forget(self, request_id: int) -> None:
        """A request has ended, and nobody waits for facts about it."""
        with self._lock:
            self._untold.pop(request_id, None)

    def _tell(self) -> None:
        while True:
            self._news.wait()
            self._pause()
            self._news.clear()
            with self._lock:
                untold, self._untold = self._untold, {}
            for request_id, facts in untold.items():
                try:
                    self._send({"id": request_id, "told": facts})
                except OSError:
                    return  # the worker has gone, and the process ends
