"""Where the files of published packages come from: git repositories, by their names at GitHub."""

from __future__ import annotations

import subprocess
from pathlib import Path

_TEXT = frozenset({".sql", ".yml", ".yaml", ".csv", ".md", ".py", ".jinja"})
"""What dbt reads of a project."""
_NOT_OF_THE_PACKAGE = frozenset({"integration_tests", "integration_test_project", "integration_tests_2", "docs"})
_NOT_USED = frozenset({"packages.yml", "dependencies.yml", "package-lock.yml", "profiles.yml"})
"""Packages are put in place, and the profile is the comparison's own."""


class Checkouts:
    """Repositories below a folder, at `owner/name`; those that are not there are cloned.

    Args:
        folder: with clones, bare or not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def version(self, repository: str) -> str:
        """The newest release that the files have, and the commit, where it is a later one."""
        return self._git(repository, "describe", "--tags", "--always").strip()

    def project(self, repository: str, folder: str) -> dict[str, str]:
        """The files of a project in a folder of the repository, by their places in it, without what it installs."""
        return self._files(repository, folder)

    def package(self, repository: str, folder: str = "") -> dict[str, str]:
        """The files of the package itself, as `dbt deps` would put them below `dbt_packages`."""
        files = self._files(repository, folder)
        return {name: text for name, text in files.items() if name.split("/")[0] not in _NOT_OF_THE_PACKAGE}

    def _files(self, repository: str, folder: str) -> dict[str, str]:
        top = f"{folder}/" if folder else ""
        found = {}
        for path in self._git(repository, "ls-tree", "-r", "--name-only", "-z", "HEAD", top or ".").split("\0"):
            name = path.removeprefix(top)
            hidden = any(part.startswith(".") for part in name.split("/"))
            if Path(name).suffix in _TEXT and name not in _NOT_USED and not hidden:
                found[name] = self._git(repository, "show", f"HEAD:{path}")
        return found

    def _git(self, repository: str, *arguments: str) -> str:
        place = self._folder / repository
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            _run("clone", "--no-checkout", f"https://github.com/{repository}.git", str(place))
        return _run("-C", str(place), *arguments)


def _run(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
