"""A parse as workers share it: a file with a seal, a header that says what the parse is good for, and dbt's own data.

It is read by others than those who wrote it, so it is data only (JSON and msgpack, nothing that runs when it is read),
and a file that is cut, damaged, too large or under another seal is refused.
"""

from __future__ import annotations

import hmac
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

MAX_BYTES = 1024**3
"""How large a parse may be when it is read."""
_MAGIC = b"dbt-temporal parse 1\n"
_SEAL_BYTES = 32
_LENGTH = struct.Struct("!I")


class ParseFileError(Exception):
    """A file that is not what it should be; the message says why."""


def pack(header: Mapping[str, Any], data: bytes) -> bytes:
    """The content of a file, without its seal."""
    head = json.dumps(header, sort_keys=True).encode()
    return _LENGTH.pack(len(head)) + head + zlib.compress(data, 1)


def unpack(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of what `pack` made.

    Raises:
        ParseFileError: it is nothing of that kind, or larger than may be.
    """
    try:
        start = _LENGTH.size + _LENGTH.unpack_from(content)[0]
        header = json.loads(content[_LENGTH.size : start])
        inflating = zlib.decompressobj()
        data = inflating.decompress(content[start:], MAX_BYTES)
    except (struct.error, ValueError, zlib.error) as error:
        raise ParseFileError(f"its content cannot be read ({error})") from error
    if not inflating.eof or not isinstance(header, dict):
        raise ParseFileError("it is cut or too large")
    return header, data


def seal(content: bytes, key: bytes) -> bytes:
    """The whole file. Without a key the seal only tells whether the file is whole, with one also who wrote it."""
    return _MAGIC + hmac.digest(key, content, "sha256") + content


def unseal(file: bytes, keys: Sequence[bytes]) -> bytes:
    """The content under a seal by one of the keys.

    Raises:
        ParseFileError: there is no such seal.
    """
    sealed, content = file[len(_MAGIC) : len(_MAGIC) + _SEAL_BYTES], file[len(_MAGIC) + _SEAL_BYTES :]
    if not file.startswith(_MAGIC) or len(sealed) < _SEAL_BYTES:
        raise ParseFileError("it is no such file")
    if not any(hmac.compare_digest(sealed, hmac.digest(key, content, "sha256")) for key in keys):
        raise ParseFileError("it is damaged, or was written by somebody without the keys of this worker")
    return content
