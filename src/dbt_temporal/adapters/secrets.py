"""Secrets from the worker's environment and from files, such as those that Docker and Kubernetes mount."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import field_validator

from dbt_temporal.adapters.environment import EnvironmentModel, variable
from dbt_temporal.domain.secrets.own_variables import is_own_setting, matches
from dbt_temporal.domain.secrets.redaction import SECRET_ENV_PREFIX
from dbt_temporal.domain.secrets.references import EnvReference, SecretReference

DEFAULT_VARIABLES = (f"{SECRET_ENV_PREFIX}_*",)
DEFAULT_FOLDERS = (Path("/run/secrets"), Path("/var/run/secrets"))
_NAMES = re.compile(r"[A-Za-z0-9_*]+")
MAX_FILE_BYTES = 1024 * 1024


class SecretSettings(EnvironmentModel):
    """Which variables and files a run may name as its secrets."""

    variables: tuple[str, ...] = variable(
        "DBT_TEMPORAL_SECRET_ENV", DEFAULT_VARIABLES, allowed="a comma-separated list of names of variables"
    )
    folders: tuple[Path, ...] = variable(
        "DBT_TEMPORAL_SECRET_DIRS", DEFAULT_FOLDERS, allowed="a comma-separated list of absolute paths of folders"
    )

    @field_validator("variables", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        names = tuple(entry.strip() for entry in value.split(",") if entry.strip())
        if not names or not all(_NAMES.fullmatch(name) for name in names):
            raise ValueError("must be a comma-separated list of names of variables; * stands for any part of a name")
        return names

    @field_validator("folders", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        folders = tuple(Path(entry.strip()) for entry in value.split(",") if entry.strip())
        if not folders or not all(folder.is_absolute() for folder in folders):
            raise ValueError("must be a comma-separated list of absolute paths of folders")
        return folders


class WorkerSecrets:
    """Reads references where this process runs. Implements `SecretResolver`."""

    def __init__(self, environ: Mapping[str, str], settings: SecretSettings | None = None) -> None:
        self._environ = environ
        settings = settings or SecretSettings()
        self._variables = settings.variables
        self._folders = settings.folders

    async def resolve(self, reference: SecretReference) -> str:
        if isinstance(reference, EnvReference):
            return self._variable(reference.from_env)
        return await asyncio.to_thread(self._file, Path(reference.from_file))

    def _variable(self, name: str) -> str:
        if is_own_setting(name):
            raise LookupError("this is a setting of the worker itself, which no run may read")
        if not matches(name, self._variables):
            allowed = ", ".join(self._variables)
            raise LookupError(f"runs may not name this variable of the worker ({allowed}; see DBT_TEMPORAL_SECRET_ENV)")
        value = self._environ.get(name)
        if value is None:
            raise LookupError("this variable is not set on the worker")
        return value

    def _file(self, path: Path) -> str:
        try:
            # Mounted secrets are links within their folder; a link that leads out of it is none of them.
            real = path.resolve()
            if not any(real.is_relative_to(folder.resolve()) for folder in self._folders):
                allowed = ", ".join(str(folder) for folder in self._folders)
                raise LookupError(f"the file is in no folder for secrets ({allowed}; see DBT_TEMPORAL_SECRET_DIRS)")
            if real.stat().st_size > MAX_FILE_BYTES:
                raise LookupError("the file is larger than 1 MiB")
            return real.read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise LookupError("the file is not a text in UTF-8") from None
        except (OSError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its links lead in a circle"
            raise LookupError(f"the file cannot be read on the worker ({reason})") from None
