"""Sends events by OpenLineage's client, on a thread of its own."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from openlineage.client import OpenLineageClient

from dbt_temporal.adapters.openlineage.documents import document
from dbt_temporal.domain.lineage.model import LineageEvent
from dbt_temporal.domain.secrets.redaction import MASK

MAX_WAITING = 20_000
"""How many events wait at most. Beyond, the newest are lost: those before them are what their runs began with."""
KEPT_SECS = 900.0
"""For how long an event is tried."""
FIRST_PAUSE_SECS, LONGEST_PAUSE_SECS = 1.0, 30.0
CLOSE_SECS = 10.0
"""How long the end of a worker waits for what has not been sent."""
_REFUSED = range(400, 500)
_BUSY = frozenset({408, 425, 429})
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
"""The client names its server by the whole URL, password and all."""

logger = logging.getLogger(__name__)


class OpenLineageSender:
    """Implements `LineageSender`. The thread ends with `close`, or with the process.

    Args:
        config: of OpenLineage's client, as its openlineage.yml has it.
        namespace: of the jobs.

    Raises:
        Exception: the client's own, where it cannot be made of the configuration.
    """

    def __init__(self, config: Mapping[str, Any], namespace: str) -> None:
        # By itself the client would tell of the git repository that the worker's folder lies in, if any.
        facets = {"source_code_location": {"disabled": True}, **config.get("facets", {})}
        self._client = OpenLineageClient(config={**config, "facets": facets})
        self._namespace = namespace
        self._waiting: deque[tuple[float, LineageEvent]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._lost = 0
        self._is_away = False
        self._thread = threading.Thread(target=self._work, name="openlineage", daemon=True)
        self._thread.start()

    def send(self, event: LineageEvent) -> None:
        """Takes an event. See `LineageSender`."""
        with self._changed:
            if self._closing or len(self._waiting) >= MAX_WAITING:
                self._lose("too many events wait")
                return
            self._waiting.append((time.monotonic(), event))
            self._changed.notify_all()

    def close(self, within_secs: float = CLOSE_SECS) -> None:
        """Sends what waits, but no longer than that, and takes nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(within_secs)
        left = len(self._waiting)
        if left:
            logger.warning("%d events of OpenLineage were not sent before the worker's end", left)
        elif self._thread.is_alive():
            logger.warning("what OpenLineage's client had taken was not sent before the worker's end")

    def _work(self) -> None:
        self._send_all()
        try:
            # Some of its transports (async_http, kafka) only begin to send what they take.
            self._client.close(CLOSE_SECS)
        except Exception as error:
            logger.warning("OpenLineage's client could not be closed: %s", type(error).__name__)

    def _send_all(self) -> None:
        pause = FIRST_PAUSE_SECS
        while (first := self._first()) is not None:
            taken_at, event = first
            problem = self._problem_of(event)
            if problem is None:
                self._is_back()
                pause = FIRST_PAUSE_SECS
            elif problem.is_final or time.monotonic() - taken_at > KEPT_SECS:
                self._lose(problem.message)
            else:
                if not self._pause(pause, problem.message):
                    return
                pause = min(2 * pause, LONGEST_PAUSE_SECS)
                continue
            with self._changed:
                self._waiting.popleft()

    def _first(self) -> tuple[float, LineageEvent] | None:
        """The event whose turn it is; None where there is none, and there will be no other."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            return self._waiting[0] if self._waiting else None

    def _problem_of(self, event: LineageEvent) -> _Problem | None:
        try:
            self._client.emit(document(event, self._namespace))
            return None
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            refused = status is not None and status in _REFUSED and status not in _BUSY
            is_final = refused or isinstance(error, (TypeError, ValueError))
            return _Problem(_USER_IN_URL.sub(MASK, f"{type(error).__name__}: {error}"), is_final=is_final)

    def _pause(self, seconds: float, message: str) -> bool:
        """Waits before another attempt. Returns whether one is to be made: not when the worker ends."""
        with self._changed:
            if not self._is_away:
                logger.warning("OpenLineage is away, and is tried again for %g minutes: %s", KEPT_SECS / 60, message)
            self._is_away = True
            return not self._changed.wait_for(lambda: self._closing, seconds)

    def _is_back(self) -> None:
        if self._is_away:
            logger.info("OpenLineage is back")
        self._is_away = False

    def _lose(self, message: str) -> None:
        """Tells of the first event that is lost, and of each thousandth after it."""
        if self._lost % 1000 == 0:
            logger.warning("events of OpenLineage are lost (%d so far): %s", self._lost + 1, message)
        self._lost += 1


class _Problem:
    """Why an event was not sent, and whether another attempt cannot help."""

    def __init__(self, message: str, *, is_final: bool) -> None:
        self.message = message
        self.is_final = is_final
