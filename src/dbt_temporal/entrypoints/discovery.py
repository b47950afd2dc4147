"""Which sources the projects of this worker come from, by the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dbt_temporal.adapters.object_storage import scheme_of
from dbt_temporal.adapters.project_sources import bucket, git_address
from dbt_temporal.adapters.project_sources.archive_file import ArchiveFile
from dbt_temporal.adapters.project_sources.archives import is_archive
from dbt_temporal.adapters.project_sources.bucket import Bucket
from dbt_temporal.adapters.project_sources.git import GitRepository
from dbt_temporal.adapters.project_sources.git_address import parse_git_address
from dbt_temporal.adapters.project_sources.local import LocalFolder
from dbt_temporal.adapters.project_sources.locations import ProjectUse, RemoteSource, absolute
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.settings import ProjectSettings, Settings

NAMED_BY = "DBT_PROJECT_DIRS"


def project_sources(settings: Settings, current_dir: Path, environ: Mapping[str, str]) -> list[ProjectSource]:
    """The sources by the first of DBT_PROJECT_DIRS, DBT_PROJECTS_DIR, DBT_PROJECT_DIR that is set, else this folder.

    Raises:
        DbtTemporalError: of type Configuration, for an entry of a kind that is not known, or that is not well formed.
    """
    projects = settings.projects
    if projects.project_dirs:
        return [_source(entry, settings, environ) for entry in projects.project_dirs]
    if projects.projects_dir is not None:
        return [_folder(projects.projects_dir, "DBT_PROJECTS_DIR", projects, only_subfolders=True)]
    if projects.project_dir is not None:
        return [_folder(projects.project_dir, "DBT_PROJECT_DIR", projects)]
    return [_folder(current_dir, "the current folder is used, as no DBT_PROJECT_DIR(S) is set", projects)]


def _source(entry: str, settings: Settings, environ: Mapping[str, str]) -> ProjectSource:
    scheme = scheme_of(entry)

    def remote(shown: str) -> RemoteSource:
        use = ProjectUse(settings.projects.profiles_dir, settings.projects.target)
        return RemoteSource(NAMED_BY, shown, settings.cache_dir, settings.source_limits, use)

    if scheme is None:
        file = Path(entry).expanduser()
        if is_archive(entry) and not file.is_dir():
            return ArchiveFile(absolute(file), remote(entry))
        return _folder(entry, NAMED_BY, settings.projects)
    if scheme in git_address.SCHEMES:
        address = parse_git_address(entry, NAMED_BY)
        token = settings.projects.git_token
        secret = token.get_secret_value() if token else None
        return GitRepository(address, remote(address.shown), token=secret, environ=environ)
    if scheme in bucket.SCHEMES:
        return Bucket(entry, remote(entry.rstrip("/")), environ=environ)
    raise configuration_error(
        f"{NAMED_BY}: sources of the kind {scheme}:// are not supported; allowed are folders and archives of this "
        "machine, git+https://, git+ssh://, s3:// and gs://"
    )


def _folder(
    place: str | Path, named_by: str, projects: ProjectSettings, *, only_subfolders: bool = False
) -> ProjectSource:
    return LocalFolder(
        place,
        named_by=named_by,
        profiles_dir=projects.profiles_dir,
        target=projects.target,
        only_subfolders=only_subfolders,
    )
