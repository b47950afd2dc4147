"""Folders of projects that a command typed here may mean, and where manifests of them lie."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbt_temporal.adapters.project_config_file import read_project_name, read_yaml
from dbt_temporal.adapters.project_files import PROFILES_FILE, PROJECT_FILE
from dbt_temporal.domain.errors import DbtTemporalError

MAX_FOLDERS = 500
"""Of a folder that holds projects, so many of its subfolders are looked at."""
DEFAULT_STORE = "/tmp/dbt-artifacts"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class KnownProject:
    """A project by its folder.

    Attributes:
        name: in dbt_project.yml.
        folder: where it is.
    """

    name: str
    folder: Path


def known_projects(environ: Mapping[str, str], here: Path) -> list[KnownProject]:
    """Projects, the most likely one first: what holds the current folder, what variables name, what `dev` serves, and
    what lies below the current folder.
    """
    found: dict[Path, KnownProject] = {}
    for folder in _folders(environ, here):
        if folder not in found and (folder / PROJECT_FILE).is_file():
            name = read_project_name(folder)
            if name is not None:
                found[folder] = KnownProject(name, folder)
    return list(found.values())


def manifests(project: KnownProject, environ: Mapping[str, str]) -> list[Path]:
    """Manifests of a project that are there, the newest first: of dbt's own target folder, and of its latest runs."""
    target = _written(environ, "TARGET_PATH") or _text(project.folder / PROJECT_FILE, "target-path") or "target"
    places = [project.folder / target / MANIFEST]
    for store in (environ.get("ARTIFACT_STORE") or DEFAULT_STORE, cache_dir(environ) / "dev" / "artifacts"):
        if "://" not in str(store):
            places += Path(store).expanduser().glob(f"latest/{project.name}/*/{MANIFEST}")
    there = [(place.stat().st_mtime, place) for place in places if place.is_file()]
    return [place for _, place in sorted(there, reverse=True)]


def targets(project: KnownProject, environ: Mapping[str, str]) -> list[str]:
    """The targets of a project's profile, as far as its profiles.yml is here, and is YAML before Jinja is rendered."""
    given = _written(environ, "PROFILES_DIR")
    folders = [Path(given).expanduser()] if given else [project.folder, Path(environ.get("HOME") or "/") / ".dbt"]
    name = _written(environ, "PROFILE") or _text(project.folder / PROJECT_FILE, "profile")
    for file in (folder / PROFILES_FILE for folder in folders):
        if file.is_file():
            found = _document(file).get(name)
            outputs = found.get("outputs") if isinstance(found, dict) else None
            return sorted(map(str, outputs)) if isinstance(outputs, dict) else []
    return []


def cache_dir(environ: Mapping[str, str]) -> Path:
    """The cache folder, as a worker would have it."""
    given = environ.get("DBT_TEMPORAL_CACHE_DIR")
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or "/", ".cache")
    return Path(given).expanduser() if given else Path(base) / "dbt-temporal"


def _folders(environ: Mapping[str, str], here: Path) -> Iterator[Path]:
    yield from (folder for folder in (here, *here.parents))
    named = [entry.strip() for entry in environ.get("DBT_PROJECT_DIRS", "").split(",")]
    named += [_written(environ, "PROJECT_DIR"), environ.get("DBT_PROJECTS_DIR", ""), *_served(environ)]
    for entry in named:
        if entry and "://" not in entry:
            yield from _with_subfolders((here / Path(entry).expanduser()).resolve())
    yield from _with_subfolders(here)


def _with_subfolders(folder: Path) -> Iterator[Path]:
    yield folder
    try:
        with os.scandir(folder) as entries:
            names = [entry.path for _, entry in zip(range(MAX_FOLDERS), entries, strict=False) if entry.is_dir()]
    except OSError:
        return
    yield from map(Path, sorted(names))


def _served(environ: Mapping[str, str]) -> Iterator[str]:
    """The projects of `dbt-temporal dev` (see `DevRegistry`); that one of these has ended does no harm."""
    for path in (cache_dir(environ) / "dev").glob("*.json"):
        try:
            yield from json.loads(path.read_text())["projects"]
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _written(environ: Mapping[str, str], name: str) -> str:
    return environ.get(f"DBT_ENGINE_{name}") or environ.get(f"DBT_{name}", "")


def _document(file: Path) -> dict[Any, Any]:
    try:
        document = read_yaml(file)
    except DbtTemporalError:
        return {}
    return document if isinstance(document, dict) else {}


def _text(file: Path, key: str) -> str | None:
    value = _document(file).get(key)
    return value if isinstance(value, str) and "{{" not in value else None
