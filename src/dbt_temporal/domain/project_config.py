"""dbt_temporal.yml: retry, timeouts and hooks of a project, all optional."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.hooks import HooksConfig
from dbt_temporal.domain.leases.messages import LeasePer
from dbt_temporal.domain.limits import MAX_PLAN_SECS, MAX_SECS, MIN_SECS, Seconds
from dbt_temporal.domain.validation import input_error

PROJECT_CONFIG_FILE = "dbt_temporal.yml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectHookRetries(_Section):
    """Whether dbt's own hooks are retried; off by default, since a hook may have had its effect already."""

    on_run_start: bool = Field(default=False, strict=True)
    on_run_end: bool = Field(default=False, strict=True)


OnLostAttempt = Literal["ask", "retry", "fail"]
"""What becomes of a node when nobody has heard how an attempt at it ended, and nothing is known of that: `retry` runs
it again, `fail` does not, and `ask` goes by whether it may be run twice."""


class RetryConfig(_Section):
    """How a node's transient errors are retried, and its lost attempts.

    `on_lost_attempt` may be a mapping of materializations, with `default` for the others.
    """

    max_attempts: int = Field(default=3, ge=1, strict=True)
    initial_interval_secs: Seconds = 5.0
    backoff_coefficient: float = Field(default=2.0, ge=1)
    max_interval_secs: Seconds = 60.0
    non_retryable_errors: list[str] = Field(default_factory=list)
    project_hooks: ProjectHookRetries = Field(default_factory=ProjectHookRetries)
    on_lost_attempt: OnLostAttempt | dict[str, OnLostAttempt] = "ask"

    def runs_again(self, materialization: str | None, own: OnLostAttempt | None, *, repeatable: bool) -> bool:
        """Whether a node is run again of whose lost attempt nothing is known; `own` is what the node itself says."""
        mode: OnLostAttempt
        if own is not None:
            mode = own
        elif isinstance(self.on_lost_attempt, str):
            mode = self.on_lost_attempt
        else:
            mode = self.on_lost_attempt.get(materialization or "", self.on_lost_attempt.get("default", "ask"))
        return repeatable if mode == "ask" else mode == "retry"

    @field_validator("non_retryable_errors")
    @classmethod
    def _are_regular_expressions(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return patterns

    @model_validator(mode="after")
    def _intervals_fit(self) -> RetryConfig:
        if self.max_interval_secs < self.initial_interval_secs:
            raise ValueError("max_interval_secs must be at least initial_interval_secs")
        return self


class BreakerConfig(_Section):
    """How long a run waits for a database that takes no connections, and how often it asks; in seconds.

    `limit_secs` 0 means that it does not wait: each node then has its own attempts alone.
    """

    limit_secs: float = Field(default=600.0, ge=0, le=MAX_SECS)
    probe_secs: Seconds = 15.0


class ConcurrencyConfig(_Section):
    """What a run has for itself alone, and what becomes of it where another one has that; one word is `per`.

    `wait_secs` is how long it waits then; None for as long as it takes.
    """

    per: LeasePer = "none"
    if_taken: Literal["wait", "skip", "fail"] = "wait"
    wait_secs: Seconds | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_one_word(cls, value: Any) -> Any:
        return {"per": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _limit_is_of_a_wait(self) -> ConcurrencyConfig:
        if self.wait_secs is not None and self.if_taken != "wait":
            raise ValueError(f"wait_secs is for if_taken: wait; with {self.if_taken} nothing waits")
        return self


class TimeoutsConfig(_Section):
    """Time limits in seconds."""

    node_secs: Seconds = 3600.0
    node_heartbeat_secs: Seconds = 300.0
    hook_secs: Seconds = 300.0
    hook_heartbeat_secs: Seconds = 120.0
    plan_secs: float = Field(default=300.0, ge=MIN_SECS, le=MAX_PLAN_SECS)
    store_artifacts_secs: Seconds = 120.0


class ProjectConfig(_Section):
    """The whole of dbt_temporal.yml.

    Attributes:
        engine: the name of what runs the project; None means the worker's default.
        scheduling: which of the nodes that are ready start first: `dbt` goes by dbt's own order (what became ready
            first; then by level and name), `critical_path` by the longest remaining path alone.
        run_hosts: how many processes of a worker run the nodes of one run; None means the worker's default.
        hold_secs: how long a run is kept open at most that waits for an operator.
    """

    engine: str | None = Field(default=None, min_length=1)
    scheduling: Literal["dbt", "critical_path"] = "dbt"
    retry: RetryConfig = Field(default_factory=RetryConfig)
    breaker: BreakerConfig = Field(default_factory=BreakerConfig)
    concurrency: ConcurrencyConfig = Field(default_factory=ConcurrencyConfig)
    run_hosts: int | None = Field(default=None, ge=1, strict=True)
    hold_secs: Seconds = 86_400.0
    timeouts: TimeoutsConfig = Field(default_factory=TimeoutsConfig)
    hooks: HooksConfig = Field(default_factory=HooksConfig)


def parse_project_config(document: object, path: str) -> ProjectConfig:
    """Reads a dbt_temporal.yml that was loaded from YAML; an empty file is all defaults.

    Raises:
        DbtTemporalError: of type Configuration, naming the file, the key and what is allowed.
    """
    if document is None:
        return ProjectConfig()
    if not isinstance(document, dict):
        raise configuration_error(f"{path}: must be a mapping, got {type(document).__name__}")
    # An empty section (`hooks:` with nothing below it) reads as null in YAML and means its defaults.
    sections = {key: value for key, value in document.items() if value is not None}
    try:
        config = ProjectConfig.model_validate(sections)
    except ValidationError as error:
        raise input_error(path, error, ProjectConfig) from error
    _check_heartbeats(config.timeouts, path)
    return config


def _check_heartbeats(timeouts: TimeoutsConfig, path: str) -> None:
    """Not a rule of the model: only what the user wrote is judged, and a model that has travelled has all fields set.

    A short node_secs alone must not trip over a default.
    """
    for total, heartbeat in (("node_secs", "node_heartbeat_secs"), ("hook_secs", "hook_heartbeat_secs")):
        written = heartbeat in timeouts.model_fields_set
        if written and getattr(timeouts, heartbeat) >= getattr(timeouts, total):
            raise configuration_error(
                f"invalid {path}: `timeouts`: {heartbeat} can never fire: it must be shorter than {total}"
            )
