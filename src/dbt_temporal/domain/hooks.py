"""Lifecycle hooks: their configuration, what they are sent, and what their answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dbt_temporal.domain.json_values import cut, fits_environment, not_json
from dbt_temporal.domain.limits import MAX_SECS, MIN_SECS, TaskQueueName, TypeName

HookEvent = Literal["pre_run", "on_success", "on_failure"]
HookErrorPolicy = Literal["fail", "warn", "ignore"]

DEFAULT_HOOK_TIMEOUT_SECS = 300.0
MAX_NAME_CHARS = 200
MAX_REASON_CHARS = 10_000
"""So much is told of what a hook's answer has in it."""


class HookConfig(BaseModel):
    """One child workflow to start at a hook event."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    workflow_type: TypeName
    task_queue: TaskQueueName
    timeout_secs: float = Field(default=DEFAULT_HOOK_TIMEOUT_SECS, ge=MIN_SECS, le=MAX_SECS, strict=False)
    on_error: HookErrorPolicy = "warn"
    input: Any = None
    fire_and_forget: bool = False

    @field_validator("input", mode="before")
    @classmethod
    def _is_json(cls, value: Any) -> Any:
        problem = not_json(value, "input", yaml=True)
        if problem is not None:
            raise ValueError(problem)
        return value


class HooksConfig(BaseModel):
    """The hooks of each event, run in the order of the list."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    pre_run: list[HookConfig] = Field(default_factory=list)
    on_success: list[HookConfig] = Field(default_factory=list)
    on_failure: list[HookConfig] = Field(default_factory=list)

    def for_event(self, event: HookEvent) -> list[HookConfig]:
        """The hooks of one event."""
        hooks: list[HookConfig] = getattr(self, event)
        return hooks


class HookError(BaseModel):
    """A hook that failed under the policy `warn` or `fail`."""

    hook_workflow_type: str
    event: HookEvent
    error: str


@dataclass(frozen=True)
class PreRunAnswer:
    """What the result of a `pre_run` hook means for the run."""

    skip: bool = False
    skip_reason: str | None = None
    extra_env: dict[str, str] = field(default_factory=dict)
    ignored_env_keys: list[str] = field(default_factory=list)


def read_pre_run_answer(answer: object) -> PreRunAnswer:
    """Reads a `pre_run` hook's result: `false` and `{"skip": true}` skip, `extra_env` adds to the environment.

    Whatever else it is, the run continues; what no environment takes is named in `ignored_env_keys`.
    """
    if answer is False:
        return PreRunAnswer(skip=True)
    if not isinstance(answer, Mapping):
        return PreRunAnswer()
    reason = answer.get("reason")
    skip = answer.get("skip") is True
    extra = answer.get("extra_env")
    env = extra if isinstance(extra, Mapping) else {}
    taken = {key for key, value in env.items() if fits_environment(key, name=True) and fits_environment(value)}
    return PreRunAnswer(
        skip=skip,
        skip_reason=cut(reason, MAX_REASON_CHARS) if skip and isinstance(reason, str) else None,
        extra_env={key: value for key, value in env.items() if key in taken},
        ignored_env_keys=sorted(cut(str(key), MAX_NAME_CHARS) for key in env.keys() - taken),
    )
