"""Nothing that is wrong with a store, or with what lies in it, keeps a worker from its start."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest
from dependency_injector import providers

from dbt_temporal.adapters.dbt_core.parents import shared
from dbt_temporal.adapters.dbt_core.parents.shared import FOLDER, SharedParses
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import InMemoryArtifactStore
from tests.integration.engine_driver import open_engine
from tests.integration.parses.fleet import TAKEN, WHOLE, Fleet
from tests.integration.servers import wait_for


@pytest.mark.parametrize("wrong", ["cut", "damaged", "something else", "under another key", "without a seal by a key"])
async def test_a_file_that_is_not_as_it_was_written_is_one_warning_and_replaced(fleet: Fleet, wrong: str) -> None:
    fleet.keys = [b"k" * 32] if "key" in wrong else []
    await fleet.begins()
    file = fleet.parses()[0]
    content = file.read_bytes()
    match wrong:
        case "cut":
            file.write_bytes(content[:-100])
        case "damaged":
            file.write_bytes(content[:1000] + bytes([content[1000] ^ 1]) + content[1001:])
        case "something else":
            file.write_bytes(b"{}")
        case "under another key":
            fleet.keys = [b"n" * 32]
        case _:
            fleet.keys = []
            await fleet.begins()
            fleet.keys = [b"k" * 32]
    assert await fleet.begins() == WHOLE
    assert len(fleet.warnings()) == 1
    assert str(file) in fleet.warnings()[0]
    assert await fleet.begins() == TAKEN
    assert fleet.warnings() == []


async def test_a_key_that_was_rotated_still_opens_what_it_has_sealed(fleet: Fleet) -> None:
    old, new = b"o" * 32, b"n" * 32
    fleet.keys = [old]
    await fleet.begins()
    fleet.keys = [new, old]
    assert await fleet.begins() == TAKEN


async def starts(fleet: Fleet, sharing: SharedParses) -> None:
    async with open_engine(fleet.folder / "cache", shared=sharing) as engine:
        loaded = await engine.load_project(fleet.location)
        assert loaded.counts["model"] == 3
        await sharing.settle()


async def test_a_store_that_cannot_be_read_or_written_is_a_warning_for_each(fleet: Fleet) -> None:
    store = InMemoryArtifactStore()
    store.broken = [FOLDER]
    await starts(fleet, SharedParses(store, {}))
    unread, unwritten = fleet.warnings()
    assert unread.startswith("the parse memory://parses/")
    assert "is not used, and the project is parsed anew: " in unread
    assert unwritten.startswith("the parse of shop is not shared: ")


class _Silent(InMemoryArtifactStore):
    async def read(self, path: str) -> bytes | None:
        await asyncio.Event().wait()
        raise AssertionError(path)


async def test_a_store_that_does_not_answer_is_waited_for_only_so_long(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "FETCH_SECS", 0.05)
    await starts(fleet, SharedParses(_Silent(), {}))
    assert "it was not there within 0.05 seconds" in fleet.warnings()[0]


async def test_a_worker_that_ends_does_not_wait_for_what_it_stores(fleet: Fleet) -> None:
    class Slow(InMemoryArtifactStore):
        begun = asyncio.Event()

        async def write(self, path: str, content: bytes) -> str:
            self.begun.set()
            await asyncio.Event().wait()
            raise AssertionError(path)

    store = Slow()
    async with open_engine(fleet.folder / "cache", shared=SharedParses(store, {})) as engine:
        await engine.load_project(fleet.location)
        await store.begun.wait()
    assert fleet.warnings() == []


async def test_old_parses_go(fleet: Fleet) -> None:
    folder = fleet.folder / "store" / FOLDER
    folder.mkdir(parents=True)
    for name, age in (("old", shared.MAX_AGE_SECS + 60), ("new", 60)):
        (folder / f"{name}.parse").write_bytes(b"x")
        os.utime(folder / f"{name}.parse", (time.time() - age,) * 2)
    await fleet.begins()
    names = {file.name for file in fleet.parses()}
    assert len(names) == 2
    assert "new.parse" in names


@pytest.mark.parametrize("said", [None, "false"])
async def test_a_worker_shares_parses_by_the_store_that_is_named_unless_it_is_told_not_to(
    fleet: Fleet, tmp_path: Path, said: str | None
) -> None:
    environ = {
        **os.environ,
        "DBT_PROJECT_DIRS": str(fleet.folder / "shop"),
        "DBT_PROFILES_DIR": str(fleet.folder / "profiles"),
        "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache"),
        "ARTIFACT_STORE": str(tmp_path / "store"),
        **({} if said is None else {"DBT_TEMPORAL_SHARE_PARSES": said}),
    }
    container = WorkerContainer(
        settings=read_settings(environ), environ=providers.Object(environ), current_dir=Path.cwd()
    )

    async def is_shared() -> bool:
        return len(fleet.parses()) == 1

    try:
        await container.load_projects()()
        if said is None:
            await wait_for(is_shared, within=60)
    finally:
        await container.engine().close()
    assert len(fleet.parses()) == (1 if said is None else 0)
    shutil.rmtree(tmp_path / "cache")
