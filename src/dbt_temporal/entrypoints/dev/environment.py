"""The environment of `dbt-temporal dev`: the user's, with what the flags say and what suits work at one's desk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dbt_temporal.adapters.project_files import PROFILES_FILE
from dbt_temporal.adapters.project_sources.locations import HOME_PROFILES_DIR
from dbt_temporal.entrypoints.settings import ProjectSettings


@dataclass(frozen=True)
class DevOptions:
    """The flags of `dev`; None means the usual value."""

    project_dir: Path | None = None
    profiles_dir: Path | None = None
    port: int | None = None
    ui_port: int | None = None
    db_file: Path | None = None
    command: str | None = None
    keep: bool = False


def dev_environment(options: DevOptions, environ: Mapping[str, str], cache_dir: Path) -> dict[str, str]:
    """The worker's environment. Variables that are set, and not empty, stay as they are."""
    env = {name: value for name, value in environ.items() if value.strip() or name not in _DEFAULTED}
    if options.project_dir is not None:
        for name in ("DBT_PROJECT_DIRS", "DBT_PROJECTS_DIR", "DBT_ENGINE_PROJECT_DIR"):
            env.pop(name, None)
        env["DBT_PROJECT_DIR"] = str(options.project_dir.resolve())
    if options.profiles_dir is not None:
        env.pop("DBT_ENGINE_PROFILES_DIR", None)
        env["DBT_PROFILES_DIR"] = str(options.profiles_dir.resolve())
    env.setdefault("WRITE_ARTIFACTS", "true")
    if "ARTIFACT_STORE" not in env:
        env.setdefault("DBT_TEMPORAL_SHARE_PARSES", "false")  # the cache folder, which it lies in, has them
    env.setdefault("ARTIFACT_STORE", str(cache_dir / "dev" / "artifacts"))
    # With the server gone nobody could take a node up again: running nodes are cancelled soon.
    env.setdefault("WORKER_GRACEFUL_SHUTDOWN_SECS", "2")
    return env


_DEFAULTED = frozenset({"WRITE_ARTIFACTS", "ARTIFACT_STORE", "WORKER_GRACEFUL_SHUTDOWN_SECS"})


def project_folders(projects: ProjectSettings) -> list[Path]:
    """The local folders of projects that the settings name, or the current one."""
    named = [*projects.project_dirs] or [projects.projects_dir or projects.project_dir or "."]
    return [Path(folder).expanduser().resolve() for folder in named if "://" not in folder]


def project_sources(projects: ProjectSettings) -> list[Path]:
    """What decides whether the projects load: their folders, and profiles.yml, whether it is there or not."""
    profiles_dir = projects.profiles_dir or HOME_PROFILES_DIR.expanduser()
    return [*project_folders(projects), profiles_dir.resolve() / PROFILES_FILE]
