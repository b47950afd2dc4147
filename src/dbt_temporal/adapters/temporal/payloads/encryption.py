"""Encryption of payloads: inputs, results, memos, queries and failures, by keys that Temporal's server never has.

The format is that of Temporal's samples in Python, Go and Java, so that hook workflows in other languages can share the
keys: a payload with the metadata `encoding` = `binary/encrypted` and `encryption-key-id`, whose data is a nonce of 12
bytes, then the AES-256-GCM ciphertext of the original payload as a protobuf message, then the tag of 16 bytes. There is
no additional authenticated data.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, PayloadCodec

from dbt_temporal.adapters.temporal.payloads.codec_keys import ENCODING, KEY_ID_METADATA
from dbt_temporal.adapters.temporal.payloads.decoding import EncryptedFailureConverter
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.secrets.own_variables import CODEC_KEYS_VARIABLE

NONCE_BYTES = 12


class EncryptionCodec(PayloadCodec):
    """Encrypts with the first key, and decrypts with the one that a payload names."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._key_id = next(iter(keys))

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypts every payload. What is encrypted already stays as it is, so that a codec server may see it twice."""
        return [payload if _is_encrypted(payload) else self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypts what is encrypted; other payloads, of histories from before, stay as they are.

        Raises:
            DbtTemporalError: of type Configuration, where a key is missing or does not fit.
        """
        return [self._decrypt(payload) if _is_encrypted(payload) else payload for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._ciphers[self._key_id].encrypt(nonce, payload.SerializeToString(), None)
        metadata = {"encoding": ENCODING, KEY_ID_METADATA: self._key_id.encode()}
        return Payload(metadata=metadata, data=nonce + ciphertext)

    def _decrypt(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID_METADATA, b"").decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(repr(known_id) for known_id in self._ciphers)
            raise configuration_error(
                f"a payload is encrypted with the key {key_id!r}, which {CODEC_KEYS_VARIABLE} does not hold "
                f"(it holds {known}): add that key after the first one"
            )
        try:
            plain = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], None)
            return Payload.FromString(plain)
        except (InvalidTag, DecodeError, ValueError):
            raise configuration_error(
                f"a payload cannot be decrypted with the key {key_id!r}: it was made with another key of that id, in "
                "another format, or has been changed"
            ) from None


def _is_encrypted(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING


def encrypting(converter: DataConverter, keys: Mapping[str, bytes]) -> DataConverter:
    """The converter with encryption, of the messages and stack traces of failures too."""
    return replace(
        converter,
        payload_codec=EncryptionCodec(keys),
        failure_converter_class=EncryptedFailureConverter,
    )
