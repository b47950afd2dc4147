"""An engine around the engine: secrets go in at the last moment, and do not come out.

It is the one boundary for both. References are resolved when a run is opened, and only the inner run knows their
values. Everything that it says passes here before it becomes a failure, a log line, a result in history or an artifact.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from dbt_temporal.application.log_context import log_redactor
from dbt_temporal.application.ports.engine import (
    DbtEngine,
    EnginePlan,
    EngineRun,
    LoadedProject,
    NodeOutcome,
    Prepared,
    ProjectLocation,
    StatePart,
)
from dbt_temporal.application.ports.secrets import SecretResolver
from dbt_temporal.application.secrets.revealing import reveal
from dbt_temporal.application.stored.sql_archive import is_sql
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType, is_transient
from dbt_temporal.domain.leases.messages import Lease
from dbt_temporal.domain.lineage.model import LineageGraph
from dbt_temporal.domain.report.model import RunGraph
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.secrets.redaction import Redactor, secret_values

_CODE = "manifest.json"
"""The artifact without messages: all of it is code and names, which stay as dbt wrote them."""


class SecretKeepingEngine:
    """A `DbtEngine` that resolves references for another one and redacts what that one answers."""

    def __init__(self, engine: DbtEngine, resolver: SecretResolver, worker_env: Mapping[str, str]) -> None:
        self._engine = engine
        self._resolver = resolver
        self._worker_env = worker_env

    async def prepare(self) -> None:
        await self._engine.prepare()

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        with _redacted_errors(Redactor(secret_values({}, worker_env=self._worker_env))):
            return await self._engine.load_project(location)

    async def open(self, location: ProjectLocation, invocation: DbtInvocation) -> EngineRun:
        """See `DbtEngine.open`.

        Raises:
            DbtTemporalError: also of type Configuration, where a reference of `env` has no value on this worker.
        """
        revealed, redactor = await reveal(invocation, self._resolver, self._worker_env)
        with _redacted_errors(redactor):
            run = await self._engine.open(location, revealed)
        return cast(EngineRun, _SecretKeepingRun(run, redactor))

    async def end_run(self, invocation_id: str) -> None:
        """See `DbtEngine.end_run`. It takes no secrets, so it works where one is missing."""
        await self._engine.end_run(invocation_id)

    async def ping(self) -> None:
        await self._engine.ping()

    async def close(self) -> None:
        await self._engine.close()


class _SecretKeepingRun:
    """An `EngineRun` that hands every call on, whatever it is, and redacts its answer and its error."""

    def __init__(self, run: EngineRun, redactor: Redactor) -> None:
        self._run = run
        self._redactor = redactor

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._run, name)

        async def redacted(*args: Any, **kwargs: Any) -> Any:
            with _redacted_errors(self._redactor):
                return await _redacted(await method(*args, **kwargs), self._redactor)

        return redacted


async def _redacted(answer: Any, redactor: Redactor) -> Any:
    """An answer without secrets. One of a kind that is not known here is a fault: it could carry them out."""
    match answer:
        case None | Lease() | frozenset():  # names
            return answer
        case EnginePlan():
            return replace(answer, messages=[redactor.text(line) for line in answer.messages])
        case RunGraph():
            return replace(answer, code={uid: redactor.code(code) for uid, code in answer.code.items()})
        case LineageGraph():
            return replace(answer, namespace=None if answer.namespace is None else redactor.text(answer.namespace))
        case NodeOutcome():
            return _outcome(answer, redactor)
        case Prepared():
            hooks = [_outcome(hook, redactor) for hook in answer.hooks]
            messages = [redactor.text(line) for line in answer.messages]
            return replace(answer, hooks=hooks, state=_without_secrets(answer.state, redactor), messages=messages)
        case list():
            return [_outcome(outcome, redactor) for outcome in answer]
        case Mapping():
            # Results of a large project take a while to read through; other runs go on meanwhile.
            await asyncio.to_thread(_redact_files, answer, redactor)
            return answer
        case _:
            raise TypeError(f"nobody has said how {type(answer).__name__} is redacted")


def _outcome(outcome: NodeOutcome, redactor: Redactor) -> NodeOutcome:
    return replace(
        outcome,
        result=redactor.result(outcome.result),
        record=redactor.document(outcome.record),
        log=redactor.text(outcome.log),
        state=_without_secrets(outcome.state, redactor),
    )


def _without_secrets(state: StatePart | None, redactor: Redactor) -> StatePart | None:
    """A part of the run's state; an empty one where it holds a secret, as it is of use only whole."""
    if state is None:
        return None
    text = state.content.decode(errors="replace")
    return state if redactor.text(text) == text else replace(state, content=b"")


def _redact_files(files: Mapping[str, Path], redactor: Redactor) -> None:
    if redactor.idle:
        return
    for name, file in files.items():
        if name == _CODE:
            continue
        content = file.read_bytes()
        redacted = redactor.code_file(content) if is_sql(name) else redactor.document(content)
        if redacted is not content:
            file.write_bytes(redacted)


@contextmanager
def _redacted_errors(redactor: Redactor) -> Iterator[None]:
    """Raises errors without secrets, and without the chain of causes, which would travel with its own messages.

    Log lines that are written meanwhile show no secrets either.
    """
    try:
        with log_redactor(redactor):
            yield
    except DbtTemporalError as error:
        result = None if error.result is None else redactor.result(error.result)
        raise error.saying(redactor.text(error.message), result) from None
    except Exception as error:
        chain = "".join(traceback.format_exception(error))
        if redactor.text(chain) == chain:
            raise
        message = redactor.text(f"unexpected error: {type(error).__name__}: {error}")
        raise DbtTemporalError(ErrorType.ENGINE_CRASHED, message, retryable=is_transient(error)) from None
