"""`dbt-temporal deps`, as people type it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.engine_driver import write_files
from tests.integration.programs import Desk

PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\n",
    "profiles.yml": "shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb}}}\n",
    "packages.yml": "packages: [{local: ../helper}]\n",
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Two projects that need a package which lies beside them."""
    write_files(tmp_path / "projects" / "shop", PROJECT)
    write_files(tmp_path / "projects" / "till", {**PROJECT, "dbt_project.yml": "name: till\nprofile: shop\n"})
    write_files(tmp_path / "projects" / "helper", {"dbt_project.yml": "name: helper\nversion: '1.0'\n"})
    desk = Desk(tmp_path)
    desk.env["DBT_PROJECT_DIRS"] = f"{tmp_path / 'projects' / 'shop'},{tmp_path / 'projects' / 'till'}"
    return desk


def packages(desk: Desk) -> set[str]:
    """The projects that have their package."""
    return {path.parents[1].name for path in desk.folder.glob("projects/*/dbt_packages/helper")}


def test_packages_of_all_projects_of_a_worker_are_installed_where_dbt_puts_them(desk: Desk) -> None:
    ended = desk.command("deps")
    assert ended.returncode == 0, ended.stderr
    assert packages(desk) == {"shop", "till"}
    assert "Installed from <local @ ../helper>" in ended.stdout


def test_one_project_is_named_and_dbts_options_are_handed_on(desk: Desk) -> None:
    ended = desk.command("deps", "--project", "till", "--lock")
    assert ended.returncode == 0, ended.stderr
    assert packages(desk) == set()
    assert (desk.folder / "projects" / "till" / "package-lock.yml").exists()
    assert not (desk.folder / "projects" / "shop" / "package-lock.yml").exists()


def test_a_package_is_added_to_the_one_project_that_is_named(desk: Desk) -> None:
    args = ("deps", "--add-package", "../helper", "--source", "local")
    unsaid = desk.command(*args)
    assert unsaid.returncode == 2
    assert "which project? Name one with --project: shop, till" in unsaid.stderr
    (desk.folder / "projects" / "shop" / "packages.yml").unlink()
    assert desk.command(*args, "--project", "shop").returncode == 0
    assert "../helper" in (desk.folder / "projects" / "shop" / "packages.yml").read_text()


def test_what_cannot_be_done_is_said(desk: Desk) -> None:
    unknown = desk.command("deps", "--project", "bank")
    assert unknown.returncode == 2
    assert "there is no project 'bank' in a folder of this machine (there are: shop, till)" in unknown.stderr
    (desk.folder / "projects" / "till" / "packages.yml").write_text("packages: [{local: ../nowhere}]\n")
    failed = desk.command("deps")
    assert failed.returncode == 1
    assert "dbt deps failed in till" in failed.stderr
    assert packages(desk) == {"shop"}
