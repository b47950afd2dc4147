"""Projects from git with submodules and with Git LFS: whole, or refused."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.integration.sources.git_servers import HttpServer, Repository, pointer_to
from tests.integration.sources.sources import PROJECT, Worker, files_below
from tests.integration.sources.test_git import (
    TOKEN,
    _basic,
    _no_configuration_of_the_machine,
    http,
    private_server,
    repository,
    server,
    worker,
)

__all__ = ["_no_configuration_of_the_machine", "private_server", "repository", "server", "worker"]

SEED = "id,name\n1,one\n"
ATTRIBUTES = {".gitattributes": "*.csv filter=lfs diff=lfs merge=lfs -text\n"}


@pytest.fixture
def shared(repository: Repository) -> Repository:
    """Another repository of the same server, with a macro."""
    other = Repository(repository.folder.parent / "shared.git")
    other.commit({"macros/one.sql": "{% macro one() %}1{% endmacro %}"})
    return other


@pytest.fixture
def with_lfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git-lfs on the PATH: the machine's own, or what stands in for it."""
    if shutil.which("git-lfs") is None:
        double = Path(__file__).with_name("git_lfs_double.py").read_text()
        program = tmp_path / "bin" / "git-lfs"
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\n{double}")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def without_lfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with git alone."""
    git = shutil.which("git")
    assert git is not None
    folder = tmp_path / "only git"
    folder.mkdir()
    (folder / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(folder))


def add_submodule(repository: Repository, url: str, path: str) -> None:
    """Adds one at its newest commit."""
    # `submodule add` takes a relative URL for one relative to the place from where it fetches.
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, path)


async def test_submodules_are_fetched_with_their_own_by_relative_urls_and_with_the_token(
    worker: Worker, repository: Repository, shared: Repository, private_server: HttpServer
) -> None:
    deepest = Repository(repository.folder.parent / "deepest.git")
    deepest.commit({"macros/two.sql": "{% macro two() %}2{% endmacro %}"})
    add_submodule(shared, str(deepest.folder), "deepest")
    shared.git("config", "--file", ".gitmodules", "submodule.deepest.url", "../../deepest.git/.git")
    shared.commit()
    add_submodule(repository, str(shared.folder), "packages/shared")
    repository.git("config", "--file", ".gitmodules", "submodule.packages/shared.url", "../../shared.git/.git")
    commit = repository.commit(PROJECT)
    location = await worker.locate_one(http(private_server, "#main"), GITHUB_TOKEN=TOKEN)
    assert location.revision == commit
    files = files_below(location.project_dir)
    assert files["packages/shared/macros/one.sql"] == "{% macro one() %}1{% endmacro %}"
    assert files["packages/shared/deepest/macros/two.sql"] == "{% macro two() %}2{% endmacro %}"
    assert {Path(name).name for name in files if ".git" in name} == {".gitmodules"}
    assert set(private_server.authorizations) == {_basic(TOKEN)}


@pytest.mark.parametrize("url", ["git@127.0.0.1:shared.git/.git", "ssh://git@127.0.0.1/shared.git/.git"])
async def test_the_token_serves_for_submodules_that_are_named_by_ssh(
    worker: Worker, repository: Repository, shared: Repository, private_server: HttpServer, url: str
) -> None:
    add_submodule(repository, str(shared.folder), "shared")
    repository.git("config", "--file", ".gitmodules", "submodule.shared.url", url)
    repository.commit(PROJECT)
    location = await worker.locate_one(http(private_server, "#main"), GITHUB_TOKEN=TOKEN)
    assert (location.project_dir / "shared/macros/one.sql").exists()


async def test_a_submodule_stays_at_the_commit_that_the_repository_names(
    worker: Worker, repository: Repository, shared: Repository
) -> None:
    add_submodule(repository, str(shared.folder), "shared")
    repository.git("config", "--file", ".gitmodules", "submodule.shared.url", f"file://{shared.folder}")
    repository.commit(PROJECT)
    shared.commit({"macros/one.sql": "newer"})
    shared.commit({"macros/one.sql": "newest"})
    location = await worker.locate_one(f"git+file://{repository.folder}#main")
    assert (location.project_dir / "shared/macros/one.sql").read_text() == "{% macro one() %}1{% endmacro %}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///srv/other.git", "a submodule's URL has a protocol that is not allowed here; https:// and ssh:// are"),
        ("ext::sh -c touch% /tmp/never", "a submodule's URL has a protocol that is not allowed here"),
        ("../../nowhere.git/.git", "there is no such repository"),
    ],
)
async def test_a_submodule_that_cannot_be_fetched_is_told(
    worker: Worker, repository: Repository, shared: Repository, server: HttpServer, url: str, said: str
) -> None:
    add_submodule(repository, str(shared.folder), "shared")
    repository.git("config", "--file", ".gitmodules", "submodule.shared.url", url)
    repository.commit(PROJECT)
    problem = await worker.problem(http(server, "#main"), GITHUB_TOKEN=TOKEN)
    assert (
        f"a submodule could not be fetched (GITHUB_TOKEN and GIT_TOKEN are for {server.url}/ alone): {said}" in problem
    )
    assert "shared" in problem
    assert str(worker.cache_dir) not in problem
    assert TOKEN not in problem


async def test_a_submodule_without_an_address_is_an_empty_folder_as_in_every_clone(
    worker: Worker, repository: Repository, shared: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    add_submodule(repository, str(shared.folder), "shared")
    repository.git("rm", "--quiet", "--cached", ".gitmodules")
    (repository.folder / ".gitmodules").unlink()
    repository.commit(PROJECT)
    with caplog.at_level(logging.WARNING):
        location = await worker.locate_one(f"git+file://{repository.folder}#main")
    assert files_below(location.project_dir) == PROJECT
    assert "the submodule shared is not fetched: .gitmodules does not say where it is" in caplog.text


async def test_a_link_of_a_submodule_out_of_the_repository_is_refused(
    worker: Worker, repository: Repository, shared: Repository
) -> None:
    (shared.folder / "macros" / "out.sql").symlink_to("../../../out.sql")
    shared.commit()
    add_submodule(repository, str(shared.folder), "shared")
    repository.git("config", "--file", ".gitmodules", "submodule.shared.url", f"file://{shared.folder}")
    repository.commit(PROJECT)
    problem = await worker.problem(f"git+file://{repository.folder}#main")
    assert "the file 'shared/macros/out.sql' is a link to '../../../out.sql', outside of the repository" in problem


async def test_submodules_count_towards_the_size_limit(
    worker: Worker, repository: Repository, shared: Repository
) -> None:
    shared.commit({"large.csv": "0" * 3_000_000})
    add_submodule(repository, str(shared.folder), "shared")
    repository.git("config", "--file", ".gitmodules", "submodule.shared.url", f"file://{shared.folder}")
    repository.commit(PROJECT)
    problem = await worker.problem(f"git+file://{repository.folder}#main", DBT_TEMPORAL_SOURCE_MAX_MB="1")
    assert "is larger than 1 MB" in problem


@pytest.mark.usefixtures("with_lfs")
async def test_files_of_git_lfs_are_fetched_with_the_token_and_also_those_of_submodules(
    worker: Worker, repository: Repository, shared: Repository, private_server: HttpServer
) -> None:
    shared.commit({**ATTRIBUTES, "seeds/two.csv": private_server.keep("id\n2\n")})
    add_submodule(repository, str(shared.folder), "shared")
    repository.git("config", "--file", ".gitmodules", "submodule.shared.url", "../../shared.git/.git")
    repository.commit({**PROJECT, **ATTRIBUTES, "seeds/one.csv": private_server.keep(SEED)})
    location = await worker.locate_one(http(private_server, "#main"), GITHUB_TOKEN=TOKEN)
    files = files_below(location.project_dir)
    assert files["seeds/one.csv"] == SEED
    assert files["shared/seeds/two.csv"] == "id\n2\n"
    assert set(private_server.authorizations) == {_basic(TOKEN)}


@pytest.mark.usefixtures("with_lfs")
async def test_of_git_lfs_the_folder_is_fetched_and_what_dbt_may_read_from_elsewhere(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    attributes = {".gitattributes": "*.csv filter=lfs\n*.CSV filter=lfs\n*.parquet filter=lfs\n*.png filter=lfs\n"}
    large = {
        "dbt/data/one.parquet": server.keep("parquet"),
        "shared/two.CSV": server.keep(SEED),
        "site/logo.png": pointer_to("not even on the server"),
    }
    repository.commit({**{f"dbt/{name}": text for name, text in PROJECT.items()}, **attributes, **large})
    location = await worker.locate_one(http(server, "#main:dbt"))
    assert (location.project_dir / "data/one.parquet").read_text() == "parquet"
    assert (location.project_dir.parent / "shared/two.CSV").read_text() == SEED
    problem = await _problem_beside_the_copy(worker, http(server, "#main"))
    assert "what Git LFS keeps could not be fetched; has the server all of it, and may this worker read it?" in problem
    assert "site/logo.png" in problem


async def _problem_beside_the_copy(worker: Worker, url: str) -> str:
    """What is wrong with a source, while a copy of another one is there."""
    return await Worker(worker.cache_dir.parent / "another cache").problem(url)


@pytest.mark.usefixtures("without_lfs")
@pytest.mark.parametrize("installed_once", [False, True])
async def test_pointers_are_refused_with_their_names_where_git_lfs_is_missing(
    worker: Worker, repository: Repository, server: HttpServer, monkeypatch: pytest.MonkeyPatch, installed_once: bool
) -> None:
    seeds = {f"seeds/{name}.csv": pointer_to(name) for name in "abcde"}
    repository.commit({**PROJECT, **ATTRIBUTES, **seeds, "seeds/real.csv": SEED})
    if installed_once:  # its filter is required, and git fails where it cannot be started
        for variable, value in _environ_of_git(
            {"filter.lfs.process": "git-lfs filter-process", "filter.lfs.required": "true"}
        ):
            monkeypatch.setenv(variable, value)
    problem = await worker.problem(http(server, "#main"))
    assert problem.endswith(
        "has pointers of Git LFS in place of seeds/a.csv, seeds/b.csv, seeds/c.csv and 2 more; "
        "install the program git-lfs on this worker, with which git fetches them"
    )


def _environ_of_git(config: dict[str, str]) -> list[tuple[str, str]]:
    pairs = [("GIT_CONFIG_COUNT", str(len(config)))]
    for number, (key, value) in enumerate(config.items()):
        pairs += [(f"GIT_CONFIG_KEY_{number}", key), (f"GIT_CONFIG_VALUE_{number}", value)]
    return pairs


@pytest.mark.usefixtures("with_lfs")
async def test_pointers_that_git_lfs_is_not_told_of_are_refused(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit({**PROJECT, "seeds/one.csv": pointer_to(SEED)})
    problem = await worker.problem(http(server, "#main"))
    assert "has pointers of Git LFS in place of seeds/one.csv; git-lfs left them: .gitattributes must say" in problem


@pytest.mark.usefixtures("with_lfs")
async def test_what_git_lfs_fetches_counts_towards_the_size_limit(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit({**PROJECT, **ATTRIBUTES, "seeds/one.csv": server.keep("0" * 3_000_000)})
    problem = await worker.problem(http(server, "#main"), DBT_TEMPORAL_SOURCE_MAX_MB="1")
    assert "is larger than 1 MB" in problem
