from __future__ import annotations

import msgpack  # type: ignore[import-untyped]
import pytest

from dbt_temporal.adapters.dbt_core.parents import parse_file, shared
from dbt_temporal.adapters.dbt_core.parents.packing import secret_in, shareable
from dbt_temporal.adapters.dbt_core.parents.parse_file import ParseFileError, pack, seal, unpack, unseal
from dbt_temporal.adapters.dbt_core.parents.shared import too_many
from dbt_temporal.application.ports.artifact_store import StoredFile

HEADER = {"key": "k", "env": ["WHO"]}


def test_what_is_sealed_can_be_read_under_any_of_the_keys() -> None:
    file = seal(pack(HEADER, b"data" * 1000), b"one")
    assert unpack(unseal(file, [b"two", b"one"])) == (HEADER, b"data" * 1000)


def test_a_file_that_was_cut_anywhere_is_refused() -> None:
    file = seal(pack(HEADER, b"data"), b"")
    for length in range(len(file)):
        with pytest.raises(ParseFileError):
            unseal(file[:length], [b""])


def test_a_file_of_which_a_byte_was_changed_is_refused() -> None:
    file = seal(pack(HEADER, b"data"), b"")
    for place in range(len(file)):
        with pytest.raises(ParseFileError):
            unseal(file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :], [b""])


def test_a_file_under_a_key_that_this_worker_does_not_have_is_refused() -> None:
    for key, keys in ((b"other", [b"own"]), (b"", [b"own"]), (b"other", [b""])):
        with pytest.raises(ParseFileError, match="without the keys of this worker"):
            unseal(seal(pack(HEADER, b"data"), key), keys)


def test_content_that_is_no_parse_is_refused_although_it_is_sealed() -> None:
    for content in (b"", b"abc", b"\xff" * 100, pack(HEADER, b"data")[:-1], pack(["no", "header"], b"data")):  # type: ignore[arg-type]
        with pytest.raises(ParseFileError):
            unpack(content)


def test_more_than_a_parse_may_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse_file, "MAX_BYTES", 1000)
    assert unpack(pack(HEADER, bytes(1000)))[1] == bytes(1000)
    with pytest.raises(ParseFileError, match="too large"):
        unpack(pack(HEADER, bytes(1_000_000)))


def test_values_of_variables_are_left_out_and_all_else_is_kept() -> None:
    moment = msgpack.ExtType(2, b"2026-01-02T03:04:05")
    parse = {"env_vars": {"WHO": "me"}, "nodes": {"a": {"at": moment, "text": "ä", "n": None}}, "files": {}}
    header, data = unpack(shareable(msgpack.packb(parse), HEADER))
    assert header == HEADER
    assert msgpack.unpackb(data) == {**parse, "env_vars": {"WHO": ""}}


def test_a_secret_is_found_in_a_parse_however_it_is_written_there() -> None:
    data = msgpack.packb({"a": 'x "se\\cret" y', "b": "tiny sesame-open z"})
    assert secret_in(data, {"DB_PASSWORD": '"se\\cret"'}) == "DB_PASSWORD"
    assert secret_in(data, {"DB_PASSWORD": "sesame-open\n"}) == "DB_PASSWORD"
    assert secret_in(data, {"DB_PASSWORD": "tiny"}) is None  # it stands there by chance
    assert secret_in(data, {"DBT_ENV_SECRET_X": "tiny"}) == "DBT_ENV_SECRET_X"
    assert secret_in(data, {"DB_PASSWORD": "another-one"}) is None


def test_old_parses_and_those_beyond_the_limits_go(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10_000_000.0
    files = [StoredFile(f"parses/{number}", 10, now - number) for number in range(5)]
    old = StoredFile("parses/old", 10, now - shared.MAX_AGE_SECS - 1)
    assert too_many([old, *files], now) == ["parses/old"]
    monkeypatch.setattr(shared, "MAX_FILES", 3)
    assert too_many([old, *reversed(files)], now) == ["parses/3", "parses/4", "parses/old"]
    monkeypatch.setattr(shared, "MAX_TOTAL_BYTES", 15)
    assert too_many(files, now) == ["parses/1", "parses/2", "parses/3", "parses/4"]
