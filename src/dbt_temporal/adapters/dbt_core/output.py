"""What engine processes print: into the log, never onto the worker's terminal, with the tail kept for crash reports."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

logger = logging.getLogger("dbt_temporal.engine")

_TAIL_LINES = 40


class OutputTail:
    """Reads the shared output of the engine processes."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Reads until the last process has closed it."""
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line longer than the stream's limit: asyncio has dropped it
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            logger.info("%s", text)

    def text(self) -> str:
        """The last lines."""
        return "\n".join(self._lines)
