"""The environment, read once. Every variable is checked before anything starts, and all problems are told together."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AliasChoices, SecretStr, ValidationError, field_validator, model_validator

from dbt_temporal.adapters.dbt_core.limits import EngineLimits
from dbt_temporal.adapters.dbt_v2.binary import V2Settings
from dbt_temporal.adapters.environment import EnvironmentModel, problems_of, variable, variable_names, without_blanks
from dbt_temporal.adapters.openlineage.settings import OpenLineageSettings
from dbt_temporal.adapters.project_sources.limits import SourceLimits
from dbt_temporal.adapters.secrets import SecretSettings
from dbt_temporal.adapters.telemetry.settings import LogSettings
from dbt_temporal.adapters.temporal.connection.connect import ConnectionSettings
from dbt_temporal.adapters.temporal.connection.profile import TemporalProfile, read_profile
from dbt_temporal.adapters.temporal.telemetry.metrics_export import MetricsSettings
from dbt_temporal.adapters.temporal.telemetry.tracing_settings import TracingSettings
from dbt_temporal.adapters.temporal.worker.tuning import WorkerTuning
from dbt_temporal.adapters.temporal.worker.versioning import VersioningSettings

DEFAULT_HEALTH_FILE = Path("/tmp/health")
_TRUE_OR_FALSE = "true or false"


class SettingsError(Exception):
    """Variables that are wrong; the message has a line for each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["invalid environment:", *(f"  {problem}" for problem in problems)]))


def _as_dbt(flag: str) -> AliasChoices:
    """dbt's names for the variable of a flag, in its order."""
    return AliasChoices(f"DBT_ENGINE_{flag}", f"DBT_{flag}")


class ProjectSettings(EnvironmentModel):
    """Where the dbt projects are, and which profile and target they use."""

    project_dirs: tuple[str, ...] = variable(
        "DBT_PROJECT_DIRS", (), allowed="a comma-separated list of folders or URLs of projects"
    )
    projects_dir: str | None = variable("DBT_PROJECTS_DIR", None, allowed="a folder that holds projects")
    project_dir: str | None = variable(_as_dbt("PROJECT_DIR"), None, allowed="the folder of a project")
    profiles_dir: Path | None = variable(_as_dbt("PROFILES_DIR"), None, allowed="the folder of profiles.yml")
    target: str | None = variable(_as_dbt("TARGET"), None, allowed="the name of a target of the profile")
    git_token: SecretStr | None = variable(AliasChoices("GITHUB_TOKEN", "GIT_TOKEN"), None, allowed="an access token")
    deps: Literal["auto", "always", "never"] = variable("DBT_DEPS", "auto", allowed="auto, always or never")
    engine: Literal["dbt-core", "v2"] | None = variable("DBT_TEMPORAL_ENGINE", None, allowed="dbt-core or v2")
    strict_start: bool = variable("DBT_TEMPORAL_STRICT_START", False, allowed=_TRUE_OR_FALSE)

    @field_validator("project_dirs", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        entries = tuple(entry.strip() for entry in value.split(",") if entry.strip())
        if not entries:
            raise ValueError("names no project: give a comma-separated list of folders or URLs")
        return entries

    @field_validator("profiles_dir")
    @classmethod
    def _is_folder(cls, path: Path) -> Path:
        if not path.is_dir():
            raise ValueError("is not a folder: give the folder of profiles.yml")
        return path


class ArtifactSettings(EnvironmentModel):
    """What of a run is kept, and where."""

    write_artifacts: bool = variable("WRITE_ARTIFACTS", False, allowed=_TRUE_OR_FALSE)
    store: str = variable("ARTIFACT_STORE", "/tmp/dbt-artifacts", allowed="a folder, or a URL such as s3://bucket/path")
    write_run_log: bool = variable("WRITE_RUN_LOG", True, allowed=_TRUE_OR_FALSE)
    write_report: bool = variable("WRITE_REPORT", True, allowed=_TRUE_OR_FALSE)
    write_catalog: bool = variable("WRITE_CATALOG", False, allowed=_TRUE_OR_FALSE)
    write_sql: bool = variable("WRITE_SQL", True, allowed=_TRUE_OR_FALSE)
    latest: Literal["success", "always", "never"] = variable(
        "ARTIFACT_LATEST", "success", allowed="success, always or never"
    )
    share_parses: bool = variable("DBT_TEMPORAL_SHARE_PARSES", True, allowed=_TRUE_OR_FALSE)

    @property
    def shares_parses(self) -> bool:
        """Whether workers share parses by the store: only by one that was named, as anybody may write into /tmp."""
        return self.share_parses and "store" in self.model_fields_set


class HealthSettings(EnvironmentModel):
    """How others learn that the worker lives."""

    port: int | None = variable("HEALTH_PORT", None, allowed="a port number from 1 to 65535", ge=1, le=65535)
    file: Path | None = variable("HEALTH_FILE", None, allowed="the path of a file in a folder that can be written")

    @field_validator("file")
    @classmethod
    def _can_be_written(cls, path: Path) -> Path:
        if path.is_dir():
            raise ValueError("is a folder: give the path of a file")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError("the folder of this file does not exist, or it cannot be written")
        return path

    @property
    def beat_file(self) -> Path | None:
        """The file that the worker touches, or None where nobody asked for one."""
        return self.file or (DEFAULT_HEALTH_FILE if self.port is not None else None)


class RunSettings(EnvironmentModel):
    """What applies to every run of the worker, and where the engine keeps its files."""

    search_attributes: dict[str, str] = variable(
        "TEMPORAL_SEARCH_ATTRIBUTES", {}, allowed='a JSON object of strings, such as {"team": "data"}'
    )
    cache_dir: Path | None = variable("DBT_TEMPORAL_CACHE_DIR", None, allowed="a folder that can be written")

    @field_validator("search_attributes", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            read = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"must be a JSON object of strings, but is not JSON: {error}") from error
        if not isinstance(read, dict) or not all(isinstance(text, str) for text in read.values()):
            raise ValueError('must be a JSON object of strings, such as {"team": "data"}')
        return read

    @field_validator("cache_dir")
    @classmethod
    def _is_usable(cls, path: Path) -> Path:
        if not _can_hold_files(path):
            raise ValueError("must be a folder that can be created and written")
        return path


class Settings(EnvironmentModel):
    """All settings of a worker and of the commands."""

    connection: ConnectionSettings
    tuning: WorkerTuning
    versioning: VersioningSettings
    engine: EngineLimits
    v2: V2Settings
    projects: ProjectSettings
    source_limits: SourceLimits
    artifacts: ArtifactSettings
    health: HealthSettings
    secrets: SecretSettings
    logs: LogSettings
    metrics: MetricsSettings
    tracing: TracingSettings
    lineage: OpenLineageSettings
    search_attributes: dict[str, str]
    cache_dir: Path

    @model_validator(mode="after")
    def _cache_is_not_in_a_project(self) -> Settings:
        for folder in (*self.projects.project_dirs, self.projects.project_dir):
            if folder and "://" not in folder and self.cache_dir.resolve() == Path(folder).resolve():
                raise ValueError(f"DBT_TEMPORAL_CACHE_DIR={str(self.cache_dir)!r}: must not be a project's folder")
        return self


Group = TypeVar("Group", bound=EnvironmentModel)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads all settings from an environment.

    Raises:
        SettingsError: with every problem of every variable.
    """
    environ = without_blanks(environ)
    problems: list[str] = []
    groups: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        if field.annotation is ConnectionSettings:
            groups[name] = _read_connection(environ, problems)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, EnvironmentModel):
            groups[name] = _read(field.annotation, environ, problems)
    run = _read(RunSettings, environ, problems)
    if problems or run is None:
        raise SettingsError(problems)
    try:
        return Settings(
            **groups,
            search_attributes=run.search_attributes,
            cache_dir=run.cache_dir or default_cache_dir(environ),
        )
    except ValidationError as error:
        raise SettingsError(problems_of(error, Settings, environ)) from error


def read_connection(environ: Mapping[str, str]) -> ConnectionSettings:
    """Where Temporal is; nothing else of the environment matters to a client.

    Raises:
        SettingsError: with every problem of its variables.
    """
    problems: list[str] = []
    connection = _read_connection(without_blanks(environ), problems)
    if problems or connection is None:
        raise SettingsError(problems)
    return connection


def read_health_file(environ: Mapping[str, str]) -> Path:
    """The file that `healthcheck` looks at; nothing else of the environment matters to it."""
    return Path(without_blanks(environ).get("HEALTH_FILE") or DEFAULT_HEALTH_FILE)


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """The user's cache folder, or one below the temporary folder where the user has none (containers)."""
    home = environ.get("HOME")
    base = environ.get("XDG_CACHE_HOME") or (os.path.join(home, ".cache") if home else None)
    if base and os.path.isabs(base):
        folder = Path(base) / "dbt-temporal"
        if _can_hold_files(folder):
            return folder
    return Path(tempfile.gettempdir()) / f"dbt-temporal-{os.getuid()}"


def _can_hold_files(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _read_connection(environ: Mapping[str, str], problems: list[str]) -> ConnectionSettings | None:
    """Our own variables, over what Temporal's own configuration says."""
    try:
        profile = read_profile(environ)
    except ValueError as error:
        problems.append(str(error))
        profile = TemporalProfile()
    connection = _read(ConnectionSettings, {**profile.variables(), **environ}, problems)
    try:
        return connection.with_profile(profile) if connection else None
    except ValueError as error:
        problems.append(str(error))
        return None


def _read(model: type[Group], environ: Mapping[str, str], problems: list[str]) -> Group | None:
    variables = {name for field in model.model_fields.values() for name in variable_names(field)}
    environ = {name: value for name, value in environ.items() if name in variables}
    try:
        return model.model_validate(environ)
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
        problems.extend(problems_of(error, model, environ))
    # Rules about several variables are only tried where each one is well: try them without the wrong ones.
    try:
        model.model_validate({name: value for name, value in environ.items() if name not in wrong})
    except ValidationError as error:
        rest = problems_of(error, model, environ) if wrong else []
        problems.extend(problem for problem in rest if not any(name in problem for name in wrong))
    return None
