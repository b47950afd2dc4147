"""A profile with another schema: so two engines build one project side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dbt_temporal.adapters.project_files import PROFILES_FILE, PROJECT_FILE
from dbt_temporal.domain.errors import configuration_error

_SCHEMA_KEYS = ("schema", "dataset")
_JINJA = "{{"
_WITHOUT_SCHEMA = {"duckdb": "main", "sqlite": "main"}
"""The schema of adapters for which a profile need not name one."""


def profile_name(project_dir: Path) -> str:
    """The profile that dbt_project.yml names. Raises Configuration where it does not say, or only by Jinja."""
    document = _read(project_dir / PROJECT_FILE)
    name = document.get("profile", "default")
    if not isinstance(name, str) or _JINJA in name:
        raise configuration_error(f"{project_dir / PROJECT_FILE}: profile: a name is needed here, and it is {name!r}")
    return name


def target_name(profiles_dir: Path, profile: str) -> str:
    """The target that a profile takes where nobody names one. Raises Configuration where it needs Jinja to say so."""
    name = _profile(profiles_dir, profile).get("target", "default")
    if not isinstance(name, str) or _JINJA in name:
        raise configuration_error(
            f"{profiles_dir / PROFILES_FILE}: {profile}: target: is {name!r}; name it by --target"
        )
    return name


def write_profile(profiles_dir: Path, profile: str, target: str, suffix: str, folder: Path) -> None:
    """Writes a profiles.yml into `folder` in which the target's schema has a suffix; all else is as it was.

    Raises:
        DbtTemporalError: of type Configuration, where there is no such target, or nothing to give a suffix to.
    """
    content = _profile(profiles_dir, profile)
    outputs = content.get("outputs")
    outputs = outputs if isinstance(outputs, dict) else {}
    output = outputs.get(target)
    place = f"{profiles_dir / PROFILES_FILE}: {profile}"
    if not isinstance(output, dict):
        known = ", ".join(outputs) or "none"
        raise configuration_error(f"{place}: there is no target {target!r}; there are: {known}")
    kind = str(output.get("type"))
    if kind == "duckdb" and output.get("path", ":memory:") in (":memory:", ""):
        raise configuration_error(f"{place}: {target} is in memory, where the second engine sees nothing of the first")
    key = next((key for key in _SCHEMA_KEYS if key in output), None)
    schema = output[key] if key is not None else _WITHOUT_SCHEMA.get(kind)
    if not isinstance(schema, str):
        raise configuration_error(
            f"{place}: {target} has no {' or '.join(_SCHEMA_KEYS)} that could have a suffix: name two by --targets"
        )
    changed = {**content, "outputs": {**outputs, target: {**output, key or "schema": schema + suffix}}}
    folder.mkdir(mode=0o700, parents=True)
    file = folder / PROFILES_FILE
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump({profile: changed}, sort_keys=False), encoding="utf-8")


def _profile(profiles_dir: Path, profile: str) -> Mapping[str, Any]:
    file = profiles_dir / PROFILES_FILE
    content = _read(file).get(profile)
    if not isinstance(content, dict):
        raise configuration_error(f"{file}: there is no profile {profile!r}")
    return content


def _read(file: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(file.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise configuration_error(f"{file} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise configuration_error(f"{file}: must be a mapping, got {type(document).__name__}")
    return document
