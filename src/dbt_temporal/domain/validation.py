"""What pydantic finds wrong with something that a user wrote, as one Configuration error in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.json_values import cut, not_json

__all__ = ["input_error", "not_json"]

MAX_PROBLEMS = 20
"""So many are told at once."""
MAX_FIELD_CHARS = 200
MAX_PROBLEM_CHARS = 2000
"""So much is told of each: a failure that is too large for Temporal would be repeated for ever."""


def input_error(
    what: str, error: ValidationError, model: type[BaseModel], *, refused: Mapping[str, str] | None = None
) -> DbtTemporalError:
    """One Configuration error from pydantic's findings; values are not repeated, since they may be secrets.

    `refused` are fields that one might expect, with the reasons why there are none.
    """
    problems = []
    found = error.errors(include_url=False, include_input=False)
    for problem in found[:MAX_PROBLEMS]:
        field = cut(".".join(str(part) for part in problem["loc"]), MAX_FIELD_CHARS)
        if problem["type"] == "extra_forbidden" and refused and field in refused:
            problems.append(f"there is no field `{field}`: {refused[field]}")
        elif problem["type"] == "extra_forbidden":
            allowed = ", ".join(_fields_beside(model, problem["loc"]))
            problems.append(f"unknown field `{field}`" + (f" (allowed: {allowed})" if allowed else ""))
        else:
            message = problem["msg"].removeprefix("Value error, ")
            problems.append(f"`{field}`: {message}" if field else message)
    if len(found) > MAX_PROBLEMS:
        problems.append(f"and {len(found) - MAX_PROBLEMS} more")
    return configuration_error(f"invalid {what}: " + "; ".join(cut(each, MAX_PROBLEM_CHARS) for each in problems))


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
