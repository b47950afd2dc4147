"""What pydantic finds wrong with something that a user wrote, as one Configuration error in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dbt_temporal.domain.errors import DbtTemporalError, configuration_error


def input_error(
    what: str, error: ValidationError, model: type[BaseModel], *, refused: Mapping[str, str] | None = None
) -> DbtTemporalError:
    """One Configuration error from pydantic's findings; values are not repeated, since they may be secrets.

    `refused` are fields that one might expect, with the reasons why there are none.
    """
    problems = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden" and refused and field in refused:
            problems.append(f"there is no field `{field}`: {refused[field]}")
        elif problem["type"] == "extra_forbidden":
            allowed = ", ".join(_fields_beside(model, problem["loc"]))
            problems.append(f"unknown field `{field}`" + (f" (allowed: {allowed})" if allowed else ""))
        else:
            message = problem["msg"].removeprefix("Value error, ")
            problems.append(f"`{field}`: {message}" if field else message)
    return configuration_error(f"invalid {what}: " + "; ".join(problems))


def not_json(value: object, place: str) -> str | None:
    """Why a value would not arrive as it is, with the field to blame; None where it is made of what JSON has."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            if not isinstance(key, str):
                return f"{place}: key {key!r} is not text; write it in quotes: {str(key)!r}"
            problem = not_json(member, f"{place}.{key}")
            if problem is not None:
                return problem
    elif isinstance(value, list | tuple):
        return next(filter(None, (not_json(member, f"{place}[{i}]") for i, member in enumerate(value))), None)
    elif isinstance(value, date):
        return f"{place}: a date cannot be sent; write it as text, in quotes: {str(value)!r}"
    elif value is not None and not isinstance(value, str | int | float):
        return f"{place}: a value of type {type(value).__name__} cannot be sent; allowed is what JSON can hold"
    return None


def _fields_beside(model: type[BaseModel] | None, place: tuple[int | str, ...]) -> list[str]:
    """The fields that are allowed where an unknown one stands; none where that is not a model's place."""
    for part in place[:-1]:
        if model is not None and isinstance(part, str):
            field = model.model_fields.get(part)
            model = _model_within(field.annotation) if field else None
    return sorted(model.model_fields) if model else []


def _model_within(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation holds: `list[HookConfig]`, `HooksConfig | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_within(part))), None)
