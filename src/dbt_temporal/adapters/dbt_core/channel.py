"""The worker's end of a socket to an engine process: many requests in flight, answers by id."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any

from dbt_temporal.adapters.dbt_core import wire
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

EventHandler = Callable[[wire.Message], None]


class Channel:
    """Requests to one engine process. When the process goes, every pending request raises EngineCrashed."""

    def __init__(self, sock: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # asyncio's transport can send no descriptors; they go over a second handle of the same socket.
        self._fd_socket = sock
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._listeners: dict[int, EventHandler] = {}
        self._next_id = 0
        self.on_event: EventHandler | None = None
        """Hears of messages that answer no request."""
        self.closed = asyncio.Event()
        self.alive = True
        """Whether the process may still answer; `closed` follows when it is known how it ended."""
        self.describe_end: Callable[[], str] = lambda: "its connection closed"
        self.settle_end: Callable[[], Any] | None = None
        self._read_task = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        """Wraps a connected unix socket, which the channel owns from now on."""
        sock.setblocking(False)
        twin = sock.dup()
        twin.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(twin, reader, writer)

    def start(
        self, op: str, *, fds: Sequence[int] = (), told: EventHandler | None = None, **fields: Any
    ) -> tuple[int, asyncio.Future[Any]]:
        """Sends a request; the future brings its answer, or raises `DbtTemporalError`.

        The caller keeps its own copies of `fds`, which go along. `told` hears facts about the request, if the process
        tells some before its answer.
        """
        if self.closed.is_set():
            raise self._crash()
        self._next_id += 1
        request_id = self._next_id
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = future
        future.add_done_callback(lambda _: self._forget(request_id))
        if told is not None:
            self._listeners[request_id] = told
        data = wire.encode({"id": request_id, "op": op, **fields})
        if fds:
            self._send_fds(data, fds)
        else:
            self._writer.write(data)
        return request_id, future

    async def request(self, op: str, **fields: Any) -> Any:
        _, future = self.start(op, **fields)
        return await future

    def notify(self, op: str, **fields: Any) -> None:
        """Sends a message that has no answer."""
        if not self.closed.is_set():
            self._writer.write(wire.encode({"op": op, **fields}))

    async def close(self) -> None:
        """Closes the socket; the process at the other end takes that as the order to end."""
        self._writer.close()
        self._fd_socket.close()
        self._read_task.cancel()
        await asyncio.wait([self._read_task])  # however it ended
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _send_fds(self, data: bytes, fds: Sequence[int]) -> None:
        # A request with descriptors is small and goes out alone, so the socket takes it whole.
        try:
            sent = socket.send_fds(self._fd_socket, [data], fds)
        except ConnectionError:  # it has ended, and this worker has not heard of it yet
            sent = 0
            self.alive = False
        if sent != len(data):
            raise self._crash()

    async def _read(self) -> None:
        try:
            while True:
                header = await self._reader.readexactly(wire.HEADER.size)
                body = await self._reader.readexactly(wire.HEADER.unpack(header)[0])
                self._dispatch(wire.loads(body))
        except (asyncio.IncompleteReadError, OSError):
            self.alive = False
            if self.settle_end is not None:
                await self.settle_end()
        finally:
            self.alive = False
            self.closed.set()
            error = self._crash()
            for future in list(self._pending.values()):
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # whoever waited may have been cancelled meanwhile

    def _dispatch(self, message: wire.Message) -> None:
        request_id = message.get("id")
        future = self._pending.get(request_id) if isinstance(request_id, int) else None
        if "ok" in message:
            if future is not None and not future.done():
                future.set_result(message["ok"])
        elif "error" in message:
            if future is not None and not future.done():
                future.set_exception(error_from_wire(message["error"]))
                future.exception()
        elif "told" in message:
            if isinstance(request_id, int) and request_id in self._listeners:
                # Not here: a fault of the listener's is no end of the connection.
                asyncio.get_running_loop().call_soon(self._listeners[request_id], message["told"])
        elif self.on_event is not None:
            self.on_event(message)

    def _forget(self, request_id: int) -> None:
        self._pending.pop(request_id, None)
        self._listeners.pop(request_id, None)

    def _crash(self) -> DbtTemporalError:
        return DbtTemporalError(ErrorType.ENGINE_CRASHED, f"the dbt process has ended: {self.describe_end()}")


def error_from_wire(fields: wire.Message) -> DbtTemporalError:
    return DbtTemporalError(
        ErrorType(fields["type"]), fields["message"], retryable=fields["retryable"], unreachable=fields["unreachable"]
    )
