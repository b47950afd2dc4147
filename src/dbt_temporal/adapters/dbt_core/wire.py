"""Messages between the worker and its engine processes: length-prefixed JSON over unix sockets.

A request is `{"id", "op", ...}`, its answer `{"id", "ok"}` or `{"id", "error"}`; a message without an answer's keys
is an event. One message may carry open file descriptors.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import orjson

HEADER = struct.Struct("!I")
Message = dict[str, Any]

_MAX_FDS = 4
_CHUNK = 1 << 20


def encode(message: Message) -> bytes:
    try:
        body = orjson.dumps(message, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # Text from drivers may hold lone surrogates, which are no UTF-8.
        body = json.dumps(message, default=str, ensure_ascii=False).encode(errors="replace")
    return HEADER.pack(len(body)) + body


def receive(sock: socket.socket) -> tuple[Message | None, list[int]]:
    """Blocks for the next message and its descriptors; None where the peer has gone."""
    header, fds = _receive_exactly(sock, HEADER.size)
    if header is None:
        return None, fds
    body, more_fds = _receive_exactly(sock, HEADER.unpack(header)[0])
    if body is None:
        return None, fds + more_fds
    message: Message = orjson.loads(body)
    return message, fds + more_fds


def _receive_exactly(sock: socket.socket, size: int) -> tuple[bytes | None, list[int]]:
    parts: list[bytes] = []
    fds: list[int] = []
    missing = size
    while missing:
        try:
            chunk, received, _, _ = socket.recv_fds(sock, min(missing, _CHUNK), _MAX_FDS)
        except ConnectionError:
            return None, fds
        fds.extend(received)
        if not chunk:
            return None, fds
        parts.append(chunk)
        missing -= len(chunk)
    return b"".join(parts), fds
