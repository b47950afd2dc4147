"""A converter for processes without keys, which says so when it meets an encrypted payload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, EncodingPayloadConverter

from dbt_temporal.adapters.temporal.codec_keys import ENCODING, KEY_ID_METADATA, KEYS_VARIABLE
from dbt_temporal.adapters.temporal.compression import STEP_DATA_CONVERTER, StepPayloadConverter
from dbt_temporal.domain.errors import configuration_error


class _EncryptedPayloadConverter(EncodingPayloadConverter):
    @property
    def encoding(self) -> str:
        return ENCODING.decode()

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ARG002 - the base class's signature
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        del type_hint
        key_id = payload.metadata.get(KEY_ID_METADATA, b"").decode(errors="replace")
        raise configuration_error(
            f"a payload is encrypted with the key {key_id!r}: set {KEYS_VARIABLE} here as where it was encrypted"
        )


class UnencryptedPayloadConverter(StepPayloadConverter):
    """The converter without keys. A converter beside the others costs nothing where no payload is encrypted."""

    def __init__(self) -> None:
        super().__init__()
        encrypted = _EncryptedPayloadConverter()
        self.converters = {**self.converters, encrypted.encoding.encode(): encrypted}


def unencrypted_data_converter() -> DataConverter:
    """How inputs and results become payloads where no keys are set."""
    return replace(STEP_DATA_CONVERTER, payload_converter_class=UnencryptedPayloadConverter)
