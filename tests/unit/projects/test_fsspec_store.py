from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import fsspec  # type: ignore[import-untyped]
import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from dbt_temporal.adapters.artifact_stores import fsspec_store
from dbt_temporal.adapters.artifact_stores.fsspec_store import ATTEMPTS, FsspecArtifactStore
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.testing import ArtifactStoreContract


@pytest.fixture(params=["path", "file://", "memory://"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FsspecArtifactStore:
    root = {"path": f"{tmp_path}/store/", "file://": f"file://{tmp_path}/store", "memory://": f"memory://{tmp_path}"}
    return FsspecArtifactStore(root[request.param])


class TestFsspecStore(ArtifactStoreContract):
    """On each of these file systems."""


async def test_names_are_no_patterns(store: FsspecArtifactStore) -> None:
    contents = {"run/[b]*?": b"pattern", "run/b1x": b"another"}
    for path, content in contents.items():
        await store.write(path, content)
    assert await store.read_many(["run/[b]*?"]) == {"run/[b]*?": b"pattern"}
    await store.delete_file("run/[b]*?")
    assert await store.read("run/b1x") == b"another"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ""])
async def test_nothing_outside_the_root_is_touched(store: FsspecArtifactStore, path: str) -> None:
    with pytest.raises(DbtTemporalError, match="is not a path below a root"):
        await store.write(path, b"x")


async def test_a_local_store_leaves_no_other_files_and_others_may_read_it(tmp_path: Path) -> None:
    store = FsspecArtifactStore(str(tmp_path / "store"))
    (tmp_path / "private").touch(mode=0o600)
    places = [await store.write("run/log.txt", b"x"), await store.upload("run/manifest.json", tmp_path / "private")]
    with pytest.raises(DbtTemporalError):
        await store.upload("run/none.json", tmp_path / "none")
    assert sorted(os.listdir(tmp_path / "store" / "run")) == ["log.txt", "manifest.json"]
    assert [os.stat(place).st_mode & 0o444 for place in places] == [0o444, 0o444]


async def test_a_place_that_cannot_be_written_is_a_retryable_store_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(DbtTemporalError, match=str(tmp_path)) as caught:
        await FsspecArtifactStore(str(tmp_path)).write("run/log.txt", b"x")
    assert (caught.value.error_type, caught.value.retryable) == (ErrorType.ARTIFACT_STORE, True)


@pytest.mark.parametrize(("url", "module", "extra"), [("s3://b/p", "s3fs", "s3"), ("gs://b/p", "gcsfs", "gcs")])
def test_a_missing_package_is_told_with_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DbtTemporalError) as caught:
        FsspecArtifactStore(url)
    assert caught.value.error_type == ErrorType.CONFIGURATION
    assert f"ARTIFACT_STORE={url!r}" in caught.value.message
    assert f'install "dbt-temporal[{extra}]"' in caught.value.message


def test_an_unknown_scheme_is_told() -> None:
    with pytest.raises(DbtTemporalError, match="ARTIFACT_STORE='nope://x'"):
        FsspecArtifactStore("nope://x")


class _Flaky(MemoryFileSystem):  # type: ignore[misc]
    """A store that fails as often as it is told to."""

    protocol = "flaky"
    failures: ClassVar[list[Exception]] = []
    hold: ClassVar[Callable[[], object]] = staticmethod(lambda: None)

    def pipe_file(self, path: str, value: bytes, **options: object) -> None:
        type(self).hold()
        if self.failures:
            raise self.failures.pop(0)
        super().pipe_file(path, value, **options)

    def cat_file(self, path: str, *range_and_options: object, **options: object) -> bytes:
        if path.endswith("/bad") and self.failures:
            raise self.failures.pop(0)
        content: bytes = super().cat_file(path, *range_and_options, **options)
        return content


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> FsspecArtifactStore:
    monkeypatch.setattr(fsspec_store, "FIRST_WAIT_SECS", 0.001)
    fsspec.register_implementation("flaky", _Flaky, clobber=True)
    _Flaky.failures = []
    monkeypatch.setattr(_Flaky, "hold", lambda: None)
    return FsspecArtifactStore("flaky://store")


async def test_a_remote_store_that_has_a_bad_moment_is_tried_again(flaky: FsspecArtifactStore) -> None:
    _Flaky.failures = [ConnectionResetError("reset")]
    await flaky.write("a", b"x")
    assert await flaky.read("a") == b"x"


async def test_a_remote_store_that_stays_bad_is_told(flaky: FsspecArtifactStore) -> None:
    _Flaky.failures = [ConnectionResetError("reset") for _ in range(9)]
    with pytest.raises(DbtTemporalError, match="in the artifact store flaky://store: reset"):
        await flaky.write("a", b"x")
    assert len(_Flaky.failures) == 9 - ATTEMPTS


async def test_what_another_attempt_does_not_mend_is_told_at_once(flaky: FsspecArtifactStore) -> None:
    _Flaky.failures = [PermissionError("denied"), PermissionError("denied")]
    with pytest.raises(DbtTemporalError, match=r"access was denied; give .* that may write there \(denied\)"):
        await flaky.write("a", b"x")
    assert len(_Flaky.failures) == 1


async def test_of_many_files_those_that_had_a_bad_moment_are_read_again(flaky: FsspecArtifactStore) -> None:
    for name in ("good", "bad"):
        await flaky.write(name, b"x")
    _Flaky.failures = [ConnectionResetError("reset")]
    assert await flaky.read_many(["good", "bad"]) == {"good": b"x", "bad": b"x"}


async def test_of_many_files_those_that_stay_bad_are_left_out_with_a_warning(
    flaky: FsspecArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("good", "bad"):
        await flaky.write(name, b"x")
    _Flaky.failures = [ConnectionResetError("reset") for _ in range(9)]
    with caplog.at_level(logging.WARNING):
        assert await flaky.read_many(["good", "bad", "none"]) == {"good": b"x"}
    assert len(_Flaky.failures) == 9 - ATTEMPTS
    (record,) = caplog.records
    assert record.getMessage() == (
        "cannot read 3 files in the artifact store flaky://store: reset (1 of them, such as flaky://store/bad)"
    )


async def test_a_call_that_is_cancelled_is_not_tried_again(
    flaky: FsspecArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(60)

    monkeypatch.setattr(_Flaky, "hold", hold)
    _Flaky.failures = [ConnectionResetError("reset") for _ in range(9)]
    writing = asyncio.create_task(flaky.write("a", b"x"))
    await asyncio.to_thread(begun.wait, 60)
    writing.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert len(_Flaky.failures) >= 8


async def test_a_remote_store_that_hangs_is_told_in_time_and_holds_up_nothing_else(
    flaky: FsspecArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsspec_store, "CALL_SECS", 0.2)
    gate = threading.Event()
    monkeypatch.setattr(_Flaky, "hold", gate.wait)
    with pytest.raises(DbtTemporalError, match=r"store flaky://store: there was no answer within 0\.\d+ seconds"):
        await flaky.write("a", b"x")
    assert await flaky.read("of nobody") is None
    gate.set()


async def test_the_files_below_a_folder_are_listed_with_size_and_time(store: FsspecArtifactStore) -> None:
    assert await store.list_files("parses") == []
    before = time.time()
    await store.write("parses/a/b.parse", b"four")
    await store.write("parses-of-others/c", b"x")
    (listed,) = await store.list_files("parses")
    assert (listed.path, listed.size) == ("parses/a/b.parse", 4)
    assert before - 5 < listed.modified < time.time() + 5
