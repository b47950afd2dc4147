"""How the log is written."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from dbt_temporal.adapters.environment import EnvironmentModel, variable


class LogSettings(EnvironmentModel):
    """The DBT_TEMPORAL_LOG_* variables."""

    format: Literal["text", "json"] = variable("DBT_TEMPORAL_LOG_FORMAT", "text", allowed="text or json")
    level: Literal["debug", "info", "warning", "error"] = variable(
        "DBT_TEMPORAL_LOG_LEVEL", "info", allowed="debug, info, warning or error"
    )

    @field_validator("format", "level", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value
