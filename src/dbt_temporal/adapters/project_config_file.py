"""Reads dbt_temporal.yml, and the name in dbt_project.yml."""

from __future__ import annotations

from pathlib import Path

import yaml

from dbt_temporal.adapters.project_files import PROJECT_FILE
from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.project_config import PROJECT_CONFIG_FILE, ProjectConfig, parse_project_config


def read_project_config(project_dir: Path) -> ProjectConfig:
    """The dbt_temporal.yml beside dbt_project.yml; all defaults where there is none.

    Raises:
        DbtTemporalError: of type Configuration, naming the file, the key or the line, and what is allowed.
    """
    path = project_dir / PROJECT_CONFIG_FILE
    return parse_project_config(read_yaml(path) if path.exists() else None, str(path))


def read_project_name(project_dir: Path) -> str | None:
    """`name` in dbt_project.yml; None where it is not to be had without dbt."""
    try:
        document = read_yaml(project_dir / PROJECT_FILE)
    except DbtTemporalError:
        return None
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) and "{{" not in name else None


def read_yaml(path: Path) -> object:
    """A YAML file's content.

    Raises:
        DbtTemporalError: of type Configuration, with the line where the YAML is wrong.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise configuration_error(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise configuration_error(f"{path}: is not UTF-8 text: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise configuration_error(f"{path}{place}: is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise configuration_error(f"{path}: is not valid YAML: {error}") from error
