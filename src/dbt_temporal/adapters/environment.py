"""Settings models whose fields are environment variables: one model per adapter, checked all at once at the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo

from dbt_temporal.domain.secrets.redaction import MASK


class EnvironmentModel(BaseModel):
    """A group of settings. Each field's alias is the variable's name; an empty variable counts as unset."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _none_is_unset(cls, values: Any) -> Any:
        """For programs that give settings by their names; validators then know of no None."""
        if not isinstance(values, Mapping):
            return values
        return {name: value for name, value in values.items() if value is not None}


def variable(name: str | AliasChoices, default: Any, *, allowed: str, **constraints: Any) -> Any:
    """A settings field: its variable, its default, and in words what is allowed."""
    return Field(default=default, validation_alias=name, json_schema_extra={"allowed": allowed}, **constraints)


def require_both(**values: object) -> None:
    """Refuses one of two variables, by their names, without the other. Raises ValueError."""
    present = [name for name, value in values.items() if value is not None]
    missing = [name for name, value in values.items() if value is None]
    if present and missing:
        raise ValueError(f"{missing[0]}: must be set as well, because {present[0]} is set")


def without_blanks(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set to something; compose files and charts set empty ones to mean "default"."""
    return {name: value.strip() for name, value in environ.items() if value.strip()}


def problems_of(error: ValidationError, model: type[EnvironmentModel], environ: Mapping[str, str]) -> list[str]:
    """One line per problem: the variable, its value (masked where it is a secret), and what is allowed."""
    return [_problem(problem["loc"], problem["msg"], problem["type"], model, environ) for problem in error.errors()]


def _problem(
    loc: tuple[int | str, ...], message: str, kind: str, model: type[EnvironmentModel], environ: Mapping[str, str]
) -> str:
    message = message.removeprefix("Value error, ")
    name = str(loc[0]) if loc else ""
    field = _field_of(name, model)
    if field is None:
        # A rule about several variables: its text names them.
        return message
    extra = field.json_schema_extra
    allowed = extra.get("allowed") if isinstance(extra, dict) else None
    reason = message if kind == "value_error" else f"must be {allowed}"
    return f"{name}={shown(name, field, environ)}: {reason}"


def shown(name: str, field: FieldInfo, environ: Mapping[str, str]) -> str:
    return MASK if "SecretStr" in str(field.annotation) or field.annotation is SecretStr else repr(environ.get(name))


def _field_of(name: str, model: type[EnvironmentModel]) -> FieldInfo | None:
    for field in model.model_fields.values():
        if name in variable_names(field):
            return field
    return None


def variable_names(field: FieldInfo) -> list[str]:
    """The variables that a field reads, first one first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)] if alias else []
