"""Where the files of published packages come from: git repositories, by their names at GitHub."""

from __future__ import annotations

from pathlib import Path

from git import Git

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
        return str(self._git(repository).describe("--tags", "--always"))

    def project(self, repository: str, folder: str) -> dict[str, str]:
        """The files of a project in a folder of the repository, by their places in it, without what it installs."""
        return self._files(repository, folder)

    def package(self, repository: str, folder: str = "") -> dict[str, str]:
        """The files of the package itself, as `dbt deps` would put them below `dbt_packages`."""
        files = self._files(repository, folder)
        return {name: text for name, text in files.items() if name.split("/")[0] not in _NOT_OF_THE_PACKAGE}

    def _files(self, repository: str, folder: str) -> dict[str, str]:
        git = self._git(repository)
        top = f"{folder}/" if folder else ""
        found = {}
        for path in git.ls_tree("-r", "--name-only", "-z", "HEAD", top or ".").rstrip("\0").split("\0"):
            name = path.removeprefix(top)
            hidden = any(part.startswith(".") for part in name.split("/"))
            if Path(name).suffix in _TEXT and name not in _NOT_USED and not hidden:
                found[name] = git.show(f"HEAD:{path}", strip_newline_in_stdout=False)
        return found

    def _git(self, repository: str) -> Git:
        place = self._folder / repository
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            Git().clone("--no-checkout", f"https://github.com/{repository}.git", str(place))
        return Git(place)
