"""Ways to servers that can be shut, or kept from letting anything through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.integration.servers import free_port

_REQUESTS = tuple(f"{method} ".encode() for method in ("GET", "HEAD", "PUT", "POST", "DELETE"))
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Door:
    """A way to a server on this machine.

    Attributes:
        port: where it is.
        held: what was kept back so far, by the words that it was kept back for.
        refuses: whether requests by HTTP do not come through, and are answered by 503.
        refused: how many there were.
    """

    def __init__(self, port_behind: int) -> None:
        self.port = free_port()
        self.held: list[bytes] = []
        self.refuses = False
        self.refused = 0
        self._port_behind = port_behind
        self._server: asyncio.Server | None = None
        self._inside: set[asyncio.StreamWriter] = set()
        self._kept_back: set[bytes] = set()
        self._changed = asyncio.Condition()

    async def open(self) -> None:
        """Lets everybody in."""
        self._server = await asyncio.start_server(self._through, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """Cuts what goes through, and lets nobody in."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Cuts what goes through."""
        for writer in list(self._inside):
            writer.close()

    def keep_back(self, words: bytes) -> None:
        """From now on, nothing that goes to the server with these words in it comes through, nor what follows it."""
        self._kept_back.add(words)

    async def let_through(self, words: bytes) -> None:
        """What was kept back for these words goes on."""
        async with self._changed:
            self._kept_back.discard(words)
            self._changed.notify_all()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port_behind)
        both = {writer, far_writer}

        async def may_pass(content: bytes) -> bool:
            await self._check(content)
            if not (self.refuses and content.startswith(_REQUESTS)):
                return True
            self.refused += 1
            writer.write(_UNAVAILABLE)
            await writer.drain()
            while await reader.read(65_536):  # the answer would be lost with what nobody reads
                pass
            return False

        self._inside |= both
        try:
            ways = (self._carry(reader, far_writer, may_pass), self._carry(far_reader, writer))
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        finally:
            self._inside -= both
            for each in both:
                each.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        may_pass: Callable[[bytes], Awaitable[bool]] | None = None,
    ) -> None:
        with suppress(ConnectionError):
            while content := await reader.read(65_536):
                if may_pass is not None and not await may_pass(content):
                    return
                writer.write(content)
                await writer.drain()

    async def _check(self, content: bytes) -> None:
        for words in [words for words in self._kept_back if words in content]:
            self.held.append(words)
            async with self._changed:
                await self._changed.wait_for(lambda words=words: words not in self._kept_back)  # type: ignore[misc]


@asynccontextmanager
async def door_to(port: int) -> AsyncIterator[Door]:
    """An open door, which is shut in the end."""
    door = Door(port)
    await door.open()
    try:
        yield door
    finally:
        await door.shut()
