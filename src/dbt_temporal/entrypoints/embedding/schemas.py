"""The input and the output of a run as JSON Schema, for programs in other languages."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from dbt_temporal.domain.results import DbtRunOutput, NodeExecutionResult
from dbt_temporal.domain.run.flags import FLAGS
from dbt_temporal.domain.run.input import DbtRunInput

_FOR_THE_RUN_ALONE = frozenset(
    name for name, field in NodeExecutionResult.model_fields.items() if field.exclude_if is not None
)
"""Fields of results by which steps tell the run something."""
_NOT_ALWAYS = frozenset(name for name, field in DbtRunOutput.model_fields.items() if field.exclude_if is not None)
"""Fields of the output that are only there where they say something."""


def input_schema() -> dict[str, Any]:
    """The schema of the input of `dbt_run`: every field, its type and what is allowed (draft 2020-12).

    Which fields do not go together, and which commands have them, only the run checks.
    """
    schema = _schema(DbtRunInput)
    # The many flags of dbt come last, as in docs/run-input.md.
    schema["properties"] = dict(sorted(schema["properties"].items(), key=lambda field: field[0] in FLAGS))
    return schema


def output_schema() -> dict[str, Any]:
    """The schema of the output of `dbt_run`, which its failure has as its first detail too (draft 2020-12).

    Every field is always there, but for `failed_nodes`, and `sql_path` of artifacts. Later versions may have more.
    """
    schema = _schema(DbtRunOutput)
    models = [schema, *schema["$defs"].values()]
    for model in models:
        model["required"] = list(model["properties"])
    schema["required"] = [name for name in schema["required"] if name not in _NOT_ALWAYS]
    schema["$defs"]["ArtifactPaths"]["required"].remove("sql_path")
    result = schema["$defs"]["NodeExecutionResult"]
    for name in _FOR_THE_RUN_ALONE:
        del result["properties"][name]
        result["required"].remove(name)
    used = _referred(schema, schema["$defs"])
    schema["$defs"] = {name: model for name, model in schema["$defs"].items() if name in used}
    return schema


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    for each in (schema, *schema.get("$defs", {}).values()):
        # What a class is for, without what is said there to whoever changes it.
        each["description"] = each["description"].partition("\n\n")[0]
        for field in each["properties"].values():
            field.pop("title", None)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def _referred(schema: Any, known: dict[str, Any]) -> set[str]:
    """The definitions that a schema uses, directly or by others."""
    found: set[str] = set()
    waiting: list[Any] = [{name: value for name, value in schema.items() if name != "$defs"}]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            name = str(each.get("$ref", "")).removeprefix("#/$defs/")
            if name and name not in found:
                found.add(name)
                waiting.append(known[name])
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found
