"""Messages between the worker and its engine processes: length-prefixed JSON over unix sockets.

A request is `{"id", "op", ...}`, its answer `{"id", "ok"}` or `{"id", "error"}`; facts about one that is under way are
`{"id", "told"}`; a message without these keys is an event. One message may carry open file descriptors.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from typing import Any

import orjson

HEADER = struct.Struct("!I")
Message = dict[str, Any]
PARSED_MANIFEST = "parsed_manifest.json"
"""The manifest in the folder of a run whose selection failed: the command line has written it by then."""
PARSE_WANTED = "parse_wanted"
"""The event by which a parent asks for another worker's parse: its `key`, and the `place` where it should be put. The
request of the same name answers whether it is there (`found`)."""

_MAX_FDS = 4
_CHUNK = 1 << 20


_BY_PYTHON = b" "
"""What a document begins with that orjson would misread: its integers have 64 bits, longer ones become floats."""


def dumps(document: Any) -> bytes:
    """A document as JSON that `loads` reads. What JSON does not know becomes text."""
    try:
        return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # Integers of more than 64 bits; or text from drivers with lone surrogates, which are no UTF-8.
        return _BY_PYTHON + json.dumps(document, default=str, ensure_ascii=False).encode(errors="replace")


def loads(body: bytes) -> Any:
    """The document that `dumps` wrote."""
    return json.loads(body) if body.startswith(_BY_PYTHON) else orjson.loads(body)


def encode(message: Message) -> bytes:
    body = dumps(message)
    return HEADER.pack(len(body)) + body


def answer(sock: socket.socket, message: Message) -> None:
    """Sends a message to whoever asks; of a peer that has gone, the next `receive` tells."""
    with contextlib.suppress(ConnectionError):
        sock.sendall(encode(message))


def receive(sock: socket.socket) -> tuple[Message | None, list[int]]:
    """Blocks for the next message and its descriptors; None where the peer has gone."""
    header, fds = _receive_exactly(sock, HEADER.size)
    if header is None:
        return None, fds
    body, more_fds = _receive_exactly(sock, HEADER.unpack(header)[0])
    if body is None:
        return None, fds + more_fds
    message: Message = loads(body)
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
