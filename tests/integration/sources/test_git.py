"""Projects from git: over http with git's own backend, over ssh, and from folders of this machine."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbt_temporal.domain.errors import DbtTemporalError
from tests.integration.sources.git_servers import HttpServer, Repository, git_over_http, git_over_ssh
from tests.integration.sources.sources import PROJECT, Worker, files_below

TOKEN = "ghp_s3cr3tT0ken"


@pytest.fixture(autouse=True)
def _no_configuration_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GITHUB_TOKEN", "GIT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path / "cache")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "served" / "shop.git")


@pytest.fixture
def server(repository: Repository) -> Iterator[HttpServer]:
    with git_over_http(repository.folder.parent) as server:
        yield server


@pytest.fixture
def private_server(repository: Repository) -> Iterator[HttpServer]:
    with git_over_http(repository.folder.parent, TOKEN) as server:
        yield server


def http(server: HttpServer, rest: str) -> str:
    return f"git+{server.url}/shop.git/.git{rest}"


async def test_a_branch_is_fetched_at_its_newest_commit(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit({"old.txt": "old"})
    (repository.folder / "old.txt").unlink()
    commit = repository.commit(PROJECT)
    location = await worker.locate_one(http(server, "#main"))
    assert location.revision == commit
    assert location.source == http(server, "#main")
    assert not location.changeable
    assert files_below(location.project_dir) == PROJECT


async def test_a_tag_and_a_commit_are_fetched_as_they_were(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    first = repository.commit(PROJECT)
    repository.git("tag", "light")
    repository.git("tag", "--annotate", "v1", "--message", "one")
    repository.commit({"models/one.sql": "select 2"})
    for ref in ("light", "v1", first):
        location = await worker.locate_one(http(server, f"#{ref}"))
        assert location.revision == first
        assert files_below(location.project_dir) == PROJECT


async def test_a_branch_comes_before_a_tag_of_its_name(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit(PROJECT)
    repository.git("tag", "main")
    newest = repository.commit({"models/two.sql": "select 2"})
    assert (await worker.locate_one(http(server, "#main"))).revision == newest


async def test_only_the_named_folder_is_searched_for_projects(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    commit = repository.commit({**{f"data/shop/{name}": text for name, text in PROJECT.items()}, **PROJECT})
    location = await worker.locate_one(http(server, "#main:data/shop"))
    assert location.project_dir.name == "shop"
    assert location.source == http(server, "#main:data/shop")
    assert (await worker.locate_one(http(server, "#main:data"))).source == location.source
    assert (await worker.locate_one(http(server, "#main"))).source == http(server, "#main")
    assert location.revision == commit


async def test_several_projects_of_one_repository_are_told_apart(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit({"a/dbt_project.yml": "name: a", "b/dbt_project.yml": "name: b"})
    found = await worker.locate(http(server, "#main"))
    assert [location.source for location in found] == [http(server, "#main:a"), http(server, "#main:b")]


async def test_only_one_commit_is_copied_and_no_history_is_kept(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit(PROJECT)
    location = await worker.locate_one(http(server, "#main"))
    assert sorted(os.listdir(location.project_dir)) == ["dbt_project.yml", "models"]
    assert worker.copies() == [location.project_dir]


async def test_a_commit_that_is_here_already_is_not_fetched_again(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit(PROJECT)
    first = await worker.locate_one(http(server, "#main"))
    asked = len(server.authorizations)
    assert await worker.locate_one(http(server, f"#{first.revision}")) != first  # by another name
    assert len(server.authorizations) == asked
    (first.project_dir / "marker").touch()
    assert (await worker.locate_one(http(server, "#main"))).project_dir == first.project_dir
    assert (first.project_dir / "marker").exists()


@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "GIT_TOKEN"])
async def test_a_private_repository_opens_to_the_token_which_nobody_else_sees(
    worker: Worker,
    repository: Repository,
    private_server: HttpServer,
    variable: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    commit = repository.commit(PROJECT)
    with _arguments_of_git(TOKEN) as seen:
        location = await worker.locate_one(http(private_server, "#main"), **{variable: TOKEN})
    assert location.revision == commit
    assert set(private_server.authorizations) == {_basic(TOKEN)}
    assert seen.processes > 0
    assert seen.with_token == []
    assert TOKEN not in caplog.text
    assert _basic(TOKEN) not in caplog.text
    held = [path for path in worker.cache_dir.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert held == []


async def test_the_token_of_github_comes_first(
    worker: Worker, repository: Repository, private_server: HttpServer
) -> None:
    repository.commit(PROJECT)
    await worker.locate_one(http(private_server, "#main"), GITHUB_TOKEN=TOKEN, GIT_TOKEN="other")


async def test_a_wrong_token_is_told_and_not_shown(
    worker: Worker, repository: Repository, private_server: HttpServer
) -> None:
    repository.commit(PROJECT)
    problem = await worker.problem(http(private_server, "#main"), GITHUB_TOKEN="wrong-t0ken")
    assert "access was denied; the token of GITHUB_TOKEN or GIT_TOKEN is not valid or may not read it" in problem
    assert "wrong-t0ken" not in problem


async def test_a_missing_token_is_told_at_once(
    worker: Worker, repository: Repository, private_server: HttpServer
) -> None:
    repository.commit(PROJECT)
    problem = await asyncio.wait_for(worker.problem(http(private_server, "#main")), 60)
    assert "access was denied; set GITHUB_TOKEN or GIT_TOKEN to a token that may read it" in problem


async def test_a_branch_that_is_not_there_is_told_with_those_that_are(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit(PROJECT)
    repository.git("branch", "dev")
    problem = await worker.problem(http(server, "#prod"))
    assert "there is neither a branch nor a tag 'prod'" in problem
    assert problem.endswith("branches: dev, main")


async def test_a_commit_that_is_not_there_is_told(worker: Worker, repository: Repository, server: HttpServer) -> None:
    repository.commit(PROJECT)
    commit = "deadbeef" * 5
    assert f"there is no commit {commit} in it" in await worker.problem(http(server, f"#{commit}"))


async def test_a_repository_that_is_not_there_is_told(worker: Worker, server: HttpServer, tmp_path: Path) -> None:
    assert "there is no such repository" in await worker.problem(f"git+{server.url}/nowhere.git#main")
    assert "there is no such repository" in await worker.problem(f"git+file://{tmp_path}/nowhere#main")


async def test_a_folder_that_is_not_in_the_repository_is_told(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    commit = repository.commit(PROJECT)
    with pytest.raises(DbtTemporalError, match=f"there is no folder 'dbt' in it at {commit[:12]}"):
        await worker.locate(http(server, "#main:dbt"))


async def test_a_repository_without_a_project_is_told(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit({"README.md": "nothing here"})
    with pytest.raises(DbtTemporalError, match=r"holds no dbt project: there is no dbt_project\.yml in it"):
        await worker.locate(http(server, "#main"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
async def test_a_link_out_of_the_repository_is_refused_with_its_name(
    worker: Worker, repository: Repository, server: HttpServer, target: str
) -> None:
    repository.commit(PROJECT)
    (repository.folder / "models" / "passwd.sql").symlink_to(target)
    repository.commit()
    assert (
        f"the file 'models/passwd.sql' is a link to {target!r}, outside of the repository; remove it there"
        in await worker.problem(http(server, "#main"))
    )


async def test_links_that_stay_inside_only_by_their_looks_are_refused(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit({**PROJECT, "a/b/file": "x"})
    (repository.folder / "a" / "b" / "root").symlink_to("../..")
    (repository.folder / "escape").symlink_to("a/b/root/../secret")
    repository.commit()
    assert "'escape' is a link to 'a/b/root/../secret', outside of the repository" in await worker.problem(
        http(server, "#main")
    )


async def test_links_inside_the_repository_are_kept(worker: Worker, repository: Repository, server: HttpServer) -> None:
    repository.commit({**PROJECT, "shared/two.sql": "select 2"})
    (repository.folder / "models" / "two.sql").symlink_to("../shared/two.sql")
    repository.commit()
    location = await worker.locate_one(http(server, "#main"))
    assert (location.project_dir / "models" / "two.sql").read_text() == "select 2"


async def test_a_repository_beyond_the_size_limit_is_refused(
    worker: Worker, repository: Repository, server: HttpServer
) -> None:
    repository.commit({**PROJECT, "seeds/large.csv": "0" * 3_000_000})
    problem = await worker.problem(http(server, "#main"), DBT_TEMPORAL_SOURCE_MAX_MB="1")
    assert "is larger than 1 MB; name a smaller part of it, or raise DBT_TEMPORAL_SOURCE_MAX_MB=1" in problem


async def test_a_folder_of_this_machine_is_a_remote_as_well(worker: Worker, repository: Repository) -> None:
    commit = repository.commit(PROJECT)
    location = await worker.locate_one(f"git+file://{repository.folder}#main")
    assert (location.revision, files_below(location.project_dir)) == (commit, PROJECT)


async def test_a_repository_is_fetched_by_ssh(
    worker: Worker, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit(PROJECT)
    async with git_over_ssh(tmp_path / "ssh") as server:
        monkeypatch.setenv("GIT_SSH_COMMAND", server.command)
        location = await worker.locate_one(f"git+{server.url}{repository.folder}#main", GITHUB_TOKEN=TOKEN)
    assert (location.revision, files_below(location.project_dir)) == (commit, PROJECT)


async def test_ssh_without_a_key_and_to_a_stranger_is_told(
    worker: Worker, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(PROJECT)
    async with git_over_ssh(tmp_path / "ssh") as server:
        url = f"git+{server.url}{repository.folder}#main"
        monkeypatch.setenv("GIT_SSH_COMMAND", server.command_without_key)
        problem = await worker.problem(url)
        assert "access was denied; give ssh a key of this worker that may read the repository" in problem
        monkeypatch.setenv("GIT_SSH_COMMAND", server.command_of_stranger)
        assert "the server's host key is not known here; add it to ~/.ssh/known_hosts" in await worker.problem(url)


def _basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()


class _arguments_of_git:  # noqa: N801
    """Watches the command lines of all processes for a token while a block runs."""

    def __init__(self, token: str) -> None:
        self._secrets = (token.encode(), _basic(token).removeprefix("Basic ").encode())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.processes = 0
        self.with_token: list[bytes] = []

    def __enter__(self) -> _arguments_of_git:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._done.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    line = (folder / "cmdline").read_bytes()
                except OSError:
                    continue
                self.processes += line.startswith(b"git")
                if any(secret in line for secret in self._secrets):
                    self.with_token.append(line)
