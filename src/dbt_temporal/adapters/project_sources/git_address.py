"""URLs of projects in git repositories: `git+https://host/repo.git#branch-or-tag-or-commit[:folder]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

SCHEMES = ("git+https", "git+ssh", "git+http", "git+file")
FORM = "git+https://host/repo.git#branch-or-tag-or-commit, or the same with git+ssh://; `:folder` may follow"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_BAD_REF = re.compile(r"^[-/.]|[\x00-\x20\x7f~^?*\[\\:]|\.\.|@\{|//|[/.]$|\.lock$")
"""What `git check-ref-format` refuses, and names that git would take for an option."""
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class GitAddress:
    """Where a project lies in a repository.

    Attributes:
        url: of the repository, as git takes it; it holds no password.
        ref: a branch, a tag or the full id of a commit.
        folder: below the root of the repository, `""` for the root.
        shown: the whole, for people.
    """

    url: str
    ref: str
    folder: str
    shown: str

    @property
    def scheme(self) -> str:
        """The protocol: https, ssh, http or file."""
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        """`scheme://host[:port]/`, as git's configuration keys want it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"

    @property
    def is_commit(self) -> bool:
        return _COMMIT.fullmatch(self.ref) is not None


def parse_git_address(written: str, named_by: str) -> GitAddress:
    """Reads a URL of the form above.

    Raises:
        DbtTemporalError: of type Configuration, naming what is wrong; a password in the URL is not repeated.
    """
    location, _, fragment = written.partition("#")
    parts = urlsplit(location.removeprefix("git+"))
    shown = f"git+{_without_password(parts)}" + (f"#{fragment}" if fragment else "")

    def wrong(what: str) -> DbtTemporalError:
        return configuration_error(f"{named_by}: {shown}: {what}")

    if parts.password is not None or (parts.username and parts.scheme in ("http", "https")):
        raise wrong("a URL must not hold credentials; set GITHUB_TOKEN or GIT_TOKEN instead")
    if parts.query:
        raise wrong(f"a query has no meaning here; write {FORM}")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise wrong("git+http:// is not encrypted and only taken for this machine; use git+https:// or git+ssh://")
    if not parts.path.strip("/") or (parts.scheme != "file" and not parts.hostname):
        raise wrong(f"names no repository; write {FORM}")
    ref, _, folder = fragment.partition(":")
    if not ref:
        raise wrong(f"`#branch` is required: a branch, a tag or the id of a commit; write {FORM}")
    if _BAD_REF.search(ref):
        raise wrong(f"{ref!r} is not a name that a branch, tag or commit can have")
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or "\0" in folder:
        raise wrong(f"the folder {folder!r} leaves the repository; give a path below its root")
    return GitAddress(_without_password(parts), ref, "/".join(path.parts), shown)


def _without_password(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}{at}{host}" if parts.scheme == "ssh" else host
    return parts._replace(netloc=netloc, query="", fragment="").geturl()
