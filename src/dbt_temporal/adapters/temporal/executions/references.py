"""References in place of parts that the history of an execution has already: the next one fetches them from there.

The arguments of a workflow take some 2 MB. A part is in the history of the execution that hands it over where it came
as a piece of the plan, or with the arguments of that execution; it is known by its digest. Imported by workflow code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from dbt_temporal.application.run.executions.parts import joined_length

_MARK = b"\x00part"
"""Begins a reference. No part begins with it: they are compressed by zlib, or tell how many of them there are."""
_DIGEST_BYTES = 32


def digest_of_part(part: bytes) -> bytes:
    """By which a part is known."""
    return hashlib.sha256(part).digest()


def with_references(parts: Sequence[bytes], known: Collection[bytes], room: int) -> list[bytes] | None:
    """The parts, of which as few as need be, the largest first, are references; None where that is too much as well.

    Args:
        parts: all of them.
        known: the digests of those that the next execution can fetch.
        room: how many bytes they may take.
    """
    told = list(parts)
    excess = joined_length(parts) - room
    for number in sorted(range(len(told)), key=lambda number: len(parts[number]), reverse=True):
        if excess <= 0:
            break
        digest = digest_of_part(parts[number])
        if digest in known and len(parts[number]) > len(_MARK) + _DIGEST_BYTES:
            told[number] = _MARK + digest
            excess -= len(parts[number]) - len(told[number])
    return told if excess <= 0 else None


def referred_to(parts: Sequence[bytes]) -> list[bytes]:
    """The digests of parts that are not there themselves."""
    return [part[len(_MARK) :] for part in parts if part.startswith(_MARK)]


def resolved(parts: Sequence[bytes], found: Mapping[bytes, bytes]) -> list[bytes]:
    """The parts themselves.

    Raises:
        KeyError: one is not among the found.
    """
    return [found[part[len(_MARK) :]] if part.startswith(_MARK) else part for part in parts]
