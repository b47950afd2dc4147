from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbt_temporal.adapters.project_sources.local import LocalFolder, current_revision
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.entrypoints.discovery import project_sources
from dbt_temporal.entrypoints.settings import read_settings


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def make_project(folder: Path, *, profiles: bool = False) -> Path:
    folder.mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(f"name: {folder.name}\n")
    if profiles:
        (folder / "profiles.yml").write_text("{}\n")
    return folder


async def places(source: ProjectSource) -> list[Path]:
    return [location.project_dir for location in await source.locate()]


async def test_a_folder_with_a_dbt_project_is_that_project(tmp_path: Path) -> None:
    shop = make_project(tmp_path / "shop")
    make_project(shop / "dbt_packages")
    assert await places(LocalFolder(shop, named_by="DBT_PROJECT_DIR")) == [shop]


async def test_a_folder_of_projects_is_scanned_one_level_down(tmp_path: Path) -> None:
    b, a = make_project(tmp_path / "b"), make_project(tmp_path / "a")
    make_project(tmp_path / "deeper" / "c")
    assert await places(LocalFolder(tmp_path, named_by="DBT_PROJECT_DIRS")) == [a, b]


async def test_the_folder_of_projects_is_not_a_project_itself(tmp_path: Path) -> None:
    outer = make_project(tmp_path / "outer")
    inner = make_project(outer / "inner")
    assert await places(LocalFolder(outer, named_by="DBT_PROJECTS_DIR", only_subfolders=True)) == [inner]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text(""), "is not a folder"),
        (lambda path: path.mkdir(), "holds no dbt project: there is no dbt_project.yml in it or its subfolders"),
    ],
)
async def test_a_bad_folder_is_told_with_the_variable_that_names_it(tmp_path: Path, make: object, reason: str) -> None:
    folder = tmp_path / "x"
    assert callable(make)
    make(folder)
    with pytest.raises(DbtTemporalError) as caught:
        await LocalFolder(folder, named_by="DBT_PROJECT_DIR").locate()
    assert caught.value.error_type == ErrorType.CONFIGURATION
    assert caught.value.message == f"DBT_PROJECT_DIR: the folder {str(folder)!r} {reason}"


async def test_profiles_come_from_dbt_profiles_dir_then_the_project_then_home(tmp_path: Path) -> None:
    given = tmp_path / "given"
    home = tmp_path / "home" / ".dbt"
    own = make_project(tmp_path / "own", profiles=True)
    bare = make_project(tmp_path / "bare")

    async def profiles_dir(project: Path, given: Path | None = None) -> Path:
        (location,) = await LocalFolder(project, named_by="x", profiles_dir=given).locate()
        return location.profiles_dir

    assert await profiles_dir(own, given) == given
    assert await profiles_dir(own) == own
    assert await profiles_dir(bare) == bare
    home.mkdir(parents=True)
    (home / "profiles.yml").write_text("{}\n")
    assert await profiles_dir(bare) == home
    assert await profiles_dir(own) == own


async def test_the_workers_target_goes_with_the_project(tmp_path: Path) -> None:
    (location,) = await LocalFolder(make_project(tmp_path / "shop"), named_by="x", target="prod").locate()
    assert location.target == "prod"


async def test_discovery_follows_the_order_of_the_variables(tmp_path: Path) -> None:
    one, two, many = make_project(tmp_path / "one"), make_project(tmp_path / "two"), tmp_path / "many"
    three = make_project(many / "three")
    variables = {
        "DBT_PROJECT_DIRS": f"{one},{two}",
        "DBT_PROJECTS_DIR": str(many),
        "DBT_PROJECT_DIR": str(two),
    }

    async def found(*names: str) -> list[Path]:
        environ = {name: variables[name] for name in names}
        sources = project_sources(read_settings(environ), one, environ)
        return [place for source in sources for place in await places(source)]

    assert await found("DBT_PROJECT_DIRS", "DBT_PROJECTS_DIR", "DBT_PROJECT_DIR") == [one, two]
    assert await found("DBT_PROJECTS_DIR", "DBT_PROJECT_DIR") == [three]
    assert await found("DBT_PROJECT_DIR") == [two]
    assert await found() == [one]


def test_a_source_of_an_unknown_kind_is_refused() -> None:
    environ = {"DBT_PROJECT_DIRS": "ftp://host/x"}
    with pytest.raises(DbtTemporalError, match="DBT_PROJECT_DIRS: sources of the kind ftp:// are not supported"):
        project_sources(read_settings(environ), Path(), environ)


async def revision(project: Path) -> str:
    (location,) = await LocalFolder(project, named_by="x").locate()
    assert location.revision is not None
    return location.revision


async def test_the_same_files_have_the_same_revision_wherever_they_lie(tmp_path: Path) -> None:
    for folder in (one := make_project(tmp_path / "a" / "shop"), two := make_project(tmp_path / "b" / "shop")):
        (folder / "models").mkdir()
        (folder / "models" / "m.sql").write_text("select 1")
    os.utime(two / "models" / "m.sql", (1, 1))
    assert await revision(one) == await revision(two)


@pytest.mark.parametrize("name", ["models/m.sql", "seeds/s.csv", "dbt_project.yml", "packages.yml", ".dbtignore"])
async def test_a_changed_file_of_the_project_changes_its_revision(tmp_path: Path, name: str) -> None:
    project = make_project(tmp_path / "shop")
    before = await revision(project)
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("changed")
    assert await revision(project) != before


@pytest.mark.parametrize(
    "name", ["target/manifest.sql", "logs/dbt.md", "dbt_packages/utils/m.sql", ".git/x.sql", ".user.yml", "shop.duckdb"]
)
async def test_what_tools_write_into_a_project_leaves_its_revision(tmp_path: Path, name: str) -> None:
    project = make_project(tmp_path / "shop")
    before = await revision(project)
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("written")
    assert await revision(project) == before


async def test_a_folder_that_is_a_link_is_followed_after_the_link_was_swapped(tmp_path: Path) -> None:
    make_project(tmp_path / "1", profiles=True)
    make_project(tmp_path / "2", profiles=True)
    current = tmp_path / "current"
    current.symlink_to("1")
    (location,) = await LocalFolder(current, named_by="x", profiles_dir=current).locate()
    current.unlink()
    current.symlink_to("2")
    assert await current_revision(location.project_dir) == await revision(tmp_path / "2") != location.revision
    assert location.profiles_dir.resolve() == tmp_path / "2"


async def test_a_folder_that_has_gone_is_told_and_has_no_revision(tmp_path: Path) -> None:
    project = make_project(tmp_path / "shop")
    (project / "dbt_project.yml").unlink()
    with pytest.raises(DbtTemporalError, match=r"cannot be read: .*No such file.*dbt_project\.yml") as caught:
        await current_revision(project)
    assert caught.value.error_type == ErrorType.CONFIGURATION


async def test_a_local_project_may_change_while_it_is_used(tmp_path: Path) -> None:
    (location,) = await LocalFolder(make_project(tmp_path / "shop"), named_by="x").locate()
    assert location.changeable
