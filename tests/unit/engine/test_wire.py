import os
import socket
from pathlib import PurePath

import pytest

from dbt_temporal.adapters.dbt_core import wire


def over_a_socket(message: wire.Message) -> wire.Message:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(wire.encode(message))
        received, _ = wire.receive(theirs)
    assert received is not None
    return received


def test_text_that_is_no_utf8_arrives_with_replacements() -> None:
    """As database drivers make it of bytes in another encoding."""
    name = b"caf\xe9".decode(errors="surrogateescape")
    message = {"id": 1, "ok": {"log": f"column {name}", name: ["é", 1, None, True]}}
    assert over_a_socket(message) == {"id": 1, "ok": {"log": "column caf?", "caf?": ["é", 1, None, True]}}


def test_values_that_json_does_not_know_arrive_as_text() -> None:
    assert over_a_socket({"at": PurePath("/here"), "of": {1: "one"}}) == {"at": "/here", "of": {"1": "one"}}


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(2**63) - 1, 123456789012345678901234])
def test_integers_of_any_length_arrive_whole(number: int) -> None:
    received = over_a_socket({"vars": {"account": number}})
    assert received == {"vars": {"account": number}}
    assert isinstance(received["vars"]["account"], int)


def test_descriptors_arrive_with_the_message_they_were_sent_with() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs, os.fdopen(reader, "rb") as pipe:
        socket.send_fds(ours, [wire.encode({"op": "fork"})], [writer])
        os.close(writer)
        message, (received,) = wire.receive(theirs)
        os.write(received, b"through")
        os.close(received)
        assert (message, pipe.read()) == ({"op": "fork"}, b"through")


def test_a_peer_that_goes_amid_a_message_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(wire.encode({"op": "hello"})[:-1])
        ours.close()
        assert wire.receive(theirs) == (None, [])
