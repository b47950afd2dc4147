"""What processes without keys convert payloads by, which says so when it meets an encrypted one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, EncodingPayloadConverter, PayloadCodec

from dbt_temporal.adapters.temporal.payloads.codec_keys import ENCODING, KEY_ID_METADATA
from dbt_temporal.adapters.temporal.payloads.compression import STEP_DATA_CONVERTER, StepPayloadConverter
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.secrets.own_variables import CODEC_KEYS_VARIABLE


class _EncryptedPayloadConverter(EncodingPayloadConverter):
    @property
    def encoding(self) -> str:
        return ENCODING.decode()

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ARG002 - the base class's signature
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        del type_hint
        raise _missing_key(payload)


class UnencryptedCodec(PayloadCodec):
    """Leaves payloads as they are."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The same payloads.

        Raises:
            DbtTemporalError: of type Configuration, where one is encrypted.
        """
        for payload in payloads:
            if payload.metadata.get("encoding") == ENCODING:
                raise _missing_key(payload)
        return list(payloads)


_ENCRYPTED = _EncryptedPayloadConverter()


class UnencryptedPayloadConverter(StepPayloadConverter):
    """The converter without keys. A converter beside the others costs nothing where no payload is encrypted."""

    def __init__(self) -> None:
        super().__init__()
        self.converters = {**self.converters, _ENCRYPTED.encoding.encode(): _ENCRYPTED}


def _missing_key(payload: Payload) -> DbtTemporalError:
    key_id = payload.metadata.get(KEY_ID_METADATA, b"").decode(errors="replace")
    return configuration_error(
        f"a payload is encrypted with the key {key_id!r}: set {CODEC_KEYS_VARIABLE} here as where it was encrypted"
    )


def unencrypted_data_converter() -> DataConverter:
    """How inputs and results become payloads where no keys are set."""
    return replace(STEP_DATA_CONVERTER, payload_converter_class=UnencryptedPayloadConverter)
