"""What every artifact store promises, as tests that each of them passes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing.contracts.errors import error_of


class ArtifactStoreContract:
    """Tests of an `ArtifactStore`, for a subclass called `Test...` and a fixture `store` that gives an empty one.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_what_is_written_can_be_read_and_its_place_is_known(self, store: ArtifactStore) -> None:
        """`write`, `read` and `location`."""
        place = await store.write("run/log.txt", b"one")
        assert place == store.location("run/log.txt")
        assert place.endswith("run/log.txt")
        assert await store.read("run/log.txt") == b"one"

    async def test_writing_again_replaces_the_file(self, store: ArtifactStore) -> None:
        """`write`, of a path that there is."""
        await store.write("run/log.txt", b"one")
        await store.write("run/log.txt", b"two")
        assert await store.read("run/log.txt") == b"two"

    async def test_a_file_that_is_not_there_is_none(self, store: ArtifactStore) -> None:
        """`read`, of a path that there is not, and of a folder."""
        assert await store.read("run/log.txt") is None
        await store.write("run/log.txt", b"one")
        assert await store.read("run/none") is None
        assert await store.read("run") is None

    async def test_many_files_are_read_and_those_that_are_not_there_are_left_out(self, store: ArtifactStore) -> None:
        """`read_many`, with names in which a pattern could be seen."""
        contents = {f"run/records/{number}": str(number).encode() for number in range(50)}
        contents |= {"run/manifest [1].json": b"{}", "run/deep/er/c": b"c"}
        await asyncio.gather(*(store.write(path, content) for path, content in contents.items()))
        assert await store.read_many([*contents, "run/none", "run/deep", "none/at/all"]) == contents
        assert await store.read_many([]) == {}

    async def test_a_file_of_this_machine_is_uploaded_and_stays(self, store: ArtifactStore, tmp_path: Path) -> None:
        """`upload`, of a new path and of one that there is."""
        file = tmp_path / "manifest.json"
        for content in (b"x" * 100_000, b"{}"):
            file.write_bytes(content)
            assert await store.upload("run/manifest.json", file) == store.location("run/manifest.json")
            assert await store.read("run/manifest.json") == content
        assert file.read_bytes() == b"{}"

    async def test_a_file_that_cannot_be_uploaded_leaves_what_was_there(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        """`upload`, of a file that there is not: an ArtifactStore error."""
        await store.write("run/manifest.json", b"old")
        error = await error_of(store.upload("run/manifest.json", tmp_path / "none"))
        assert error.error_type is ErrorType.ARTIFACT_STORE
        assert await store.read("run/manifest.json") == b"old"

    async def test_a_file_is_copied_within_the_store(self, store: ArtifactStore) -> None:
        """`copy`, over a file that there is, of one that there is not, and of a folder."""
        await store.write("run/manifest.json", b"x" * 100_000)
        await store.write("latest/shop/manifest [1].json", b"old")
        assert await store.copy("run/manifest.json", "latest/shop/manifest [1].json")
        assert not await store.copy("run/catalog.json", "latest/shop/manifest [1].json")
        assert not await store.copy("run", "latest/shop/folder")
        assert await store.read("latest/shop/manifest [1].json") == b"x" * 100_000
        assert await store.read("run/manifest.json") == b"x" * 100_000
        assert [file.path for file in await store.list_files("latest")] == ["latest/shop/manifest [1].json"]

    async def test_the_files_below_a_folder_are_listed(self, store: ArtifactStore) -> None:
        """`list_files`, with sizes and times."""
        assert await store.list_files("parses") == []
        await store.write("parses/one.parse", b"four")
        await store.write("parses/a/two.parse", b"three")
        await store.write("run/log.txt", b"x")
        listed = {file.path: file for file in await store.list_files("parses")}
        assert {path: file.size for path, file in listed.items()} == {"parses/one.parse": 4, "parses/a/two.parse": 5}
        assert listed["parses/one.parse"].modified <= listed["parses/a/two.parse"].modified

    async def test_the_folders_right_below_one_are_listed(self, store: ArtifactStore) -> None:
        """`list_folders`, of the root and of a folder, of what there is not and of a file; files are none."""
        assert await store.list_folders("") == []
        await asyncio.gather(*(store.write(path, b"x") for path in ("one/a/b/c", "one/d/e", "one/f", "two/g", "h")))
        assert sorted(await store.list_folders("")) == ["one", "two"]
        assert sorted(await store.list_folders("one")) == ["a", "d"]
        assert await store.list_folders("two") == []
        assert await store.list_folders("three") == []
        await store.delete("one")
        assert await store.list_folders("") == ["two"]

    async def test_a_folder_is_deleted_with_all_below_it(self, store: ArtifactStore) -> None:
        """`delete`, also of what there is not, and of a file."""
        await asyncio.gather(*(store.write(f"run/records/{number}/x", b"x") for number in range(20)))
        await store.write("run/log.txt", b"x")
        await store.delete("run/records")
        await store.delete("run/records")
        assert [file.path for file in await store.list_files("run")] == ["run/log.txt"]
        await store.delete("run/log.txt")
        assert await store.read("run/log.txt") is None

    async def test_a_file_is_deleted_and_a_folder_of_that_name_stays(self, store: ArtifactStore) -> None:
        """`delete_file`, also of what there is not."""
        await store.write("latest/shop", b"x")
        await store.delete_file("latest/shop")
        await store.delete_file("latest/shop")
        assert await store.read("latest/shop") is None
        await store.write("latest/shop/prod/run.json", b"y")
        await store.delete_file("latest/shop")
        assert await store.read("latest/shop/prod/run.json") == b"y"

    async def test_no_reader_sees_half_of_a_file_that_is_written_again(self, store: ArtifactStore) -> None:
        """`read`, while writers take turns."""
        whole = [letter * 2_000_000 for letter in (b"a", b"b")]
        await store.write("run/manifest.json", whole[0])
        writing = asyncio.ensure_future(asyncio.gather(*(store.write("run/manifest.json", each) for each in whole * 3)))
        while not writing.done():
            assert await store.read("run/manifest.json") in whole
            await asyncio.sleep(0)
        await writing
