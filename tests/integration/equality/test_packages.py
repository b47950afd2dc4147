"""Packages are installed into a private folder, never into the project."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from tests.integration.engine_driver import drive, new_invocation, open_engine, opened, write_files
from tests.integration.sources.git_servers import Repository

PROFILES = "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: ':memory:'}\n"
GREETING = {
    "dbt_project.yml": "name: greetings\nversion: '1.0'\nconfig-version: 2\n",
    "macros/greet.sql": "{% macro greet() %}'hello'{% endmacro %}",
}
SECOND = {
    "dbt_project.yml": "name: numbers\nversion: '1.0'\nconfig-version: 2\n",
    "macros/three.sql": "{% macro three() %}3{% endmacro %}",
}

pytestmark = pytest.mark.every_dbt_version


@pytest.fixture
def numbers(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "numbers")
    repository.commit(SECOND)
    repository.git("tag", "v1")
    return repository


def make_project(folder: Path, packages: str) -> ProjectLocation:
    """A project that uses both packages; `local:` paths start at its folder."""
    write_files(folder.parent / "greetings", GREETING)
    write_files(
        folder,
        {
            "dbt_project.yml": "name: shop\nversion: '1.0'\nconfig-version: 2\nprofile: shop\n",
            "profiles.yml": PROFILES,
            "packages.yml": packages,
            "models/m.sql": "select {{ greetings.greet() }} as a, {{ numbers.three() }} as b",
        },
    )
    return ProjectLocation(project_dir=folder, profiles_dir=folder, revision="1")


def both(numbers: Repository) -> str:
    return f"packages:\n  - local: ../greetings\n  - git: {numbers.folder}\n    revision: v1\n"


def everything_in(folder: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in folder.rglob("*")}


def installed(cache_dir: Path) -> list[Path]:
    return [path for path in (cache_dir / "packages").glob("*/packages") if path.is_dir()]


async def test_packages_are_installed_privately_and_the_project_is_not_touched(
    tmp_path: Path, numbers: Repository
) -> None:
    location = make_project(tmp_path / "shop", both(numbers))
    before = everything_in(location.project_dir)
    async with open_engine(tmp_path / "cache") as engine:
        assert (await engine.load_project(location)).counts["model"] == 1
        run = await drive(engine, location, new_invocation(command="build"))
    assert run.statuses() == {"model.shop.m": "success"}
    assert everything_in(location.project_dir) == before
    manifest = json.loads(run.artifacts["manifest.json"])
    assert "macro.greetings.greet" in manifest["macros"]
    (folder,) = installed(tmp_path / "cache")
    assert sorted(os.listdir(folder)) == ["greetings", "numbers"]
    assert (folder.parent / "package-lock.yml").is_file()


async def test_one_installation_serves_all_parses_and_the_next_worker(tmp_path: Path, numbers: Repository) -> None:
    location = make_project(tmp_path / "shop", both(numbers))
    async with open_engine(tmp_path / "cache") as engine:
        await engine.load_project(location)
        await opened(engine, location, new_invocation(vars={"other": 1})).plan()
    (folder,) = installed(tmp_path / "cache")
    (folder / "numbers" / "marker").touch()
    async with open_engine(tmp_path / "cache") as engine:
        await engine.load_project(location)
    assert installed(tmp_path / "cache") == [folder]
    assert (folder / "numbers" / "marker").exists()


async def test_always_installs_anew_for_each_worker(tmp_path: Path, numbers: Repository) -> None:
    location = make_project(tmp_path / "shop", both(numbers))
    for count in (1, 2):
        async with open_engine(tmp_path / "cache", deps="always") as engine:
            await engine.load_project(location)
            await opened(engine, location, new_invocation(vars={"other": 1})).plan()
        assert len(installed(tmp_path / "cache")) == count


async def test_packages_that_the_project_has_are_used_as_they_are(tmp_path: Path) -> None:
    location = make_project(tmp_path / "shop", "packages:\n  - local: ../nowhere\n  - local: ../nowhere-else\n")
    write_files(location.project_dir / "dbt_packages" / "greetings", GREETING)
    write_files(location.project_dir / "dbt_packages" / "numbers", SECOND)
    async with open_engine(tmp_path / "cache") as engine:
        await engine.load_project(location)
    assert installed(tmp_path / "cache") == []


async def test_never_leaves_it_to_dbts_own_error(tmp_path: Path, numbers: Repository) -> None:
    location = make_project(tmp_path / "shop", both(numbers))
    async with open_engine(tmp_path / "cache", deps="never") as engine:
        with pytest.raises(DbtTemporalError, match='Run "dbt deps" to install package dependencies') as caught:
            await engine.load_project(location)
    assert caught.value.error_type in (ErrorType.COMPILATION, ErrorType.CONFIGURATION)


async def test_a_package_that_cannot_be_had_is_told_with_the_file_that_names_it(tmp_path: Path) -> None:
    packages = f"packages:\n  - git: {tmp_path}/nowhere\n    revision: v1\n"
    location = make_project(tmp_path / "shop", packages)
    async with open_engine(tmp_path / "cache") as engine:
        with pytest.raises(DbtTemporalError) as caught:
            await engine.load_project(location)
    assert caught.value.error_type == ErrorType.CONFIGURATION
    place = location.project_dir / "packages.yml"
    assert f"the packages of shop ({place}) could not be installed: " in caught.value.message
    assert f"{tmp_path}/nowhere" in caught.value.message
    assert installed(tmp_path / "cache") == []
