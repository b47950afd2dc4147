"""What all kinds of sources share: the projects in a folder, and how a source's errors read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dbt_temporal.adapters.project_files import PROFILES_FILE, PROJECT_FILE, content_revision
from dbt_temporal.adapters.project_sources.archives import ArchiveError, unpack
from dbt_temporal.adapters.project_sources.fetched_files import lfs_pointers, some_of
from dbt_temporal.adapters.project_sources.limits import SourceLimits, TooLargeError
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error

HOME_PROFILES_DIR = Path("~/.dbt")
"""Where dbt looks for profiles.yml when neither --profiles-dir nor the project's folder has one."""


@dataclass(frozen=True)
class ProjectUse:
    """What the settings say of all projects: DBT_PROFILES_DIR and DBT_TARGET."""

    profiles_dir: Path | None = None
    target: str | None = None

    def location(self, folder: Path, source: str, revision: str, *, changeable: bool = False) -> ProjectLocation:
        return ProjectLocation(
            project_dir=folder,
            profiles_dir=absolute(self.profiles_dir) if self.profiles_dir else default_profiles_dir(folder),
            revision=revision,
            source=source,
            target=self.target,
            changeable=changeable,
        )


@dataclass(frozen=True)
class RemoteSource:
    """A remote source as all kinds of them need it.

    Attributes:
        named_by: the variable that names it, for error messages.
        shown: its URL as it may be shown.
        cache_dir: where copies of all sources lie.
    """

    named_by: str
    shown: str
    cache_dir: Path
    limits: SourceLimits
    use: ProjectUse

    def copies_of(self, url: str) -> Path:
        """The folder for copies of what is at a URL; it has the URL's last part in its name, for people."""
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        return self.cache_dir / "sources" / f"{Path(url).stem[:40]}-{digest}"

    def error(self, what: str) -> DbtTemporalError:
        return configuration_error(f"{self.named_by}: {self.shown}: {what}")

    def too_large(self) -> DbtTemporalError:
        limit = f"DBT_TEMPORAL_SOURCE_MAX_MB={self.limits.max_mb}"
        return self.error(f"is larger than {self.limits.max_mb} MB; name a smaller part of it, or raise {limit}")

    def too_slow(self) -> DbtTemporalError:
        secs = f"{self.limits.timeout_secs:g}"
        return self.error(
            f"could not be fetched within {secs} seconds; is the server reachable from here? "
            f"(DBT_TEMPORAL_SOURCE_TIMEOUT_SECS={secs} is the limit)"
        )

    def unpack(self, archive: Path, name: str, folder: Path) -> None:
        """Unpacks an archive into a new folder.

        Raises:
            DbtTemporalError: it is too large, damaged, or holds what leads out of the folder.
        """
        try:
            unpack(archive, name, folder, self.limits.max_bytes)
        except TooLargeError:
            raise self.too_large() from None
        except ArchiveError as error:
            raise self.error(str(error)) from error

    def projects_of_files(self, folder: Path) -> list[ProjectLocation]:
        """The projects in a fetched folder that is no git repository: their revisions are those of their content.

        Raises:
            DbtTemporalError: there are none, or pointers of Git LFS stand in place of files.
        """
        pointers = lfs_pointers(folder)
        if pointers:
            raise self.error(
                f"has pointers of Git LFS in place of {some_of(pointers)}; upload the files themselves: `git lfs pull` "
                "fetches them into a checkout"
            )
        return self.projects(folder, content_revision, below="/")

    def projects(self, folder: Path, revision_of: Callable[[Path], str], *, below: str) -> list[ProjectLocation]:
        """The projects in a fetched folder; `below` says how the source's URL goes on to a subfolder of it."""
        projects = find_projects(folder)
        if not projects:
            raise self.error(f"holds no dbt project: there is no {PROJECT_FILE} in it or its subfolders")
        return [
            self.use.location(
                project, self.shown if project == folder else f"{self.shown}{below}{project.name}", revision_of(project)
            )
            for project in projects
        ]


def absolute(folder: Path) -> Path:
    """The absolute path, in which links stay links, so that whoever swaps one (git-sync) is followed."""
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def find_projects(folder: Path, *, only_subfolders: bool = False) -> list[Path]:
    """The folder itself where it is a project, else its subfolders that are, one level down.

    Raises:
        OSError: the folder cannot be read.
    """
    if (folder / PROJECT_FILE).is_file() and not only_subfolders:
        return [folder]
    # `Path.is_file` raises where the folder may not be entered, such as `lost+found`.
    return sorted(child for child in folder.iterdir() if os.path.isfile(child / PROJECT_FILE))


def default_profiles_dir(project_dir: Path) -> Path:
    """The project's folder, or ~/.dbt where only that has a profiles.yml (dbt's own order)."""
    home = HOME_PROFILES_DIR.expanduser()
    if not (project_dir / PROFILES_FILE).is_file() and os.access(home / PROFILES_FILE, os.R_OK):
        return home
    return project_dir
