"""Values of a run's `env`: a text, or a reference to a secret that the worker reads at the last moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from dbt_temporal.domain.json_values import fits_environment

ALLOWED = 'a string, {"from_env": "<variable of the worker>"} or {"from_file": "</absolute/path on the worker>"}'


class EnvReference(BaseModel):
    """A variable of the worker's environment, by name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    from_env: str

    def __str__(self) -> str:
        return f"from_env {self.from_env!r}"


class FileReference(BaseModel):
    """A file on the worker, by its absolute path; a line break at its end is no part of the secret."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    from_file: str

    def __str__(self) -> str:
        return f"from_file {self.from_file!r}"


SecretReference: TypeAlias = EnvReference | FileReference


def _read(value: object) -> object:
    """Lets the allowed shapes pass. One message for all others, which never repeats what was given."""
    if isinstance(value, str):
        if not fits_environment(value):
            raise ValueError("must be a text that an environment takes, of whole characters and without NUL")
        return value
    if isinstance(value, (EnvReference, FileReference)):
        return value
    if isinstance(value, Mapping) and len(value) == 1:
        [(kind, target)] = value.items()
        if kind == "from_env" and isinstance(target, str) and target.strip():
            return EnvReference(from_env=target)
        if kind == "from_file" and isinstance(target, str) and target.startswith("/"):
            return FileReference(from_file=target)
    raise ValueError(f"must be {ALLOWED}")


EnvValue: TypeAlias = Annotated[str | EnvReference | FileReference, BeforeValidator(_read)]


def references(env: Mapping[str, str | SecretReference]) -> dict[str, SecretReference]:
    """The entries of an `env` that are references."""
    return {key: value for key, value in env.items() if not isinstance(value, str)}
