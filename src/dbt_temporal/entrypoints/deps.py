"""`dbt-temporal deps`: the packages of the projects that a worker with this environment would serve."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import yaml

from dbt_temporal.adapters.dbt_core.deps import run_deps
from dbt_temporal.adapters.project_files import PROJECT_FILE
from dbt_temporal.adapters.project_sources.local import LocalFolder
from dbt_temporal.application.ports.engine import ProjectLocation
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.entrypoints.discovery import project_sources
from dbt_temporal.entrypoints.settings import read_settings

COULD_NOT_INSTALL = 1


async def install_packages(
    environ: Mapping[str, str], project: str | None, options: Sequence[str], *, one_alone: bool = False
) -> int:
    """Runs `dbt deps` in the folders of the projects, one after the other. Returns an exit code.

    Args:
        environ: as a worker has it.
        project: the name of the one project that is meant; all by default.
        options: of `dbt deps`.
        one_alone: whether the options are about one project.

    Raises:
        DbtTemporalError: of type Configuration, where a source or the project is not there, or it is not said which.
    """
    chosen = await _chosen(environ, project)
    if one_alone and len(chosen) > 1:
        raise configuration_error(f"which project? Name one with --project: {', '.join(sorted(chosen))}")
    failed = []
    for name, location in chosen.items():
        click.echo(f"{name} ({location.project_dir})")
        code = await asyncio.to_thread(run_deps, location.project_dir, location.profiles_dir, options, environ)
        if code:
            failed.append(name)
    if failed:
        click.echo(f"dbt deps failed in {', '.join(failed)}", err=True)
    return COULD_NOT_INSTALL if failed else 0


async def _chosen(environ: Mapping[str, str], project: str | None) -> dict[str, ProjectLocation]:
    locations: dict[str, ProjectLocation] = {}
    for source in project_sources(read_settings(environ), Path.cwd(), environ):
        if isinstance(source, LocalFolder):
            found = await source.locate()
            locations |= {_name_of(location.project_dir): location for location in found}
        elif project is None:
            click.echo("Projects from git, buckets and archives get their packages from the worker that loads them.")
    if project is None:
        return locations
    if project not in locations:
        known = ", ".join(sorted(locations)) or "none"
        raise configuration_error(f"there is no project {project!r} in a folder of this machine (there are: {known})")
    return {project: locations[project]}


def _name_of(project_dir: Path) -> str:
    try:
        settings = yaml.safe_load((project_dir / PROJECT_FILE).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise configuration_error(f"{project_dir / PROJECT_FILE} cannot be read: {error}") from error
    name = settings.get("name") if isinstance(settings, dict) else None
    return str(name or project_dir.name)
