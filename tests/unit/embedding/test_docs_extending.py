"""docs/extending.md: its table has every port, and its programs do what it says of them."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import providers

import dbt_temporal
from dbt_temporal import testing
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import FakeEngine
from tests.unit.repository.doc_pages import Page

PAGE = Page("docs/extending.md")
PORTS = PAGE.table("| port | what it is for |")
SOURCE = Path(dbt_temporal.__file__).parent
SVN = """\
#!/bin/sh
# A repository of one project, whose newest revision is 7.
case "$2" in
  info) [ "$5" = svn://host/shop ] && echo 7 || { echo "no repository at $5" >&2; exit 1; } ;;
  export) echo x >>"$SVN_EXPORTS" && mkdir -p "$5" && echo "name: shop" >"$5/dbt_project.yml" ;;
esac
"""


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_the_table_has_every_port() -> None:
    folder = SOURCE / "application" / "ports"
    modules = [".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("[a-z]*.py")]
    loaded = [importlib.import_module(f"dbt_temporal.application.ports.{name}") for name in modules]
    protocols = {
        name
        for module in loaded
        for name, each in inspect.getmembers(module, inspect.isclass)
        if getattr(each, "_is_protocol", False) and each.__module__ == module.__name__
    }
    assert {name for row in PORTS for name in names(row[0])} == protocols


def test_adapters_fakes_and_providers_of_the_table_are_there() -> None:
    code = "\n".join(path.read_text() for path in (SOURCE / "adapters").rglob("*.py"))
    for row in PORTS:
        assert [name for name in names(row[2]) if not re.search(rf"^(class|def) {name}\b", code, re.MULTILINE)] == []
        assert [name for name in names(row[4]) if not hasattr(WorkerContainer, name)] == []
    fakes = {name for row in PORTS for name in names(row[3])}
    assert fakes == {name for name in testing.__all__ if name.startswith(("Fake", "InMemory"))}


def test_every_linked_file_exists() -> None:
    assert PAGE.broken_links() == []


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The page's worker, where a program `svn` stands for Subversion."""
    (text,) = PAGE.blocks("python", "worker")
    (tmp_path / "worker.py").write_text(text)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "svn").write_text(SVN)
    (tmp_path / "bin" / "svn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SVN_EXPORTS", str(tmp_path / "exports"))
    monkeypatch.setenv("SVN_PROJECT", "svn://host/shop")
    monkeypatch.setenv("SVN_FOLDER", str(tmp_path / "projects"))
    return runpy.run_path(str(tmp_path / "worker.py"), run_name="svn_worker")


def filled(made: WorkerContainer, tmp_path: Path) -> WorkerContainer:
    """The container as a worker fills it when it starts, with a dbt that is none."""
    environ = {"DBT_TEMPORAL_ENGINE": "dbt-core", "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache")}
    made.settings.override(providers.Object(read_settings(environ)))
    made.environ.override(providers.Object(environ))
    made.current_dir.override(providers.Object(tmp_path))
    made.dbt_engine.override(providers.Object(FakeEngine()))
    return made


async def test_the_worker_of_the_page_loads_what_its_source_has_fetched(
    program: dict[str, Any], tmp_path: Path
) -> None:
    for _ in range(2):
        (project,) = await filled(program["container"](), tmp_path).load_projects()()
        location = project.loaded.location
        assert (location.project_dir, location.revision) == (tmp_path / "projects" / "r7", "r7")
        assert location.source == "svn://host/shop"
    assert (tmp_path / "exports").read_text().split() == ["x"], "it is there the second time"
    assert os.listdir(tmp_path / "projects") == ["r7"]


async def test_what_the_source_of_the_page_cannot_fetch_is_told_with_its_place(
    program: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVN_PROJECT", "svn://host/nothing")
    with pytest.raises(DbtTemporalError, match="svn://host/nothing: no repository at") as caught:
        await filled(program["container"](), tmp_path).load_projects()()
    assert caught.value.error_type is ErrorType.CONFIGURATION


def test_the_tests_of_the_page_are_those_of_the_contract() -> None:
    (text,) = PAGE.blocks("python", "test")
    found: dict[str, Any] = {}
    exec(text, found)
    tests = {name for name in dir(found["TestMyStore"]) if name.startswith("test_")}
    assert tests == {name for name in vars(testing.ArtifactStoreContract) if name.startswith("test_")}
    assert tests
