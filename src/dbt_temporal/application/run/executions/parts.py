"""Several parts as one value, and apart again."""

from __future__ import annotations

from collections.abc import Sequence

_LENGTH_BYTES = 4


def join_parts(parts: Sequence[bytes]) -> bytes:
    """All of them, each after its length."""
    return b"".join(len(part).to_bytes(_LENGTH_BYTES, "big") + part for part in parts)


def joined_length(parts: Sequence[bytes]) -> int:
    """How long they are together, once joined."""
    return sum(len(part) + _LENGTH_BYTES for part in parts)


def split_parts(joined: bytes) -> list[bytes]:
    """The parts again. What is cut, or was never joined, is cut here too, which whoever reads a part notices."""
    parts: list[bytes] = []
    begin = 0
    while begin < len(joined):
        end = begin + _LENGTH_BYTES
        length = int.from_bytes(joined[begin:end], "big")
        parts.append(joined[end : end + length])
        begin = end + length
    return parts
