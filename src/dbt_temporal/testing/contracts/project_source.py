"""What every source of projects promises, as tests that each of them passes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.domain.errors import ErrorType
from dbt_temporal.testing.contracts.errors import error_of

SHOP = {
    "dbt_project.yml": "name: shop\nprofile: shop\n",
    "models/one.sql": "select 1 as one\n",
    "models/deep/er/with a space [1].sql": "select 2 as two\n",
}
EDITED = {**SHOP, "models/one.sql": "select 3 as one\n", "models/three.sql": "select 3\n"}


class ProjectPlace(Protocol):
    """A place of the kind that a source is for, as the test of an adapter makes it: empty at first."""

    @property
    def name(self) -> str:
        """What its errors call it by, such as its URL."""

    async def put(self, files: Mapping[str, str]) -> None:
        """Makes these the files that are there, all of them: texts by path."""

    async def remove(self) -> None:
        """Takes away all that there is."""

    def source(self) -> ProjectSource:
        """A source of the place, as each worker makes its own."""


class ProjectSourceContract:
    """Tests of a `ProjectSource`, for a subclass called `Test...` and a fixture `place` that gives a `ProjectPlace`.

    They are coroutines for pytest-asyncio, in its mode `auto` or with the mark `asyncio` on the subclass.
    """

    async def test_a_project_is_located_with_its_files_and_nothing_else(self, place: ProjectPlace) -> None:
        """`locate`, which says where it comes from and writes nothing into it."""
        await place.put(SHOP)
        source = place.source()
        for _ in range(2):
            location = await the_one(source)
            assert files_below(location.project_dir) == SHOP
            assert location.source, "people are told where a project comes from"

    async def test_all_workers_come_to_the_same_revision(self, place: ProjectPlace) -> None:
        """`locate`, by several at once: of what there is, and not of when or where that is asked."""
        await place.put(SHOP)
        located = await asyncio.gather(*(the_one(place.source()) for _ in range(3)))
        assert len({each.revision for each in located}) == 1
        for each in located:
            assert files_below(each.project_dir) == SHOP

    async def test_other_files_are_another_revision(self, place: ProjectPlace) -> None:
        """`locate`, after a change; what was fetched before stays as it was, since runs go on with it."""
        await place.put(SHOP)
        before = await the_one(place.source())
        await place.put(EDITED)
        after = await the_one(place.source())
        assert files_below(after.project_dir) == EDITED
        assert after.revision != before.revision
        if not before.changeable:
            assert files_below(before.project_dir) == SHOP

    async def test_a_place_without_a_project_is_told_by_its_name(self, place: ProjectPlace) -> None:
        """`locate`, where there are files but no dbt_project.yml: a Configuration error."""
        await place.put({"readme.md": "no project\n"})
        await self._is_refused(place)

    async def test_a_place_that_is_gone_is_told_by_its_name(self, place: ProjectPlace) -> None:
        """`locate`, where there is nothing any more: a Configuration error."""
        await place.put(SHOP)
        await place.remove()
        await self._is_refused(place)

    async def test_one_that_was_cancelled_can_be_asked_again(self, place: ProjectPlace) -> None:
        """`locate`, cancelled in mid-work, as where another source has failed: it leaves nothing half done."""
        await place.put(SHOP)
        source = place.source()
        locating = asyncio.ensure_future(source.locate())
        await asyncio.sleep(0)
        locating.cancel()
        with suppress(asyncio.CancelledError):
            await locating
        assert files_below((await the_one(source)).project_dir) == SHOP

    async def _is_refused(self, place: ProjectPlace) -> None:
        error = await error_of(place.source().locate())
        assert error.error_type is ErrorType.CONFIGURATION
        assert place.name in error.message


class SeveralProjectsContract:
    """Tests of a source whose places may hold several projects, each in a folder one level down; as those above."""

    async def test_several_projects_are_told_apart(self, place: ProjectPlace) -> None:
        """`locate`, of two projects: each with its own files and name, in an order that stays."""
        files = {"shop/dbt_project.yml": "name: shop\n", "farm/dbt_project.yml": "name: farm\n", "farm/a.txt": "a\n"}
        await place.put({**files, "deeper/still/dbt_project.yml": "name: none\n"})
        located = await place.source().locate()
        assert [files_below(each.project_dir) for each in located] == [
            {"dbt_project.yml": "name: farm\n", "a.txt": "a\n"},
            {"dbt_project.yml": "name: shop\n"},
        ]
        assert len({each.source for each in located}) == 2
        again = await place.source().locate()
        assert [(each.source, each.revision) for each in again] == [(each.source, each.revision) for each in located]


async def the_one(source: ProjectSource) -> ProjectLocation:
    """The project of a source that has one."""
    (location,) = await source.locate()
    return location


def files_below(folder: Path) -> dict[str, str]:
    """Texts by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
