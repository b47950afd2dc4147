"""One dbt invocation: all that a worker needs to know to take part in a run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_serializer

from dbt_temporal.domain.dates.logical_dates import LogicalDates
from dbt_temporal.domain.run.input import DbtRunInput

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class HeldDatabase(BaseModel):
    """A database that lives in the memory of one process: what a run builds in it is nowhere else.

    Attributes:
        name: where it is configured, for messages: its profile and target.
        worker: the worker that the process belongs to.
        process: which process, as the engine names it; no other one ever has that name.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    worker: str
    process: str


class LostWork(BaseModel):
    """What an engine that runs ahead has to know of work that was lost, where another worker goes on with the run.

    Attributes:
        attempts: at what is to be done again, of which nobody has heard how they ended.
        mark: of the lost worker, as the engine gave it; empty where none is known to be lost.
        earlier: whether nodes may have run on workers that were lost before that one.
        not_again: nodes that have not ended, and that are not to be run again where nobody knows what they did: none of
            them is begun unless it is asked for.
    """

    model_config = ConfigDict(frozen=True)

    attempts: tuple[int, ...] = ()
    mark: str = ""
    earlier: bool = False
    not_again: tuple[str, ...] = ()


MAY_BE_LEFT_OUT = ("select", "exclude", "vars")
"""Fields of the input that may be long: a selection by thousands of names, variables that are a table."""


class LeftOut(BaseModel):
    """What of a run's input is left out of its steps.

    Attributes:
        fields: their names.
        digest: of their values, by which they are known.
    """

    model_config = ConfigDict(frozen=True)

    fields: tuple[str, ...]
    digest: str

    def of(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The fields of an input, if they are those that were left out."""
        found = {field: values.get(field) for field in self.fields}
        return found if _digest(found) == self.digest else None


class DbtInvocation(BaseModel):
    """Identity and settings of a run. Every activity carries it, because any worker may get the activity.

    Attributes:
        invocation_id: the id that dbt reports in artifacts and Jinja.
        project: the resolved project name.
        revision: the revision of the project that was planned, or null where the source has none.
        started_at: RFC 3339; Jinja's `run_started_at` on every host of the run.
        input: the run's input, with what pre_run hooks added to `env`.
        dates: what the run is for, where it is for a time; null for runs of nobody's schedule that hold no dates.
        taken_over: fields of `input` that the retried run gave, where `retry_from` names one.
        database: set from the run's first statement on, where its database is in the memory of one process; no other
            process may run its statements then.
        keeps_state: set from there on, where hooks and nodes leave something in their process for later ones.
        state_begun: whether on-run-start has done so.
        job: variables of the environment that name the run to packages; each worker adds them, and history has none.
        silence_secs: how long a process that does a step may hear nothing of its worker, before it takes the step for
            lost and ends it; None where it waits for ever. As with `job`, it is the worker that says so.
        owner: which workflow the run is of; a run that takes its place has the same, and ends what it has left running.
            Empty where nobody but the run itself has it. Said by the worker too.
        execution: which execution of the workflow does the step: after a reset another one than the invocation's first,
            so that nodes may have been run before. Said by the worker too; empty where there is one alone.
        begun_in: the execution that goes on with the run since it was handed over; empty while it is in its first one.
        was_cut_off: whether an execution was reset before the run was handed over to that one.
        run_hosts: how many processes of a worker may run its nodes, as the project says; None where it does not.
        left_out: what `input` does not have here, and has elsewhere.
        takes_marks: whether the run knows marks of messages (`domain.log.said`), as those of earlier releases do not.
    """

    model_config = ConfigDict(frozen=True)

    invocation_id: str
    project: str
    revision: str | None = None
    started_at: str
    input: DbtRunInput
    dates: LogicalDates | None = None
    taken_over: tuple[str, ...] = ()
    database: HeldDatabase | None = None
    keeps_state: bool = False
    state_begun: bool = False
    job: dict[str, str] = Field(default_factory=dict)
    silence_secs: float | None = None
    owner: str = ""
    execution: str = ""
    begun_in: str = ""
    was_cut_off: bool = False
    run_hosts: int | None = None
    left_out: LeftOut | None = None
    takes_marks: bool = False

    def shortened(self, max_chars: int) -> DbtInvocation:
        """The invocation with as much of its input as fits, where what makes it too long may be left out."""
        values = self.input.model_dump(mode="json", exclude_defaults=True)
        sizes = {field: len(json.dumps(values[field])) for field in MAY_BE_LEFT_OUT if field in values}
        if len(json.dumps(values)) <= max_chars or max(sizes.values(), default=0) <= max_chars // 2:
            return self
        fields = tuple(field for field, size in sizes.items() if size > max_chars // len(MAY_BE_LEFT_OUT))
        left = {field: values[field] for field in fields}
        defaults = {field: type(self.input)().model_dump()[field] for field in fields}
        run_input = self.input.model_copy(update=defaults)
        return self.model_copy(update={"input": run_input, "left_out": LeftOut(fields=fields, digest=_digest(left))})

    def completed(self, values: Mapping[str, Any]) -> DbtInvocation:
        """The invocation with what was left out of its input."""
        run_input = self.input.model_copy(update=dict(values))
        return self.model_copy(update={"input": run_input, "left_out": None})

    @property
    def what_was_taken_over(self) -> dict[str, Any]:
        """The fields that the retried run gave, and their values."""
        return {name: getattr(self.input, name) for name in self.taken_over}

    @property
    def goes_on(self) -> bool:
        """Whether an execution before this one may have run nodes of which the run knows nothing."""
        return self.was_cut_off or self.is_reset

    @property
    def is_reset(self) -> bool:
        """Whether the execution itself was reset: what it asks for is done anew, and not gone on with."""
        return self.execution not in ("", self.begun_in or self.invocation_id)

    @field_serializer("input")
    def _without_defaults(self, run_input: DbtRunInput) -> dict[str, Any]:
        """Only what differs from the defaults: history holds it once for each node."""
        return run_input.model_dump(mode="json", exclude_defaults=True)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def is_invocation_id(text: str) -> bool:
    """Whether this is the id of an invocation: a UUID as dbt and Temporal write it."""
    return _UUID.fullmatch(text) is not None
