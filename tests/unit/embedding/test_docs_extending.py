"""docs/extending.md: its tables have every port and every fixture, and its programs do what it says of them."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from dependency_injector import providers

import dbt_temporal
from dbt_temporal import testing
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.entrypoints.container import WorkerContainer
from dbt_temporal.entrypoints.settings import read_settings
from dbt_temporal.testing import FakeEngine, ProjectSourceContract
from tests.unit.repository.doc_pages import Page

PAGE = Page("docs/extending.md")
PORTS = PAGE.table("| port | what it is for |")
FIXTURES = PAGE.table("| contract tests | fixtures |")
SOURCE = Path(dbt_temporal.__file__).parent
SVN = '''\
#!{python} -IS
"""Stands for `svn` and `svnadmin`: a repository is a folder of its revisions, and counts what is exported."""
import shutil
import sys
from pathlib import Path

words, rest = [], iter(sys.argv[1:])
for word in rest:
    if word in ("--message", "--show-item"):
        next(rest)
    elif not word.startswith("--"):
        words.append(word)
command, *places = words
if command == "create":
    Path(places[0], "0").mkdir(parents=True)
    sys.exit()
url, _, pinned = next(each for each in places if each.startswith("file://")).partition("@")
place = Path(url.removeprefix("file://"))
repository = place.parent
if not repository.is_dir():
    sys.exit(f"svn: E170013: Unable to connect to a repository at URL '{url}'")
newest = max(int(each.name) for each in repository.iterdir())
if command in ("import", "delete"):
    changed = repository / str(newest + 1)
    shutil.copytree(repository / str(newest), changed)
    if command == "import":
        shutil.copytree(places[0], changed / place.name)
    else:
        shutil.rmtree(changed / place.name)
elif not (repository / str(newest) / place.name).is_dir():
    sys.exit(f"svn: E170000: URL '{url}' non-existent in revision {newest}")
elif command == "info":
    print(newest)
elif command == "export":
    shutil.copytree(repository / pinned / place.name, places[-1])
    with (repository.parent / "exports").open("a") as exports:
        exports.write(f"r{pinned}\\n")
'''


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


def test_adapters_fakes_contract_tests_and_providers_of_the_table_are_there() -> None:
    code = "\n".join(path.read_text() for path in (SOURCE / "adapters").rglob("*.py"))
    for row in PORTS:
        assert [name for name in names(row[2]) if not re.search(rf"^(class|def) {name}\b", code, re.MULTILINE)] == []
        assert [name for name in names(row[5]) if not hasattr(WorkerContainer, name)] == []
        assert names(row[3]), "every port has a fake"
    fakes = {name for row in PORTS for name in names(row[3])}
    assert fakes == {name for name in testing.__all__ if name.startswith(("Fake", "InMemory"))}
    contracts = [name for row in PORTS for name in names(row[4])]
    assert sorted(contracts) == [name for name in testing.__all__ if name.endswith("Contract")]


def test_what_others_can_bring_has_contract_tests() -> None:
    assert [row[0] for row in PORTS if row[5] and not names(row[4])] == []


def test_the_fixtures_of_the_table_are_those_that_the_contract_tests_ask_for() -> None:
    told: dict[str, list[str]] = {}
    for contract, fixtures in FIXTURES:
        (name,) = names(contract)
        told[name] = sorted(names(fixtures) or told["ProjectSourceContract"])
    assert told == {name: fixtures_of(name) for name in testing.__all__ if name.endswith("Contract")}


def fixtures_of(contract: str) -> list[str]:
    """What the tests of a class ask for, beside what pytest has itself."""
    tests = [each for name, each in vars(getattr(testing, contract)).items() if name.startswith("test_")]
    assert tests
    return sorted({name for test in tests for name in inspect.signature(test).parameters} - {"self", "tmp_path"})


def test_every_linked_file_exists() -> None:
    assert PAGE.broken_links() == []


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's worker, where a program of the test's own stands for Subversion."""
    (text,) = PAGE.blocks("python", "worker")
    (tmp_path / "worker.py").write_text(text)
    for name in ("svn", "svnadmin"):
        place = tmp_path / "bin" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(SVN.replace("{python}", sys.executable))
        place.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SVN_PROJECT", f"file://{tmp_path}/repository/shop")
    monkeypatch.setenv("SVN_FOLDER", str(tmp_path / "projects"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("worker")
    del sys.modules["worker"]


@pytest.fixture
def tests(program: ModuleType) -> dict[str, Any]:
    """What the page's tests of its source define."""
    (text,) = PAGE.blocks("python", "test")
    found: dict[str, Any] = {}
    exec(text, found)
    assert found["Subversion"] is program.Subversion
    return found


def filled(made: WorkerContainer, tmp_path: Path) -> WorkerContainer:
    """The container as a worker fills it when it starts, with a dbt that is none."""
    environ = {"DBT_TEMPORAL_ENGINE": "dbt-core", "DBT_TEMPORAL_CACHE_DIR": str(tmp_path / "cache")}
    made.settings.override(providers.Object(read_settings(environ)))
    made.environ.override(providers.Object(environ))
    made.current_dir.override(providers.Object(tmp_path))
    made.dbt_engine.override(providers.Object(FakeEngine()))
    return made


async def test_the_worker_of_the_page_loads_what_its_source_has_fetched(
    program: ModuleType, tests: dict[str, Any], tmp_path: Path
) -> None:
    await tests["Repository"](tmp_path).put({"dbt_project.yml": "name: shop\n"})
    for _ in range(2):
        (project,) = await filled(program.container(), tmp_path).load_projects()()
        location = project.loaded.location
        assert (location.project_dir, location.revision) == (tmp_path / "projects" / "r1", "r1")
        assert location.source == f"file://{tmp_path}/repository/shop"
    assert (tmp_path / "exports").read_text().split() == ["r1"], "it is there the second time"
    assert os.listdir(tmp_path / "projects") == ["r1"]


async def test_what_the_source_of_the_page_cannot_fetch_is_told_with_its_place(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVN_PROJECT", "file:///nowhere/shop")
    with pytest.raises(DbtTemporalError, match="file:///nowhere/shop: svn: E170013: Unable to connect") as caught:
        await filled(program.container(), tmp_path).load_projects()()
    assert caught.value.error_type is ErrorType.CONFIGURATION


@pytest.mark.parametrize("name", [name for name in vars(ProjectSourceContract) if name.startswith("test_")])
async def test_the_source_of_the_page_keeps_what_sources_promise(
    tests: dict[str, Any], tmp_path: Path, name: str
) -> None:
    await getattr(tests["TestSubversion"](), name)(place=tests["Repository"](tmp_path))
