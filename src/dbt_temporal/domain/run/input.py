"""The argument of the workflow `dbt_run`, validated whole before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from dbt_temporal.domain.dates.logical_dates import INTERVAL_FORM, in_utc, read_interval
from dbt_temporal.domain.dates.templates import has_placeholder
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.hooks import HooksConfig
from dbt_temporal.domain.run.commands import Command, misplaced
from dbt_temporal.domain.run.flags import REFUSED, DbtFlags
from dbt_temporal.domain.secrets.redaction import MASK
from dbt_temporal.domain.secrets.references import EnvValue
from dbt_temporal.domain.validation import input_error, not_json

IndirectSelection = Literal["eager", "cautious", "buildable", "empty"]

_DEFAULTS: dict[str, Any] = {"indirect_selection": "eager", "full_refresh": False, "fail_fast": False}


class DbtRunInput(DbtFlags):
    """What one run is asked to do. Every field is optional; names and defaults are those of the run contract.

    The text of an error carries no values: it becomes part of failures, and `env` may hold secrets.
    """

    project: str | None = None
    command: Command = "build"
    select: str | None = None
    exclude: str | None = None
    selector: str | None = None
    indirect_selection: IndirectSelection | None = None
    vars: dict[str, Any] = Field(default_factory=dict)
    target: str | None = None
    full_refresh: bool | None = None
    fail_fast: bool | None = None
    hooks: HooksConfig | None = None
    env: dict[str, EnvValue] = Field(default_factory=dict)
    """Texts, and references to secrets (`dbt_temporal.domain.secrets.references`), which only a worker resolves."""
    defer_manifest_ref: str | None = None
    state_manifest_ref: str | None = None
    sources_ref: str | None = None
    retry_from: str | None = None
    macro: str | None = None
    args: dict[str, Any] | None = None
    sql: str | None = None
    inline: str | None = None
    limit: int | None = None
    output: str | None = None
    output_keys: list[str] | None = None
    compile: bool | None = None
    static: bool | None = None
    empty_catalog: bool | None = None
    connection: bool | None = None
    event_time_start: str | None = None
    event_time_end: str | None = None
    scheduled_time: str | None = None
    """What the run is for, in place of what a schedule says, or of the run's start."""
    data_interval: str | None = None
    """How long the interval of data is that ends then, in place of the schedule's last time before."""
    on_failure: Literal["fail", "hold"] | None = None
    """Whether a run of which nodes have failed is kept open, so that operators can have them run again."""

    @field_validator("vars", "args", mode="before")
    @classmethod
    def _is_json(cls, value: Any, info: ValidationInfo) -> Any:
        problem = not_json(value, str(info.field_name))
        if problem is not None:
            raise ValueError(problem)
        return value

    @field_validator("event_time_start", "event_time_end")
    @classmethod
    def _is_rfc_3339(cls, value: str | None) -> str | None:
        if value is not None and not has_placeholder(value):  # those are looked at where they are filled
            datetime.fromisoformat(value)
        return value

    @field_validator("scheduled_time")
    @classmethod
    def _is_instant(cls, value: str | None) -> str | None:
        if value is not None:
            in_utc(value)
        return value

    @field_validator("data_interval")
    @classmethod
    def _is_interval(cls, value: str | None) -> str | None:
        if value is not None and read_interval(value) is None:
            raise ValueError(f"must be {INTERVAL_FORM}")
        return value

    @model_validator(mode="after")
    def _has_no_contradiction(self) -> DbtRunInput:
        if self.selector is not None and (self.select is not None or self.exclude is not None):
            # dbt itself ignores --select and --exclude beside --selector; a run that does less than asked is worse.
            raise ValueError("selector: give either selector, or select and exclude, not both")
        problem = misplaced(self.command, (name for name in self.model_fields_set if getattr(self, name) is not None))
        if problem is not None:
            raise ValueError(problem)
        if self.command == "run-operation" and (self.macro is None) == (self.sql is None):
            raise ValueError("macro: the command 'run-operation' needs a macro, or `sql`, and not both")
        if self.inline is not None and (self.select is not None or self.selector is not None):
            raise ValueError("inline: give either inline, or select or selector, not both")
        if (self.event_time_start is None) != (self.event_time_end is None):
            raise ValueError("event_time_start: give event_time_start and event_time_end together")
        times = (self.event_time_start, self.event_time_end)
        if self.event_time_start and self.event_time_end and not any(has_placeholder(time or "") for time in times):
            start, end = (datetime.fromisoformat(v) for v in (self.event_time_start, self.event_time_end))
            if (start.tzinfo is None) != (end.tzinfo is None):
                raise ValueError("event_time_start: give both event times with a time zone, or both without")
            if start >= end:
                raise ValueError("event_time_start: must be before event_time_end")
        return self


def parse_run_input(raw: object) -> DbtRunInput:
    """Reads the workflow's argument.

    Raises:
        DbtTemporalError: of type Configuration, naming each field that is wrong and what is allowed.
    """
    if raw is None:
        return DbtRunInput()
    if isinstance(raw, DbtRunInput):
        return raw
    if not isinstance(raw, Mapping):
        raise configuration_error(f"the workflow input must be a JSON object, got {type(raw).__name__}")
    for name in raw:
        problem = not_json(name, str(name))
        if problem is not None:
            raise configuration_error(f"invalid workflow input: {problem}")
    try:
        return DbtRunInput.model_validate(dict(raw))
    except ValidationError as error:
        raise input_error("workflow input", error, DbtRunInput, refused=REFUSED) from error


def mask_env(run_input: DbtRunInput) -> DbtRunInput:
    """The input as others see it: every value of `env` replaced, and flags that were left to dbt with the contract's
    defaults, since hook workflows in other languages have no null for them."""
    left_to_dbt = {name: value for name, value in _DEFAULTS.items() if getattr(run_input, name) is None}
    return run_input.model_copy(update={"env": dict.fromkeys(run_input.env, MASK), **left_to_dbt})
