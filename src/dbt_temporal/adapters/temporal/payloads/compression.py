"""Compression of the large payloads between a run and its activities: a plan, or all results, of thousands of nodes.

Temporal takes 2 MiB for a payload. Only the messages of our own steps are compressed: what hooks and callers are sent,
and what they send, stays plain JSON, and so do small messages, which people read in Temporal's UI.

The format is that of the Go SDK's zlib codec: a payload with the metadata `encoding` = `binary/zlib`, whose data is the
original payload as a protobuf message, compressed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import (
    PydanticJSONPlainPayloadConverter,
    PydanticPayloadConverter,
    pydantic_data_converter,
)
from temporalio.converter import CompositePayloadConverter, DataConverter, EncodingPayloadConverter

from dbt_temporal.adapters.temporal.payloads.codec_keys import ENCODING as ENCRYPTED
from dbt_temporal.adapters.temporal.payloads.decoding import StepFailureConverter, undecodable
from dbt_temporal.adapters.temporal.payloads.plan_pieces import PlanInPieces
from dbt_temporal.application.steps.table import STEPS
from dbt_temporal.domain.errors import configuration_error

ENCODING = "binary/zlib"
MIN_BYTES = 256 * 1024
"""A smaller payload, of up to some 500 nodes, stays readable."""
MAX_BYTES = 64 * 1024 * 1024
"""Ours are far below: Temporal takes 2 MiB of what they become. Somebody else's could fill the memory."""

_MESSAGES: tuple[type[Any], ...] = (PlanInPieces, *{message for kind in STEPS for message in (kind.input, kind.output)})


class CompressedPayloadConverter(EncodingPayloadConverter):
    """Takes the messages of steps, where they are large."""

    def __init__(self) -> None:
        self._json = PydanticJSONPlainPayloadConverter()

    @property
    def encoding(self) -> str:
        return ENCODING

    def to_payload(self, value: Any) -> Payload | None:
        """The message compressed; None where it is none of a step, which leaves it to the next converter."""
        if not isinstance(value, _MESSAGES):
            return None
        payload = self._json.to_payload(value)
        if payload is None or len(payload.data) < MIN_BYTES:
            return payload
        return Payload(metadata={"encoding": ENCODING.encode()}, data=zlib.compress(payload.SerializeToString()))

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        return self._json.from_payload(uncompressed(payload), type_hint)


_PARTS = (CompressedPayloadConverter(), *PydanticPayloadConverter().converters.values())
"""Shared by all converters: the SDK makes one for each turn of a run and each attempt."""


class StepPayloadConverter(CompositePayloadConverter):
    """The SDK's pydantic converter, with compression before it."""

    def __init__(self) -> None:
        super().__init__(*_PARTS)

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """The values.

        Raises:
            ApplicationError: of type Configuration, where one cannot be decoded, whoever sent it. One that is encrypted
                stays the error of its converter: another worker may have the key.
        """
        try:
            return super().from_payloads(payloads, type_hints)
        except Exception as error:
            if any(payload.metadata.get("encoding") == ENCRYPTED for payload in payloads):
                raise
            raise undecodable(error) from None


STEP_DATA_CONVERTER: DataConverter = replace(
    pydantic_data_converter,
    payload_converter_class=StepPayloadConverter,
    failure_converter_class=StepFailureConverter,
)
"""How inputs and results become payloads, before they are encrypted."""


def uncompressed(payload: Payload) -> Payload:
    """The payload as it was before compression; one that is not compressed stays as it is.

    Raises:
        DbtTemporalError: of type Configuration, where somebody else marked it so, and it is not.
    """
    if payload.metadata.get("encoding") != ENCODING.encode():
        return payload
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(payload.data, MAX_BYTES)
        if not inflater.eof:
            raise configuration_error(f"a payload of encoding {ENCODING} is cut, or larger than {MAX_BYTES} bytes")
        return Payload.FromString(data)
    except (zlib.error, DecodeError):
        raise configuration_error(f"a payload with the encoding {ENCODING} cannot be decompressed") from None
