from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_core.parents.parse_key import ParseSettings
from dbt_temporal.adapters.dbt_core.parents.pool import ParentPool
from dbt_temporal.adapters.dbt_core.template import Template
from dbt_temporal.adapters.private_copies import mark_cache
from dbt_temporal.adapters.project_files import content_revision, read_files, source_files
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("written", ["build/compiled/m.sql", "out/logs/dbt.md"])
def test_where_the_project_says_that_dbt_writes_to_is_none_of_its_files(tmp_path: Path, written: str) -> None:
    write(tmp_path / "dbt_project.yml", "name: shop\ntarget-path: ./build/\nlog-path: out/logs\n")
    before = content_revision(tmp_path)
    write(tmp_path / written, "select 1")
    assert content_revision(tmp_path) == before
    write(tmp_path / "models" / "build" / "m.sql", "select 1")
    assert content_revision(tmp_path) != before


def test_a_cache_in_a_project_is_none_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: any")
    before = content_revision(tmp_path)
    cache = tmp_path / ".cache" / "dbt-temporal"
    mark_cache(cache)
    (cache / "v2" / "projects").mkdir(parents=True)
    (cache / "v2" / "projects" / "copy.sql").write_text("select 1")
    assert content_revision(tmp_path) == before
    (cache / "dbt_project.yml").write_text("name: fetched")
    assert [Path(path).name for path in source_files(str(cache)) if path.endswith(".yml")] == ["dbt_project.yml"]


@pytest.mark.parametrize(
    "text",
    ["target-path: \"{{ env_var('X') }}\"", "target-path: {{ x }}", "target-path: 5", "- x", "", "target-path: .."],
)
def test_a_target_path_that_says_nothing_leaves_nothing_out(tmp_path: Path, text: str) -> None:
    write(tmp_path / "dbt_project.yml", text)
    before = content_revision(tmp_path)
    write(tmp_path / "models" / "m.sql", "select 1")
    assert content_revision(tmp_path) != before


def test_a_folder_that_cannot_be_listed_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "dbt_project.yml", "name: shop")
    write(tmp_path / "models" / "m.sql", "select 1")
    listed = os.scandir

    def stale(path: str) -> Any:
        if path.endswith("models"):
            raise OSError(116, "Stale file handle", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        content_revision(tmp_path)


@pytest.mark.parametrize(
    ("file", "project"),
    [
        ("shared/macros/m.sql", "macro-paths: [macros, ../shared/macros]"),
        ("shared/seeds/S.CSV", "seed-paths: ../shared/seeds"),
        ("shop/models/LOUD.SQL", ""),
        ("elsewhere/deep/m.sql", ""),
        ("pricing/macros/m.sql", ""),
    ],
)
def test_what_dbt_parses_outside_of_the_folder_belongs_to_the_revision(tmp_path: Path, file: str, project: str) -> None:
    shop = write(tmp_path / "shop" / "dbt_project.yml", f"name: shop\n{project}\n").parent
    write(shop / "packages.yml", "packages: [{local: ../pricing}, {package: x/y}, 5]")
    write(tmp_path / "elsewhere" / "other.txt", "")
    (shop / "models").mkdir()
    (shop / "models" / "linked").symlink_to(tmp_path / "elsewhere")
    before = content_revision(shop)
    write(tmp_path / "nowhere" / "m.sql", "select 1")
    assert content_revision(shop) == before
    write(tmp_path / file, "select 1")
    added = content_revision(shop)
    assert added != before
    write(tmp_path / file, "select 2")
    assert content_revision(shop) not in (before, added)


def test_links_that_lead_back_have_an_end(tmp_path: Path) -> None:
    shop = write(tmp_path / "shop" / "dbt_project.yml", "name: shop").parent
    write(shop / "models" / "m.sql", "select 1")
    write(tmp_path / "other" / "n.sql", "select 1")
    (shop / "models" / "around").symlink_to(tmp_path)
    (shop / "models" / "other").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(shop / "models")
    files = {os.path.relpath(path, shop) for path in source_files(str(shop))}
    assert files == {"dbt_project.yml", "models/m.sql", "models/other/n.sql"}


class EditedWhileParsed:
    """An engine process whose dbt fails, since a file goes while it parses; or for its own reasons, without a file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.channel = self

    async def fork_parent(self) -> tuple[EditedWhileParsed, None]:
        return self, None

    async def request(self, _: str, **__: object) -> None:
        if self._file is not None:
            self._file.unlink()
        raise DbtTemporalError(ErrorType.COMPILATION, "depends on a node named 'm' which was not found")

    def kill(self) -> None:
        """There is no process."""

    async def close(self) -> None:
        """There is no channel."""


@pytest.mark.parametrize("edited", [True, False])
async def test_what_dbt_says_of_files_that_were_edited_under_its_hands_is_not_told(
    tmp_path: Path, edited: bool
) -> None:
    project = write(tmp_path / "shop" / "dbt_project.yml", "name: shop").parent
    model = write(project / "models" / "m.sql", "select 1")
    settings = ParseSettings.of(ProjectLocation(project, project, content_revision(project), changeable=True))
    template = cast(Template, EditedWhileParsed(model if edited else None))
    with pytest.raises(DbtTemporalError) as caught:
        await ParentPool(template, {}, tmp_path / "cache", tmp_path / "work", EngineLimits()).load(settings)
    expected = (ErrorType.PROJECT_NOT_FOUND, True) if edited else (ErrorType.COMPILATION, False)
    assert (caught.value.error_type, caught.value.retryable) == expected


def test_dbt_reads_the_folders_that_a_project_names_its_packages_and_yaml_beside_it(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    write(shop / "dbt_project.yml", "name: shop\nmodel-paths: [transform, ../shared]\n")
    write(shop / "packages.yml", "packages: [{local: tools}]")
    read = ["transform/a.sql", "transform/b.yml", "macros/m.sql", "seeds/s.csv", "tools/macros/t.sql", "selectors.yml"]
    read += ["dbt_packages/utils/macros/u.sql", ".dbtignore"]
    others = [
        "README.md",
        "scripts/x.py",
        ".github/ci.yml",
        ".pre-commit-config.yaml",
        "models/old.sql",
        "target/c.sql",
    ]
    for name in (*read, *others):
        write(shop / name, "x: 1")
    shared = str(write(tmp_path / "shared" / "c.sql", "select 1"))
    own = [str(shop / name) for name in (*read, "dbt_project.yml", "packages.yml")]
    assert sorted(read_files(str(shop))) == sorted([*own, shared])
