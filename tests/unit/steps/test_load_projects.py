from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import LoadedProject, ProjectLocation
from dbt_temporal.application.projects.loading import LoadProjects, ReadyProject, RereadProject
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, configuration_error
from dbt_temporal.domain.project_config import ProjectConfig
from dbt_temporal.testing import FakeEngine, FakeProjectSource


def load(*sources: FakeProjectSource, engine: FakeEngine | None = None, strict: bool = False) -> LoadProjects:
    return LoadProjects(
        sources, engine or FakeEngine(), lambda _: ProjectConfig(), read_name=lambda path: path.name, strict=strict
    )


def broken(folder: str = "/x", **messages: str) -> FakeEngine:
    """An engine for which the projects of these names in a folder do not parse, and which says so."""
    engine = FakeEngine()
    for name, message in messages.items():
        engine.unparsable[f"{folder}/{name}"] = DbtTemporalError(ErrorType.COMPILATION, message)
    return engine


@pytest.mark.parametrize(
    "message",
    [
        "Parsing Error\n  Env var required but not provided: 'FARM_DB'",
        "Compilation Error\n  Required var 'farm' not found in config:\nVars supplied to <Configuration> = {}",
    ],
)
async def test_a_project_that_lacks_a_variable_waits_even_where_it_is_the_only_one(message: str) -> None:
    (project,) = await load(FakeProjectSource("/x/farm"), engine=broken(farm=message))()
    assert project.waits_for == f"the project /x/farm does not load: {message}"
    assert (project.loaded.name, project.loaded.location.source) == ("farm", "/x/farm")


async def test_a_broken_project_takes_no_other_down() -> None:
    good, bad = await load(FakeProjectSource("/x/good", "/x/bad"), engine=broken(bad="no such macro"))()
    assert (good.waits_for, bad.waits_for) == (None, "the project /x/bad does not load: no such macro")


async def test_a_project_whose_name_cannot_be_read_goes_by_its_source() -> None:
    engine = broken(bad="not YAML")
    _, bad = await LoadProjects([FakeProjectSource("/x/good", "/x/bad")], engine, lambda _: ProjectConfig())()
    assert bad.loaded.name == "/x/bad"


async def test_where_all_are_broken_and_none_lacks_a_variable_all_of_them_are_told() -> None:
    engine = broken(a="no such macro", b="no such model")
    with pytest.raises(DbtTemporalError) as caught:
        await load(FakeProjectSource("/x/a", "/x/b"), engine=engine)()
    assert caught.value.message.splitlines() == [
        "the project /x/a does not load: no such macro",
        "the project /x/b does not load: no such model",
    ]


async def test_a_strict_start_refuses_a_project_that_lacks_a_variable() -> None:
    engine = broken(b="Env var required but not provided: 'FARM_DB'")
    with pytest.raises(DbtTemporalError, match=r"the project /x/b does not load: Env var required") as caught:
        await load(FakeProjectSource("/x/a", "/x/b"), engine=engine, strict=True)()
    assert caught.value.error_type == ErrorType.COMPILATION


async def test_a_project_that_waits_must_not_have_the_name_of_another() -> None:
    with pytest.raises(DbtTemporalError, match="two projects are named 'shop': /x/shop and /y/shop"):
        await load(FakeProjectSource("/x/shop"), FakeProjectSource("/y/shop"), engine=broken("/y", shop="broken"))()


async def test_projects_come_in_the_order_of_their_sources() -> None:
    projects = await load(FakeProjectSource("/x/b", "/x/a"), FakeProjectSource("/y/c"))()
    assert [project.loaded.name for project in projects] == ["b", "a", "c"]


async def test_each_project_has_its_own_configuration() -> None:
    configs = {
        Path("/x/a"): ProjectConfig(),
        Path("/x/b"): ProjectConfig.model_validate({"retry": {"max_attempts": 7}}),
    }
    projects = await LoadProjects([FakeProjectSource("/x/a", "/x/b")], FakeEngine(), configs.__getitem__)()
    assert [project.config.retry.max_attempts for project in projects] == [3, 7]


async def test_two_projects_of_one_name_are_refused_with_both_places() -> None:
    with pytest.raises(DbtTemporalError) as caught:
        await load(FakeProjectSource("/x/shop"), FakeProjectSource("/y/shop"))()
    assert caught.value.error_type == ErrorType.CONFIGURATION
    assert caught.value.message.startswith("two projects are named 'shop': /x/shop and /y/shop")


async def test_one_folder_given_twice_is_refused_as_well() -> None:
    with pytest.raises(DbtTemporalError, match="two projects are named 'shop': /x/shop and /x/shop"):
        await load(FakeProjectSource("/x/shop", "/x/shop"))()


async def test_projects_are_loaded_side_by_side() -> None:
    both = asyncio.Barrier(2)

    class Waiting(FakeEngine):
        async def load_project(self, location: ProjectLocation) -> LoadedProject:
            await both.wait()
            return await super().load_project(location)

    projects = await asyncio.wait_for(load(FakeProjectSource("/x/a", "/x/b"), engine=Waiting())(), 5)
    assert len(projects) == 2


async def test_with_a_strict_start_the_first_that_fails_cancels_the_others_and_is_told() -> None:
    cancelled = []

    class Failing(FakeEngine):
        async def load_project(self, location: ProjectLocation) -> LoadedProject:
            if location.source == "/x/bad":
                raise configuration_error("no profile")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(location.source)
                raise
            raise AssertionError

    with pytest.raises(DbtTemporalError, match="no profile"):
        await load(FakeProjectSource("/x/good", "/x/bad"), engine=Failing(), strict=True)()
    assert cancelled == ["/x/good"]


class Folder:
    """The folder of a project: its revision, its dbt_temporal.yml, and how often that was read."""

    def __init__(self) -> None:
        self.revision = "r1"
        self.config = ProjectConfig()
        self.read = 0

    async def revision_of(self, _: Path) -> str:
        return self.revision

    def read_config(self, _: Path) -> ProjectConfig:
        self.read += 1
        return self.config

    async def reread(self, *, changeable: bool) -> tuple[ReadyProject, ReadyProject]:
        """The project as it was loaded, and as it is now."""
        location = ProjectLocation(Path("/x/a"), Path("/x/a"), revision="r1", changeable=changeable)
        project = ReadyProject(await FakeEngine().load_project(location), ProjectConfig())
        return project, await RereadProject(self.revision_of, self.read_config)(project)


async def test_an_edited_project_has_another_revision_and_its_configuration_is_read_again() -> None:
    folder = Folder()
    folder.revision = "r2"
    folder.config = ProjectConfig.model_validate({"retry": {"max_attempts": 7}})
    before, after = await folder.reread(changeable=True)
    assert after.loaded.location.revision == "r2"
    assert after.config.retry.max_attempts == 7
    assert after.loaded.name == before.loaded.name


@pytest.mark.parametrize("changeable", [True, False])
async def test_a_project_that_nobody_edited_stays_as_it_is(changeable: bool) -> None:
    folder = Folder()
    if not changeable:
        folder.revision = "of something else"
    before, after = await folder.reread(changeable=changeable)
    assert after is before
    assert folder.read == 0
