"""Lifecycle hooks: their configuration, what they are sent, and what their answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dbt_temporal.domain.limits import MAX_SECS, MIN_SECS, TaskQueueName, TypeName

HookEvent = Literal["pre_run", "on_success", "on_failure"]
HookErrorPolicy = Literal["fail", "warn", "ignore"]

DEFAULT_HOOK_TIMEOUT_SECS = 300.0


class HookConfig(BaseModel):
    """One child workflow to start at a hook event."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    workflow_type: TypeName
    task_queue: TaskQueueName
    timeout_secs: float = Field(default=DEFAULT_HOOK_TIMEOUT_SECS, ge=MIN_SECS, le=MAX_SECS, strict=False)
    on_error: HookErrorPolicy = "warn"
    input: Any = None
    fire_and_forget: bool = False


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
    """Reads a `pre_run` hook's result: `false` and `{"skip": true}` skip, `extra_env` adds to the environment."""
    if answer is False:
        return PreRunAnswer(skip=True)
    if not isinstance(answer, Mapping):
        return PreRunAnswer()
    reason = answer.get("reason")
    skip = answer.get("skip") is True
    extra = answer.get("extra_env")
    env = extra if isinstance(extra, Mapping) else {}
    return PreRunAnswer(
        skip=skip,
        skip_reason=reason if skip and isinstance(reason, str) else None,
        extra_env={str(key): value for key, value in env.items() if isinstance(value, str)},
        ignored_env_keys=sorted(str(key) for key, value in env.items() if not isinstance(value, str)),
    )
