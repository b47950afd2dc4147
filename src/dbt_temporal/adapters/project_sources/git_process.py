"""Running git: without a terminal, within a time and a size, and with a token that nobody else sees."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_LOOK_SECS = 0.1
_TOKEN_USER = "x-access-token"
"""GitHub's name for the user of a token; GitLab, Azure DevOps and Gitea take any name."""


class GitFailedError(Exception):
    """git ended with an error; the message is what it said."""


class TooSlowError(Exception):
    """The time is over."""


class TooLargeError(Exception):
    """git has fetched more than it may."""


class StoppedError(Exception):
    """Nobody waits for the result any more."""


class GitProcess:
    """Runs git commands on one repository below `folder`, all of them within one time limit.

    Args:
        folder: an empty folder for the repository (`repository`) and its files (`files`).
        environ: over the process's own environment.
        timeout_secs: for all commands together.
        max_bytes: how large `folder` may get.
        stop: once set, the running command is ended.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], timeout_secs: float, max_bytes: int, stop: threading.Event
    ) -> None:
        self.files = folder / "files"
        self.files.mkdir()
        self._folder = folder
        self._deadline = time.monotonic() + timeout_secs
        self._max_bytes = max_bytes
        self._stop = stop
        self._environ = {
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

    def run(self, *args: str) -> str:
        """The output of a command.

        Raises:
            GitFailedError, TooSlowError, TooLargeError, StoppedError: see there.
        """
        from git import Git  # looks for the program git when it is imported

        # A session of its own has no terminal to ask for a password on, and can be ended with all its helpers.
        process = Git(str(self._folder)).execute(
            ["git", *args], as_process=True, env=self._environ, start_new_session=True
        )
        child: subprocess.Popen[bytes] | None = process.proc
        assert child is not None
        try:
            output, problem = self._communicate(child)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
        if child.returncode != 0:
            raise GitFailedError(problem.decode(errors="replace").strip())
        return output.decode(errors="surrogateescape")

    def _communicate(self, child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        while True:
            try:
                return child.communicate(timeout=_LOOK_SECS)
            except subprocess.TimeoutExpired:
                if self._stop.is_set():
                    raise StoppedError from None
                if time.monotonic() > self._deadline:
                    raise TooSlowError from None
                if _size(self._folder) > self._max_bytes:
                    raise TooLargeError from None


def git_environ(scheme: str, host: str, token: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for git: which protocols it may speak, and the configuration of this one command.

    The configuration goes by environment, so that the token is in no argument, no file and no URL; it is bound to the
    host, so that a redirection does not carry it elsewhere.
    """
    settings = {
        "protocol.version": "2",  # any commit can be asked for by its id
        "advice.detachedHead": "false",
        "core.hooksPath": os.devnull,
        "gc.auto": "0",
    }
    if token and scheme in ("http", "https"):
        credentials = base64.b64encode(f"{_TOKEN_USER}:{token}".encode()).decode()
        settings[f"http.{host}.extraHeader"] = f"Authorization: Basic {credentials}"
    first = int(environ.get("GIT_CONFIG_COUNT") or 0)
    found = {
        "GIT_CONFIG_COUNT": str(first + len(settings)),
        "GIT_ALLOW_PROTOCOL": scheme if scheme in ("http", "file") else "https:ssh",
    }
    for number, (key, value) in enumerate(settings.items(), first):
        found[f"GIT_CONFIG_KEY_{number}"] = key
        found[f"GIT_CONFIG_VALUE_{number}"] = value
    return found


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
    return text.replace(encoded, "***").replace(token, "***")


def last_words(problem: str, lines: int = 3) -> str:
    """The lines of git's message that say most."""
    said = [line for line in problem.splitlines() if line.strip()]
    told = [line for line in said if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))] or said
    return " ".join(told[-lines:]) or "git said nothing"


Tree = Sequence[tuple[str, str, int, str]]
"""Entries of a commit: mode, object id, size in bytes, path."""


def list_tree(git: GitProcess, commit: str) -> Tree:
    """All files and links of a commit, and the submodules as entries of mode 160000."""
    found = []
    for entry in git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit).split("\0"):
        if entry:
            facts, _, path = entry.partition("\t")
            mode, _, object_id, size = facts.split()
            found.append((mode, object_id, int(size) if size.isdigit() else 0, path))
    return found
