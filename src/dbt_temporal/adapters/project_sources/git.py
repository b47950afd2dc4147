"""Projects in a git repository."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from dbt_temporal.adapters import private_copies
from dbt_temporal.adapters.project_sources.git_address import GitAddress
from dbt_temporal.adapters.project_sources.git_files import (
    SubmoduleFailedError,
    check_out,
    refuse_what_is_not_there,
)
from dbt_temporal.adapters.project_sources.git_process import (
    GitFailedError,
    GitMissingError,
    GitProcess,
    git_environ,
    last_words,
    redacted,
)
from dbt_temporal.adapters.project_sources.limits import TooLargeError
from dbt_temporal.adapters.project_sources.locations import RemoteSource
from dbt_temporal.application.ports.engine import ProjectLocation

_SHOWN_BRANCHES = 10
_DENIED = ("Authentication failed", "could not read Username", "could not read Password", "error: 403", "error: 401")
_NOT_FOUND = ("not found", "does not appear to be a git repository", "does not exist", "error: 404")
_NO_SUCH_COMMIT = ("not our ref", "couldn't find remote ref", "unadvertised object", "no such remote ref")


class GitRepository:
    """A repository at a branch, tag or commit; only that commit is fetched, and only once. The token is for http."""

    def __init__(
        self, address: GitAddress, source: RemoteSource, *, token: str | None, environ: Mapping[str, str]
    ) -> None:
        self._address = address
        self._source = source
        self._token = token
        self._environ = environ
        self._copies = source.copies_of(address.url)

    async def locate(self) -> list[ProjectLocation]:
        try:
            with private_copies.unfinished_copy(self._copies) as folder:
                async with asyncio.timeout(self._source.limits.timeout_secs):
                    commit, copy = await self._copy(folder)
                return await asyncio.to_thread(self._locations, commit, copy)
        except GitFailedError as error:
            raise self._source.error(self._problem(str(error))) from None
        except SubmoduleFailedError as error:
            own = f" (GITHUB_TOKEN and GIT_TOKEN are for {self._address.host} alone)" if self._token else ""
            raise self._source.error(f"a submodule could not be fetched{own}: {self._problem(str(error))}") from None
        except GitMissingError:
            raise self._source.error("needs the program git, which is not on the PATH") from None
        except TooLargeError:
            raise self._source.too_large() from None
        except TimeoutError:
            raise self._source.too_slow() from None
        except OSError as error:
            raise self._source.error(f"could not be copied: {error}") from error

    async def _copy(self, folder: Path) -> tuple[str, Path]:
        """The commit, and a copy of its files."""
        address = self._address
        environ = git_environ(address.scheme, address.host, self._token, self._environ)
        git = GitProcess(folder, environ, self._source.limits.max_bytes)
        commit = address.ref if address.is_commit else await self._commit_of(git)
        # What Git LFS keeps is fetched for the folder alone.
        copy = self._copies / f"{commit}-{hashlib.sha256(address.folder.encode()).hexdigest()[:8]}"
        if not private_copies.use_copy(copy):
            # The template would bring hooks.
            await git.run("init", "--quiet", "--template=")
            await git.run("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", address.url, commit)
            # Submodules and Git LFS may be named relative to it.
            await git.run("config", "remote.origin.url", address.url)
            await check_out(git, commit, address.folder, self._source.limits.max_bytes)
            await asyncio.to_thread(refuse_what_is_not_there, git.files, address.folder, self._source.error)
            private_copies.publish(git.files, copy)
        return commit, copy

    async def _commit_of(self, git: GitProcess) -> str:
        ref = self._address.ref
        names = [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"]
        commits = _refs(await git.run("ls-remote", self._address.url, *names))
        for name in names:
            if name in commits:
                return commits[name]
        heads = _refs(await git.run("ls-remote", self._address.url, "refs/heads/*"))
        branches = [name.removeprefix("refs/heads/") for name in heads]
        some = ", ".join(sorted(branches)[:_SHOWN_BRANCHES]) or "none"
        more = f" and {len(branches) - _SHOWN_BRANCHES} more" if len(branches) > _SHOWN_BRANCHES else ""
        raise self._source.error(
            f"there is neither a branch nor a tag {ref!r} (a commit is named by its whole id); branches: {some}{more}"
        )

    def _locations(self, commit: str, copy: Path) -> list[ProjectLocation]:
        private_copies.remove_unused(self._copies)
        folder = copy / self._address.folder
        # Where it is a link, it stays inside the copy: others were refused.
        if not folder.is_dir():
            raise self._source.error(f"there is no folder {self._address.folder!r} in it at {commit[:12]}")
        below = "/" if self._address.folder else ":"
        return self._source.projects(folder, lambda _: commit, below=below)

    def _problem(self, said: str) -> str:
        """What git said, as a person can act on it."""
        words = redacted(last_words(said), self._token)
        remedy = self._remedy(said)
        return f"{remedy} (git says: {words})" if remedy else f"could not be fetched: {words}"

    def _remedy(self, said: str) -> str | None:
        if "smudge filter lfs failed" in said:
            return "what Git LFS keeps could not be fetched; has the server all of it, and may this worker read it?"
        if re.search(r"transport '\w+' not allowed", said):
            return "a submodule's URL has a protocol that is not allowed here; https:// and ssh:// are"
        if "Host key verification failed" in said:
            return "the server's host key is not known here; add it to ~/.ssh/known_hosts (ssh-keyscan)"
        if "Permission denied (" in said:
            return "access was denied; give ssh a key of this worker that may read the repository"
        if any(words in said for words in _DENIED):
            if self._token:
                return "access was denied; the token of GITHUB_TOKEN or GIT_TOKEN is not valid or may not read it"
            return "access was denied; set GITHUB_TOKEN or GIT_TOKEN to a token that may read it"
        if any(words in said for words in _NO_SUCH_COMMIT):
            return f"there is no commit {self._address.ref} in it, or the server does not give commits by id"
        if any(words in said for words in _NOT_FOUND):
            hint = "" if self._token or self._address.scheme != "https" else ", or it is private: set GITHUB_TOKEN"
            return f"there is no such repository{hint}"
        return None


def _refs(listed: str) -> dict[str, str]:
    """Names to object ids, from the output of ls-remote."""
    lines = (line.split("\t") for line in listed.splitlines() if "\t" in line)
    return {name: object_id for object_id, name in lines}
