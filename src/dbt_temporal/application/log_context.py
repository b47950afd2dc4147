"""What every log line of a run carries, and what must not stand in it.

Whoever works for a run says so with `log_fields`; whatever is logged meanwhile, in the same task or in tasks that it
starts, carries the fields. The program's log formatter reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from types import MappingProxyType

from dbt_temporal.domain.secrets.redaction import Redactor

_OF_STEPS = frozenset({"node", "attempt", "span_id"})
_NONE: Mapping[str, str | int] = MappingProxyType({})
_fields: ContextVar[Mapping[str, str | int]] = ContextVar("dbt_temporal_log_fields", default=_NONE)
_redactor: ContextVar[Redactor | None] = ContextVar("dbt_temporal_log_redactor", default=None)


def current_fields() -> Mapping[str, str | int]:
    """The fields of a line that is logged here: workflow_id, invocation_id, project, node, attempt, ..."""
    return _fields.get()


def current_redactor() -> Redactor | None:
    """What hides the run's secrets in a line that is logged here; None where no run goes on."""
    return _redactor.get()


@contextmanager
def log_fields(**fields: str | int | None) -> Iterator[None]:
    """Adds fields to the lines that are logged meanwhile; those that are None are left out."""
    token = _fields.set({**_fields.get(), **{name: value for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _fields.reset(token)


def run_context() -> Context:
    """This context, for what outlives the step that starts it: its lines carry the run's fields only."""
    context = copy_context()
    fields = {name: value for name, value in current_fields().items() if name not in _OF_STEPS}
    context.run(_fields.set, fields)
    return context


@contextmanager
def log_redactor(redactor: Redactor) -> Iterator[None]:
    """Hides secrets in the lines that are logged meanwhile."""
    token = _redactor.set(redactor)
    try:
        yield
    finally:
        _redactor.reset(token)
