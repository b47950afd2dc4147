"""What a node says of its own execution in dbt: `config.meta.dbt_temporal`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dbt_temporal.domain.errors import DbtTemporalError, configuration_error
from dbt_temporal.domain.limits import Seconds, TaskQueueName
from dbt_temporal.domain.project_config import OnLostAttempt
from dbt_temporal.domain.run.plan import NodeOverrides

META_KEY = "dbt_temporal"


class _RetryMeta(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_attempts: int | None = Field(default=None, ge=1)
    initial_interval_secs: Seconds | None = None
    backoff_coefficient: float | None = Field(default=None, ge=1)
    max_interval_secs: Seconds | None = None
    on_lost_attempt: OnLostAttempt | None = None


class _Meta(BaseModel):
    model_config = ConfigDict(extra="forbid")

    retry: _RetryMeta = Field(default_factory=_RetryMeta)
    timeout_secs: Seconds | None = None
    task_queue: TaskQueueName | None = None


def node_overrides(unique_id: str, meta: Mapping[str, Any]) -> NodeOverrides | None:
    """Reads the overrides of one node; None where it has none.

    Raises:
        DbtTemporalError: of type Configuration, naming the node, the key and what is allowed.
    """
    own = meta.get(META_KEY)
    if own is None:
        return None
    if not isinstance(own, Mapping):
        raise configuration_error(f"{unique_id}: meta.{META_KEY} must be a mapping, got {type(own).__name__}")
    try:
        read = _Meta.model_validate(dict(own))
    except ValidationError as error:
        raise _meta_error(unique_id, error) from error
    return NodeOverrides(**read.retry.model_dump(), timeout_secs=read.timeout_secs, task_queue=read.task_queue)


def _meta_error(unique_id: str, error: ValidationError) -> DbtTemporalError:
    problems = []
    for problem in error.errors():
        key = ".".join([META_KEY, *(str(part) for part in problem["loc"])])
        if problem["type"] == "extra_forbidden":
            model = _RetryMeta if problem["loc"][0] == "retry" else _Meta
            problems.append(f"unknown key meta.{key} (allowed: {', '.join(model.model_fields)})")
        else:
            problems.append(f"meta.{key}: {problem['msg'].removeprefix('Value error, ')}")
    return configuration_error(f"{unique_id}: {'; '.join(problems)}")
