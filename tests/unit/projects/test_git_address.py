from __future__ import annotations

import pytest

from dbt_temporal.adapters.project_sources.git_address import parse_git_address
from dbt_temporal.adapters.project_sources.git_process import git_environ, redacted
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("written", "url", "ref", "folder"),
    [
        ("git+https://host/org/repo.git#main", "https://host/org/repo.git", "main", ""),
        ("git+https://host:8443/r#feature/x", "https://host:8443/r", "feature/x", ""),
        ("git+https://host/r#v1.2:path/to/dbt", "https://host/r", "v1.2", "path/to/dbt"),
        ("git+https://host/r#main:./a//b/", "https://host/r", "main", "a/b"),
        ("git+ssh://git@host/org/repo.git#main", "ssh://git@host/org/repo.git", "main", ""),
        ("git+ssh://git@host:2222/r#main:dbt", "ssh://git@host:2222/r", "main", "dbt"),
        ("git+http://127.0.0.1:8080/r#main", "http://127.0.0.1:8080/r", "main", ""),
        ("git+file:///srv/repo#main", "file:///srv/repo", "main", ""),
        (f"git+https://host/r#{COMMIT}", "https://host/r", COMMIT, ""),
    ],
)
def test_a_url_names_repository_ref_and_folder(written: str, url: str, ref: str, folder: str) -> None:
    address = parse_git_address(written, "X")
    assert (address.url, address.ref, address.folder) == (url, ref, folder)
    assert address.is_commit == (ref == COMMIT)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("git+https://host/r", "`#branch` is required: a branch, a tag or the id of a commit"),
        ("git+https://host/r#", "`#branch` is required"),
        ("git+https://host/r#:dbt", "`#branch` is required"),
        ("git+https://host/#main", "names no repository"),
        ("git+https:///r#main", "names no repository"),
        ("git+https://host/r#--upload-pack=touch /tmp/x", "is not a name that a branch, tag or commit can have"),
        ("git+https://host/r#a..b", "'a..b' is not a name"),
        ("git+https://host/r#main@{1}", "is not a name"),
        ("git+https://host/r#main:../etc", "the folder '../etc' leaves the repository"),
        ("git+https://host/r#main:a/../../etc", "leaves the repository"),
        ("git+https://host/r#main:/etc", "the folder '/etc' leaves the repository"),
        ("git+https://host/r?x=y#main", "a query has no meaning here"),
        ("git+http://host/r#main", "is not encrypted and only taken for this machine"),
    ],
)
def test_a_url_that_is_wrong_is_told_with_what_is_right(written: str, problem: str) -> None:
    with pytest.raises(DbtTemporalError) as caught:
        parse_git_address(written, "DBT_PROJECT_DIRS")
    assert caught.value.error_type == ErrorType.CONFIGURATION
    assert caught.value.message.startswith("DBT_PROJECT_DIRS: git+http")
    assert problem in caught.value.message


@pytest.mark.parametrize(
    "written",
    [
        "git+https://tok3n@host/r#main",
        "git+https://tok3n:@host/r#main",
        "git+https://user:tok3n@host/r#main",
        "git+ssh://git:tok3n@host/r#main",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(written: str) -> None:
    with pytest.raises(DbtTemporalError, match="must not hold credentials; set GITHUB_TOKEN") as caught:
        parse_git_address(written, "X")
    assert "tok3n" not in caught.value.message


def test_the_token_is_bound_to_the_host_and_goes_by_environment() -> None:
    environ = git_environ("https", "https://host/", "tok3n", {})
    count = int(environ["GIT_CONFIG_COUNT"])
    settings = {environ[f"GIT_CONFIG_KEY_{n}"]: environ[f"GIT_CONFIG_VALUE_{n}"] for n in range(count)}
    assert settings["http.https://host/.extraHeader"].startswith("Authorization: Basic ")
    assert environ["GIT_ALLOW_PROTOCOL"] == "https:ssh"


@pytest.mark.parametrize("scheme", ["ssh", "file"])
def test_the_token_goes_to_http_servers_only(scheme: str) -> None:
    assert "Authorization" not in str(git_environ(scheme, f"{scheme}://host/", "tok3n", {}))


def test_configuration_that_the_environment_brings_is_kept() -> None:
    environ = git_environ("https", "https://host/", None, {"GIT_CONFIG_COUNT": "2"})
    assert "GIT_CONFIG_KEY_0" not in environ
    assert "GIT_CONFIG_KEY_1" not in environ
    assert int(environ["GIT_CONFIG_COUNT"]) > 2


def test_a_token_is_redacted_in_both_forms() -> None:
    environ = git_environ("https", "https://host/", "tok3n", {})
    said = f"bad tok3n in {' '.join(environ.values())}"
    assert "tok3n" not in redacted(said, "tok3n")
    header = next(value for value in environ.values() if value.startswith("Authorization"))
    assert header not in redacted(said, "tok3n")
