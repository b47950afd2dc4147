"""Which sources the projects of this worker come from, by the environment."""

from __future__ import annotations

from pathlib import Path

from dbt_temporal.adapters.project_sources.local import LocalFolder
from dbt_temporal.application.ports.project_source import ProjectSource
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.settings import ProjectSettings


def project_sources(settings: ProjectSettings, current_dir: Path) -> list[ProjectSource]:
    """The sources by the first of DBT_PROJECT_DIRS, DBT_PROJECTS_DIR, DBT_PROJECT_DIR that is set, else this folder.

    Raises:
        DbtTemporalError: of type Configuration, for an entry of a kind that is not known.
    """

    def folder(place: str | Path, named_by: str, *, only_subfolders: bool = False) -> ProjectSource:
        return LocalFolder(
            place,
            named_by=named_by,
            profiles_dir=settings.profiles_dir,
            target=settings.target,
            only_subfolders=only_subfolders,
        )

    if settings.project_dirs:
        for entry in settings.project_dirs:
            _refuse_url(entry)
        return [folder(entry, "DBT_PROJECT_DIRS") for entry in settings.project_dirs]
    if settings.projects_dir is not None:
        return [folder(settings.projects_dir, "DBT_PROJECTS_DIR", only_subfolders=True)]
    if settings.project_dir is not None:
        return [folder(settings.project_dir, "DBT_PROJECT_DIR")]
    return [folder(current_dir, "the current folder is used, as no DBT_PROJECT_DIR(S) is set")]


def _refuse_url(entry: str) -> None:
    scheme, separator, _ = entry.partition("://")
    if separator:
        raise configuration_error(
            f"DBT_PROJECT_DIRS: sources of the kind {scheme}:// are not supported; allowed are folders of this machine"
        )
