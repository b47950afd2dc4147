"""The keys that encrypt payloads, as the environment gives them."""

from __future__ import annotations

import base64
import binascii
import os
import re

KEY_BYTES = 32

IN_CLEAR = "none"
"""In place of keys: that nothing is to be encrypted, where runs have been so far."""

ENCODING = b"binary/encrypted"
KEY_ID_METADATA = "encryption-key-id"
"""How an encrypted payload is marked, by the convention of Temporal's samples."""

_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
"""Shorter than a key, so that a key in the place of the id is not taken for one, and shown."""
_KEY_ID_RULE = "1 to 32 letters, digits, `_`, `.` or `-`"


def parse_keys(text: str) -> dict[str, bytes]:
    """Reads `id:key,id:key`; keys are base64 (either alphabet) of 32 bytes. The first one encrypts.

    Raises:
        ValueError: saying which entry is wrong, and never anything that may be a key.
    """
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(text.split(","), start=1):
        key_id, colon, encoded = (part.strip() for part in entry.partition(":"))
        if not colon:
            raise ValueError(f"entry {number} has no key id: give id:key, as `dbt-temporal codec-key` prints it")
        if not _KEY_ID.fullmatch(key_id):
            raise ValueError(f"entry {number}: the key id must be {_KEY_ID_RULE}")
        if key_id in keys:
            raise ValueError(f"entry {number}: the key id {key_id!r} is given twice")
        keys[key_id] = _key(key_id, encoded)
    return keys


def _key(key_id: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the key of the id {key_id!r} is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key of the id {key_id!r} has {len(key)} bytes, and must have {KEY_BYTES}")
    return key


def new_key(key_id: str) -> str:
    """A new random key as an entry of TEMPORAL_CODEC_KEYS.

    Raises:
        ValueError: the id is none.
    """
    if not _KEY_ID.fullmatch(key_id):
        raise ValueError(f"the key id must be {_KEY_ID_RULE}")
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"
