"""Encryption of payloads: keys, format, rotation."""

from __future__ import annotations

import base64
import json

import pytest
from pydantic import SecretStr, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.payloads.codec_keys import new_key, parse_keys
from dbt_temporal.adapters.temporal.payloads.encryption import EncryptionCodec
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.entrypoints.settings import SettingsError, read_settings

KEY = bytes(range(32))
OTHER = bytes(range(32, 64))
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"command":"run"}')
MADE_BY_NODE = "AAECAwQFBgcICQoLTRTcE6CLoXTpKPnso+MSHuy4qEScGjYSKnaep34Gbd9gfsreleNg7RqGAvndmhsI3evzAxBagLoYwkU="
"""PLAIN under KEY, by the crypto module of Node.js: nonce 000102030405060708090a0b, ciphertext, tag."""


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


async def test_what_is_encrypted_can_be_decrypted_and_shows_nothing() -> None:
    codec = EncryptionCodec({"k1": KEY})
    [secret] = await codec.encode([PLAIN])
    assert b"command" not in secret.SerializeToString()
    assert await codec.decode([secret]) == [PLAIN]


async def test_the_format_is_that_of_temporals_samples() -> None:
    foreign = Payload(
        metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"k1"}, data=base64.b64decode(MADE_BY_NODE)
    )
    codec = EncryptionCodec({"k1": KEY})
    assert await codec.decode([foreign]) == [PLAIN]
    [ours] = await codec.encode([PLAIN])
    assert dict(ours.metadata) == dict(foreign.metadata)
    assert len(ours.data) == len(foreign.data)


async def test_every_payload_has_a_nonce_of_its_own() -> None:
    first, second = await EncryptionCodec({"k1": KEY}).encode([PLAIN, PLAIN])
    assert first.data[:12] != second.data[:12]


async def test_the_first_key_encrypts_and_all_decrypt() -> None:
    [before] = await EncryptionCodec({"old": KEY}).encode([PLAIN])
    rotated = EncryptionCodec({"new": OTHER, "old": KEY})
    [after] = await rotated.encode([PLAIN])
    assert after.metadata["encryption-key-id"] == b"new"
    assert await rotated.decode([before, after]) == [PLAIN, PLAIN]


async def test_payloads_of_unencrypted_histories_stay_as_they_are() -> None:
    assert await EncryptionCodec({"k1": KEY}).decode([PLAIN]) == [PLAIN]


async def test_encrypting_twice_is_encrypting_once() -> None:
    codec = EncryptionCodec({"k1": KEY})
    once = await codec.encode([PLAIN])
    assert await codec.encode(once) == once


async def test_an_unknown_key_is_named_with_the_known_ones() -> None:
    [secret] = await EncryptionCodec({"k2": KEY}).encode([PLAIN])
    with pytest.raises(
        DbtTemporalError, match=r"the key 'k2', which TEMPORAL_CODEC_KEYS does not hold.*'k1'"
    ) as caught:
        await EncryptionCodec({"k1": OTHER}).decode([secret])
    assert caught.value.error_type is ErrorType.CONFIGURATION


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:5], lambda _: b""]
)
async def test_a_changed_payload_is_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    codec = EncryptionCodec({"k1": KEY})
    [secret] = await codec.encode([PLAIN])
    changed = Payload(metadata=dict(secret.metadata), data=spoil(secret.data))
    with pytest.raises(DbtTemporalError, match="cannot be decrypted with the key 'k1'"):
        await codec.decode([changed])


async def test_another_key_of_the_same_id_is_refused() -> None:
    [secret] = await EncryptionCodec({"k1": OTHER}).encode([PLAIN])
    with pytest.raises(DbtTemporalError, match="made with another key of that id"):
        await EncryptionCodec({"k1": KEY}).decode([secret])


def test_keys_are_read_in_order_and_in_either_alphabet() -> None:
    tricky = b"\xfb\xff" * 16
    urlsafe = base64.urlsafe_b64encode(tricky).decode()
    assert list(parse_keys(f" b:{encoded(KEY)} , a:{urlsafe}").items()) == [("b", KEY), ("a", tricky)]


def test_a_new_key_is_random_and_can_be_read() -> None:
    one, other = new_key("k1"), new_key("k1")
    assert one != other
    assert len(parse_keys(one)["k1"]) == 32


def test_a_new_key_needs_an_id_that_can_be_read_again() -> None:
    with pytest.raises(ValueError, match="key id must be"):
        new_key("a,b")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (encoded(KEY), "entry 1 has no key id"),
        (f"k1:{encoded(KEY)},", "entry 2 has no key id"),
        (f"k1:{encoded(KEY)},k1:{encoded(OTHER)}", "entry 2: the key id 'k1' is given twice"),
        (f"{encoded(KEY)}:k1", "entry 1: the key id must be"),
        (f"{base64.urlsafe_b64encode(KEY).decode().rstrip('=')}:k1", "entry 1: the key id must be"),
        (f"k1:{encoded(KEY)[:-4]}", "has 30 bytes, and must have 32"),
        (f"k1:!{encoded(KEY)}", "the key of the id 'k1' is not base64"),
        ("k1:", "has 0 bytes"),
    ],
)
def test_wrong_keys_stop_the_start_and_are_not_shown(given: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"TEMPORAL_CODEC_KEYS": given})
    message = str(caught.value)
    assert said in message
    assert "TEMPORAL_CODEC_KEYS=***" in message
    assert encoded(KEY)[:8] not in message


def test_keys_are_in_no_representation_of_the_settings() -> None:
    settings = read_settings({"TEMPORAL_CODEC_KEYS": f"k1:{encoded(KEY)}"})
    assert encoded(KEY) not in repr(settings)
    assert settings.connection.keys == {"k1": KEY}
    with pytest.raises(ValidationError):
        ConnectionSettings(codec_keys=SecretStr("k1:x"))


async def test_messages_and_stack_traces_of_failures_are_encrypted() -> None:
    converter = ConnectionSettings(codec_keys=SecretStr(f"k1:{encoded(KEY)}")).data_converter
    failure = Failure()
    await converter.encode_failure(ApplicationError("no such table", {"a": 1}, type="Adapter"), failure)
    assert failure.message == "Encoded failure"
    assert b"no such table" not in failure.SerializeToString()
    assert failure.application_failure_info.type == "Adapter"
    decoded = await converter.decode_failure(failure)
    assert isinstance(decoded, ApplicationError)
    assert decoded.message == "no such table"
    assert list(decoded.details) == [{"a": 1}]


async def test_without_keys_payloads_are_plain_json() -> None:
    [payload] = await ConnectionSettings().data_converter.encode([{"a": 1}])
    assert payload.metadata["encoding"] == b"json/plain"
    assert json.loads(payload.data) == {"a": 1}


async def test_without_keys_an_encrypted_payload_says_what_is_missing() -> None:
    secret = await EncryptionCodec({"k1": KEY}).encode([PLAIN])
    with pytest.raises(DbtTemporalError, match="encrypted with the key 'k1': set TEMPORAL_CODEC_KEYS"):
        await ConnectionSettings().data_converter.decode(secret)
