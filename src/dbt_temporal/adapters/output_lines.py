"""Lines of a program's output, however long they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


async def output_lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yields each line without its end. asyncio's own `readline` drops what is longer than the stream's limit."""
    parts: list[bytes] = []
    while True:
        try:
            parts.append(await stream.readuntil(b"\n"))
        except asyncio.LimitOverrunError as overrun:
            parts.append(await stream.readexactly(overrun.consumed))
            continue
        except asyncio.IncompleteReadError as end:
            parts.append(end.partial)
            if not any(parts):
                return
        yield b"".join(parts).decode(errors="replace").rstrip("\r\n")
        parts.clear()
