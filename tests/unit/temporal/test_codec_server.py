"""The codec server over real HTTP: its protocol, and whom it answers."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from dbt_temporal.adapters.temporal.payloads.codec_server import MAX_CONNECTIONS, CodecServer, CodecServerOptions
from dbt_temporal.adapters.temporal.payloads.compression import ENCODING as COMPRESSED
from dbt_temporal.adapters.temporal.payloads.encryption import EncryptionCodec
from dbt_temporal.adapters.temporal.payloads.missing_keys import UnencryptedCodec
from dbt_temporal.domain.errors import DbtTemporalError

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"command":"run"}')
CODEC = EncryptionCodec({"k1": bytes(range(32))})
UI = "http://localhost:8233"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def url() -> Iterator[str]:
    with CodecServer(CODEC, CodecServerOptions(port=0, origins=(UI,))).serving() as url:
        yield url


@pytest.fixture
def guarded_url() -> Iterator[str]:
    with CodecServer(CODEC, CodecServerOptions(port=0, origins=(UI,), token="let-me-in")).serving() as url:
        yield url


def ask(
    url: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str = "POST"
) -> tuple[HTTPResponse, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        connection.request(method, path, body, JSON if headers is None else headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def body_of(*payloads: Payload) -> bytes:
    return json_format.MessageToJson(Payloads(payloads=payloads)).encode()


def payloads_in(answer: bytes) -> list[Payload]:
    return list(json_format.Parse(answer, Payloads()).payloads)


def encrypted() -> Payload:
    [payload] = asyncio.run(CODEC.encode([PLAIN]))
    return payload


@pytest.mark.parametrize("path", ["/decode", "/default/decode", "/any/thing/decode", "/decode/", "/decode?namespace=x"])
def test_payloads_are_decoded_whatever_stands_before_the_last_part_of_the_path(url: str, path: str) -> None:
    response, answer = ask(url, path, body_of(encrypted(), PLAIN))
    assert response.status == HTTPStatus.OK
    assert response.headers["Content-Type"] == "application/json"
    assert payloads_in(answer) == [PLAIN, PLAIN]


def test_payloads_are_encoded_for_starting_a_run_from_the_ui(url: str) -> None:
    response, answer = ask(url, "/default/encode", body_of(PLAIN))
    assert response.status == HTTPStatus.OK
    [payload] = payloads_in(answer)
    assert asyncio.run(CODEC.decode([payload])) == [PLAIN]
    assert payload != PLAIN


def test_one_connection_serves_several_requests(url: str) -> None:
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    for path, status in (("/nowhere", 404), ("/decode", 200), ("/decode", 200)):
        connection.request("POST", path, body_of(PLAIN), JSON)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def test_the_ui_may_call_and_pages_from_elsewhere_may_not(url: str) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-namespace"}
    response, _ = ask(url, "/decode", None, {"Origin": UI, **asked}, "OPTIONS")
    assert response.status == HTTPStatus.NO_CONTENT
    assert response.headers["Access-Control-Allow-Origin"] == UI
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert {"content-type", "x-namespace", "authorization"} <= set(
        response.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    response, _ = ask(url, "/decode", None, {"Origin": "http://evil.example", **asked}, "OPTIONS")
    assert response.headers["Access-Control-Allow-Origin"] is None
    response, _ = ask(url, "/decode", body_of(PLAIN), {"Origin": UI, **JSON})
    assert response.headers["Access-Control-Allow-Origin"] == UI


@pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "let-me-in"}])
def test_without_the_token_nothing_is_decoded(guarded_url: str, shown: dict[str, str]) -> None:
    response, answer = ask(guarded_url, "/decode", body_of(encrypted()), {**JSON, **shown})
    assert response.status == HTTPStatus.UNAUTHORIZED
    assert b"payloads" not in answer


def test_without_the_token_not_even_the_body_is_read(guarded_url: str) -> None:
    parts = urlsplit(guarded_url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=10) as caller:
        caller.sendall(b"POST /decode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        caller.sendall(b"Content-Length: 30000000\r\n\r\n")
        answer = b""
        while part := caller.recv(65536):  # until the server has closed it
            answer += part
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_payloads_that_would_fill_the_memory_are_refused(url: str) -> None:
    huge = Payload(metadata={"encoding": b"binary/plain"}, data=bytes(40 * 1024 * 1024))
    squeezed = Payload(metadata={"encoding": COMPRESSED.encode()}, data=zlib.compress(huge.SerializeToString()))
    response, answer = ask(url, "/decode", body_of(squeezed, squeezed))
    assert (response.status, b"larger than" in answer) == (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, True)
    bomb = zlib.compress(bytes(65 * 1024 * 1024))
    response, answer = ask(url, "/decode", body_of(Payload(metadata={"encoding": COMPRESSED.encode()}, data=bomb)))
    assert (response.status, b"or larger than" in answer) == (HTTPStatus.BAD_REQUEST, True)


def test_callers_beyond_the_limit_are_sent_away_and_the_next_one_is_served(url: str) -> None:
    address = (str(urlsplit(url).hostname), int(urlsplit(url).port or 0))
    with ExitStack() as callers:
        for _ in range(MAX_CONNECTIONS):
            callers.enter_context(socket.create_connection(address, timeout=10))
        with socket.create_connection(address, timeout=10) as one_more:
            assert one_more.recv(1) == b""
    deadline = time.monotonic() + 10
    while True:
        try:
            response, _ = ask(url, "/decode", body_of(PLAIN))
            break
        except (ConnectionError, HTTPException):  # the others are gone as soon as the server has seen it
            assert time.monotonic() < deadline
    assert response.status == HTTPStatus.OK


def test_with_the_token_payloads_are_decoded(guarded_url: str) -> None:
    headers = {**JSON, "Authorization": "Bearer let-me-in"}
    response, answer = ask(guarded_url, "/decode", body_of(encrypted()), headers)
    assert response.status == HTTPStatus.OK
    assert payloads_in(answer) == [PLAIN]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/", b"{}", JSON, HTTPStatus.NOT_FOUND),
        ("/decoded", b"{}", JSON, HTTPStatus.NOT_FOUND),
        ("/decode", b"{}", {"Content-Type": "text/plain"}, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        ("/decode", b"not json", JSON, HTTPStatus.BAD_REQUEST),
        ("/decode", b"\xff", JSON, HTTPStatus.BAD_REQUEST),
        ("/decode", b'{"payloads": 1}', JSON, HTTPStatus.BAD_REQUEST),
        ("/decode", None, {**JSON, "Content-Length": "99999999999"}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        ("/decode", None, {**JSON, "Content-Length": "many"}, HTTPStatus.LENGTH_REQUIRED),
    ],
)
def test_bad_requests_are_answered_with_their_status(
    url: str, path: str, body: Any, headers: dict[str, str], status: HTTPStatus
) -> None:
    response, answer = ask(url, path, body, headers)
    assert response.status == status
    assert answer


def test_an_unknown_key_is_told(url: str) -> None:
    [foreign] = asyncio.run(EncryptionCodec({"k9": bytes(32)}).encode([PLAIN]))
    response, answer = ask(url, "/decode", body_of(foreign))
    assert response.status == HTTPStatus.BAD_REQUEST
    assert b"the key 'k9'" in answer


def test_an_empty_list_is_answered_by_one(url: str) -> None:
    response, answer = ask(url, "/decode", b"{}")
    assert response.status == HTTPStatus.OK
    assert json.loads(answer) == {}


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DbtTemporalError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            CodecServer(CODEC, CodecServerOptions(port=port))


def test_compressed_payloads_are_decoded_to_what_people_can_read(url: str) -> None:
    compressed = Payload(metadata={"encoding": b"binary/zlib"}, data=zlib.compress(PLAIN.SerializeToString()))
    [secret] = asyncio.run(CODEC.encode([compressed]))
    response, answer = ask(url, "/decode", body_of(secret))
    assert response.status == HTTPStatus.OK
    assert payloads_in(answer) == [PLAIN]


def test_a_payload_that_is_compressed_in_name_only_is_refused(url: str) -> None:
    response, answer = ask(url, "/decode", body_of(Payload(metadata={"encoding": b"binary/zlib"}, data=b"plain")))
    assert response.status == HTTPStatus.BAD_REQUEST
    assert b"binary/zlib cannot be decompressed" in answer


def test_without_keys_it_makes_readable_what_is_compressed_and_says_whose_key_is_missing() -> None:
    squeezed = Payload(metadata={"encoding": COMPRESSED.encode()}, data=zlib.compress(PLAIN.SerializeToString()))
    (encrypted,) = asyncio.run(CODEC.encode([PLAIN]))
    with CodecServer(UnencryptedCodec(), CodecServerOptions(port=0)).serving() as url:
        assert payloads_in(ask(url, "/decode", body_of(squeezed, PLAIN))[1]) == [PLAIN, PLAIN]
        response, answer = ask(url, "/decode", body_of(encrypted))
    assert response.status == HTTPStatus.BAD_REQUEST
    assert b"encrypted with the key 'k1'" in answer
