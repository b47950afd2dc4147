"""The files of a commit: its own, those of its submodules, and those that Git LFS keeps elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from dbt_temporal.adapters.project_files import SUFFIXES, is_source
from dbt_temporal.adapters.project_sources.fetched_files import lfs_pointers, link_out_of, some_of
from dbt_temporal.adapters.project_sources.git_process import GitFailedError, GitProcess, has_lfs
from dbt_temporal.adapters.project_sources.limits import TooLargeError
from dbt_temporal.domain.errors import DbtTemporalError

_SUBMODULE = "160000"

logger = logging.getLogger(__name__)


class SubmoduleFailedError(Exception):
    """A submodule could not be fetched; the message is what git said."""


async def check_out(git: GitProcess, commit: str, folder: str, max_bytes: int) -> None:
    """Makes `git.files` hold what `git clone --recurse-submodules` would have there, but for its `.git`.

    Args:
        git: has fetched the commit, and knows as `origin` where it came from.
        commit: its id.
        folder: below the root, where the projects are. Of what Git LFS keeps, what is below it is fetched, and of the
            rest what dbt may parse or load.
        max_bytes: how large all files together may be.

    Raises:
        GitFailedError, SubmoduleFailedError, TooLargeError: see there.
    """
    tree = await _list_tree(git, commit)
    if sum(size for _, size, _ in tree) > max_bytes:
        raise TooLargeError
    options = ["-c", f"lfs.fetchinclude={_patterns(folder)}"] if folder else []
    await git.run(*options, "checkout", "--quiet", "--force", commit)
    submodules = await _submodules(git, tree)
    if submodules:
        update = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1", "--jobs=4", "--", *submodules]
        try:
            await git.run(*update)
        except GitFailedError as error:
            raise SubmoduleFailedError(str(error)) from error
        await asyncio.to_thread(_forget_repositories, git.files)


def refuse_what_is_not_there(files: Path, folder: str, refusal: Callable[[str], DbtTemporalError]) -> None:
    """Refuses links that lead out of the files, be it by way of others, and pointers that Git LFS has not replaced.

    `folder` is as in `check_out`; `refusal` makes an error of what is wrong.
    """
    link = link_out_of(files)
    if link is not None:
        raise refusal(f"the file {link[0]!r} is a link to {link[1]!r}, outside of the repository; remove it there")
    below = f"{folder}/" if folder else ""
    pointers = [path for path in lfs_pointers(files) if path.startswith(below) or is_source(os.path.basename(path))]
    if pointers:
        remedy = (
            "git-lfs left them: .gitattributes must say `filter=lfs` of them, and .lfsconfig not exclude them"
            if has_lfs()
            else "install the program git-lfs on this worker, with which git fetches them"
        )
        raise refusal(f"has pointers of Git LFS in place of {some_of(pointers)}; {remedy}")


def _forget_repositories(files: Path) -> None:
    """Removes the files by which submodules name their repositories, which are not kept."""
    for root, _, names in os.walk(files):
        if ".git" in names:
            Path(root, ".git").unlink()


async def _list_tree(git: GitProcess, commit: str) -> list[tuple[str, int, str]]:
    """The mode, size in bytes and path of all files and links of a commit, and of submodules, whose mode is 160000."""
    entries = []
    for entry in (await git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)).split("\0"):
        if entry:
            facts, _, path = entry.partition("\t")
            mode, _, _, size = facts.split()
            entries.append((mode, int(size) if size.isdigit() else 0, path))
    return entries


async def _submodules(git: GitProcess, tree: list[tuple[str, int, str]]) -> list[str]:
    """The submodules that .gitmodules says the place of; the others are empty folders in every clone."""
    known: set[str] = set()
    if any(path == ".gitmodules" for _, _, path in tree):
        places = await git.run("config", "--file", ".gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$")
        known = {entry.partition("\n")[2] for entry in places.split("\0")}
    paths = [path for mode, _, path in tree if mode == _SUBMODULE]
    for path in paths:
        if path not in known:
            logger.warning("the submodule %s is not fetched: .gitmodules does not say where it is", path)
    return [path for path in paths if path in known]


def _patterns(folder: str) -> str:
    """As `lfs.fetchinclude` takes them; suffixes in whatever case."""
    either = ["*." + "".join(f"[{letter}{letter.upper()}]" for letter in suffix[1:]) for suffix in sorted(SUFFIXES)]
    return ",".join([f"/{folder}/**", *either])
