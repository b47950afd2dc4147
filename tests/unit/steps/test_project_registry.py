import pytest

from dbt_temporal.application.projects.loading import ReadyProject
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error
from dbt_temporal.testing import ready_project
from dbt_temporal.testing.builders import PROJECT


async def test_the_only_project_need_not_be_named() -> None:
    registry = ProjectRegistry([ready_project("shop")])
    assert (await registry.resolve(None)).loaded.name == registry.only == "shop"


async def test_a_project_must_be_named_where_several_are_loaded() -> None:
    registry = ProjectRegistry([ready_project("shop"), ready_project("books")])
    assert registry.only is None
    assert (await registry.resolve("books")).loaded.name == "books"
    with pytest.raises(DbtTemporalError, match=r"`project` is required.*: books, shop") as caught:
        await registry.resolve(None)
    assert caught.value.error_type == ErrorType.PROJECT_NOT_FOUND


async def test_an_unknown_project_is_refused_with_the_names_of_the_loaded_ones() -> None:
    with pytest.raises(DbtTemporalError, match="'toys' is not loaded on this worker; loaded: shop") as caught:
        await ProjectRegistry([ready_project("shop")]).resolve("toys")
    assert not caught.value.retryable


class Folder:
    """The folder of a project, as its files are now."""

    def __init__(self) -> None:
        self.revision = "r1"
        self.broken = False
        self.registry = ProjectRegistry([ready_project(revision="r1")], self.reread)

    async def reread(self, _: ReadyProject) -> ReadyProject:
        if self.broken:
            raise configuration_error("dbt_temporal.yml is wrong")
        return ready_project(revision=self.revision)

    async def resolved(self, revision: str | None = None) -> str | None:
        return (await self.registry.resolve(PROJECT, revision)).loaded.location.revision


async def test_a_new_run_has_the_files_as_they_are_and_the_runs_before_it_keep_theirs() -> None:
    folder = Folder()
    assert await folder.resolved() == "r1"
    folder.revision = "r2"
    assert await folder.resolved("r1") == "r1"
    assert await folder.resolved() == "r2"
    assert await folder.resolved("r1") == "r1"
    folder.revision = "r1"  # the edit was undone
    assert [await folder.resolved(), await folder.resolved("r2")] == ["r1", "r2"]


async def test_a_run_that_another_worker_has_planned_after_an_edit_finds_its_files() -> None:
    folder = Folder()
    folder.revision = "r2"
    assert await folder.resolved("r2") == "r2"


async def test_a_revision_that_is_not_here_is_worth_another_attempt_elsewhere() -> None:
    with pytest.raises(DbtTemporalError, match=r"revision r9 .* loaded: r1") as caught:
        await Folder().resolved("r9")
    assert caught.value.error_type == ErrorType.PROJECT_NOT_FOUND
    assert caught.value.retryable


async def test_files_that_are_broken_here_do_not_fail_a_run_that_was_planned_elsewhere() -> None:
    folder = Folder()
    folder.broken = True
    with pytest.raises(DbtTemporalError, match=r"revision r9 .* loaded: r1") as caught:
        await folder.resolved("r9")
    assert caught.value.retryable
    with pytest.raises(DbtTemporalError, match=r"dbt_temporal\.yml is wrong"):
        await folder.resolved()
