"""Running git: without a terminal, within a size, and with a token that nobody else sees."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dbt_temporal.adapters.project_sources.limits import TooLargeError
from dbt_temporal.domain.secrets.redaction import MASK

_LOOK_SECS = 0.1
_TELLING = ("fatal:", "error:", "remote:", "ERROR:", "Error downloading object:", "batch response:")
_TOKEN_USER = "x-access-token"
"""GitHub's name for the user of a token; GitLab, Azure DevOps and Gitea take any name."""


class GitFailedError(Exception):
    """git ended with an error; the message is what it said."""


class GitMissingError(Exception):
    """There is no program git."""


class GitProcess:
    """Runs git commands on one repository below `folder`.

    Args:
        folder: an empty folder, for the repository (`repository`) and its files (`files`).
        max_bytes: how large each of both may be.
        environ: over the process's own environment.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], max_bytes: int) -> None:
        self.files = folder / "files"
        self.files.mkdir()
        self._folder = folder
        self._max_bytes = max_bytes
        self._environ = {
            **os.environ,
            # What git says is read.
            "LANGUAGE": "C",
            "LC_ALL": "C",
            # Also where the worker itself was started by a hook of git, which sets these.
            "GIT_DIR": str(folder / "repository"),
            "GIT_WORK_TREE": str(self.files),
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS": "",
            "GCM_INTERACTIVE": "never",
            **environ,
        }

    async def run(self, *args: str) -> str:
        """The output of a command. Cancelling it ends git with all its helpers.

        Raises:
            GitFailedError, GitMissingError, TooLargeError: see there.
        """
        try:
            # A session of its own has no terminal to ask for a password on, and can be ended with all its helpers.
            process = await asyncio.create_subprocess_exec(
                "git",
                *args,
                cwd=self.files,
                env=self._environ,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise GitMissingError from None
        answer = asyncio.ensure_future(process.communicate())
        try:
            while not (await asyncio.wait([answer], timeout=_LOOK_SECS))[0]:
                await asyncio.to_thread(self._refuse_large)
        finally:
            if not answer.done():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                answer.cancel()
                await process.wait()
        await asyncio.to_thread(self._refuse_large)
        output, problem = answer.result()
        if process.returncode != 0:
            raise GitFailedError(problem.decode(errors="replace").replace(f"{self.files}/", "").strip())
        return output.decode(errors="surrogateescape")

    def _refuse_large(self) -> None:
        if any(_size(part) > self._max_bytes for part in (self.files, self._folder / "repository")):
            raise TooLargeError


def git_environ(scheme: str, host: str, token: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for git: which protocols it may speak, and the configuration of this one command; of submodules, too.

    The configuration goes by environment, so that the token is in no argument, no file and no URL; it is bound to the
    host, so that a redirection does not carry it elsewhere.
    """
    settings = [
        ("protocol.version", "2"),  # any commit can be asked for by its id
        ("advice.detachedHead", "false"),
        ("core.hooksPath", os.devnull),
        ("gc.auto", "0"),
        # As `git lfs install` would say it; without the program, whatever it once said is taken back.
        ("filter.lfs.process", "git-lfs filter-process" if has_lfs() else ""),
        ("filter.lfs.smudge", "git-lfs smudge -- %f" if has_lfs() else ""),
        ("filter.lfs.required", str(has_lfs()).lower()),
    ]
    if token and scheme in ("http", "https"):
        credentials = base64.b64encode(f"{_TOKEN_USER}:{token}".encode()).decode()
        settings.append((f"http.{host}.extraHeader", f"Authorization: Basic {credentials}"))
        # Submodules are often named by their ssh URLs, for which there is the same token.
        name = urlsplit(host).hostname
        settings += [(f"url.{host}.insteadOf", ssh) for ssh in (f"git@{name}:", f"ssh://git@{name}/")]
    first = int(environ.get("GIT_CONFIG_COUNT") or 0)
    variables = {
        "GIT_CONFIG_COUNT": str(first + len(settings)),
        "GIT_LFS_SKIP_SMUDGE": "0",
        "GIT_ALLOW_PROTOCOL": scheme if scheme in ("http", "file") else "https:ssh",
    }
    for number, (key, value) in enumerate(settings, first):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables


def has_lfs() -> bool:
    """Whether there is the program git-lfs, by which git fetches files that a repository has by pointers only."""
    return shutil.which("git-lfs") is not None


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def redacted(text: str, token: str | None) -> str:
    """Text without the token, in whatever form git may have repeated it."""
    if not token:
        return text
    encoded = base64.b64encode(f"{_TOKEN_USER}:{token}".encode()).decode()
    return text.replace(encoded, MASK).replace(token, MASK)


def last_words(problem: str, lines: int = 3) -> str:
    """The lines of git's message that say most."""
    texts = [line for line in problem.splitlines() if line.strip()]
    telling = [line for line in texts if line.startswith(_TELLING)] or texts
    return " ".join(telling[-lines:]) or "git said nothing"
