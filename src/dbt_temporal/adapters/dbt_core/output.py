"""What engine processes print: into the log, never onto the worker's terminal, with the tail kept for crash reports.

The processes of all runs share one output; a run host has one of its own, so that its lines are known as the run's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dbt_temporal.adapters.output_lines import output_lines
from dbt_temporal.application.log_context import run_context

logger = logging.getLogger("dbt_temporal.engine")

_TAIL_LINES = 40
_readings: set[asyncio.Task[None]] = set()
"""Readers of hosts' output: each ends by itself, after its host, and asyncio does not hold them."""


class OutputTail:
    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self.reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of_host(self) -> AsyncIterator[int]:
        """A pipe to be handed to a new host; what comes out of it is logged as the run's that goes on here."""
        ours, theirs = os.pipe()
        try:
            stream, loop = asyncio.StreamReader(), asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(ours, "rb", 0))
            self.reading = loop.create_task(self.read(stream), context=run_context())
            _readings.add(self.reading)
            self.reading.add_done_callback(_readings.discard)
            yield theirs
        finally:
            os.close(theirs)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Reads until the last process has closed it."""
        async for line in output_lines(stream):
            self._lines.append(line)
            logger.info("%s", line)

    def text(self) -> str:
        return "\n".join(self._lines)
