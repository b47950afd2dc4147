"""One dbt invocation: all that a worker needs to know to take part in a run."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_serializer

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


class DbtInvocation(BaseModel):
    """Identity and settings of a run. Every activity carries it, because any worker may get the activity.

    Attributes:
        invocation_id: the id that dbt reports in artifacts and Jinja.
        project: the resolved project name.
        revision: the revision of the project that was planned, or null where the source has none.
        started_at: RFC 3339; Jinja's `run_started_at` on every host of the run.
        input: the run's input, with what pre_run hooks added to `env`.
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
    """

    model_config = ConfigDict(frozen=True)

    invocation_id: str
    project: str
    revision: str | None = None
    started_at: str
    input: DbtRunInput
    taken_over: tuple[str, ...] = ()
    database: HeldDatabase | None = None
    keeps_state: bool = False
    state_begun: bool = False
    job: dict[str, str] = Field(default_factory=dict)
    silence_secs: float | None = None
    owner: str = ""
    execution: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether an execution before this one may have run nodes already."""
        return self.execution not in ("", self.invocation_id)

    @field_serializer("input")
    def _without_defaults(self, run_input: DbtRunInput) -> dict[str, Any]:
        """Only what differs from the defaults: history holds it once for each node."""
        return run_input.model_dump(mode="json", exclude_defaults=True)


def is_invocation_id(text: str) -> bool:
    """Whether this is the id of an invocation: a UUID as dbt and Temporal write it."""
    return _UUID.fullmatch(text) is not None
