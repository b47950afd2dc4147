"""What `dev` says of edits: one line for what is saved at once, and nothing of what dbt does not read."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from dbt_temporal.entrypoints.dev import changes
from dbt_temporal.entrypoints.dev.changes import ProjectFiles

PATIENCE_SECS = 20.0


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK_SECS", 0.02)
    monkeypatch.setattr(changes, "LOOK_SHARE", 1.0)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return project(tmp_path / "shop")


def project(folder: Path) -> Path:
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(f"name: {folder.name}\n")
    (folder / "models" / "orders.sql").write_text("select 1")
    return folder


async def edited(files: ProjectFiles, *edits: tuple[Path, str | None]) -> str:
    """What is said of edits that are made while it is waited for them; None is a file that goes."""
    before = await files.now()
    async with asyncio.timeout(PATIENCE_SECS):
        waiting = asyncio.create_task(files.changed_since(before))
        for path, text in edits:
            await asyncio.sleep(0)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        return files.edited(before, await waiting)


async def test_an_edit_is_told_by_the_path_in_the_project(shop: Path) -> None:
    assert await edited(ProjectFiles([shop]), (shop / "models" / "orders.sql", "select 2")) == (
        "Edited: models/orders.sql."
    )


async def test_what_is_saved_at_once_is_one_line(shop: Path) -> None:
    models = shop / "models"
    edits = [(models / f"m{n}.sql", "select 1") for n in range(5)]
    said = await edited(ProjectFiles([shop]), *edits, (models / "orders.sql", None), (models / "m0.sql", "select 2"))
    assert said == "Edited: models/m0.sql (new), models/m1.sql (new), models/m2.sql (new) and 3 more."


async def test_a_file_that_goes_and_one_of_profiles_that_comes_are_told(shop: Path, tmp_path: Path) -> None:
    profiles = tmp_path / "home" / "profiles.yml"
    profiles.parent.mkdir()
    files = ProjectFiles([shop, profiles])
    assert await edited(files, (shop / "models" / "orders.sql", None)) == "Edited: models/orders.sql (gone)."
    assert await edited(files, (profiles, "shop: {}")) == f"Edited: {profiles} (new)."


@pytest.mark.parametrize(
    "name", ["README.md", "scripts/load.py", ".user.yml", ".github/ci.yml", "target/manifest.sql", "models/.orders.swp"]
)
async def test_what_dbt_does_not_read_is_nothing(shop: Path, name: str) -> None:
    files = ProjectFiles([shop])
    before = await files.now()
    (shop / name).parent.mkdir(exist_ok=True)
    (shop / name).write_text("- name: x")
    assert await files.now() == before


async def test_a_save_that_changes_nothing_and_an_edit_that_is_undone_are_none(shop: Path) -> None:
    files, model = ProjectFiles([shop]), shop / "models" / "orders.sql"
    before = await files.now()
    model.write_text("select 1")
    os.utime(model, (1, 1))
    assert await files.now() == before
    model.write_text("select 2")
    assert await files.now() != before
    model.write_text("select 1")
    assert await files.now() == before


async def test_of_several_projects_the_folder_is_told_as_well(tmp_path: Path) -> None:
    shop, crm = project(tmp_path / "shop"), project(tmp_path / "all" / "crm")
    files = ProjectFiles([shop, crm.parent])
    assert await edited(files, (shop / "models" / "orders.sql", "x")) == "Edited: shop/models/orders.sql."
    assert await edited(files, (crm / "models" / "orders.sql", "x")) == "Edited: all/crm/models/orders.sql."


async def test_a_large_file_has_changed_with_its_time(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_READ_BYTES", 3)
    files, model = ProjectFiles([shop]), shop / "models" / "orders.sql"
    before = await files.now()
    os.utime(model, (1, 1))
    assert files.edited(before, await files.now()) == "Edited: models/orders.sql."
