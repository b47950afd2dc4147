"""An engine around the engine: secrets go in at the last moment, and do not come out.

It is the one boundary for both. Everything that a run's dbt says passes here before it becomes a failure, a log line, a
result in history or an artifact, and the resolved values exist on its inner side only.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dbt_temporal.application.log_context import log_redactor
from dbt_temporal.application.ports.engine import (
    CompletedNode,
    DbtEngine,
    EnginePlan,
    LoadedProject,
    NodeOutcome,
    Progress,
    ProjectLocation,
)
from dbt_temporal.application.ports.secrets import SecretResolver
from dbt_temporal.application.secrets.revealing import reveal
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.run.invocation import DbtInvocation
from dbt_temporal.domain.secrets.redaction import Redactor, secret_values


class SecretKeepingEngine:
    """A `DbtEngine` that resolves references for another one and redacts what that one answers.

    Every method raises what the inner engine's does, redacted, and Configuration errors where a reference of `env` has
    no value on this worker.
    """

    def __init__(self, engine: DbtEngine, resolver: SecretResolver, worker_env: Mapping[str, str]) -> None:
        self._engine = engine
        self._resolver = resolver
        self._worker_env = worker_env

    async def load_project(self, location: ProjectLocation) -> LoadedProject:
        """See `DbtEngine.load_project`."""
        with _redacted_errors(Redactor(secret_values({}, worker_env=self._worker_env))):
            return await self._engine.load_project(location)

    async def plan(self, location: ProjectLocation, invocation: DbtInvocation) -> EnginePlan:
        """See `DbtEngine.plan`."""
        revealed, redactor = await self._reveal(invocation)
        with _redacted_errors(redactor):
            return await self._engine.plan(location, revealed)

    async def before_run(
        self, location: ProjectLocation, invocation: DbtInvocation, progress: Progress
    ) -> list[NodeOutcome]:
        """See `DbtEngine.before_run`."""
        revealed, redactor = await self._reveal(invocation)
        with _redacted_errors(redactor):
            return _outcomes(await self._engine.before_run(location, revealed, progress), redactor)

    async def execute_node(
        self, location: ProjectLocation, invocation: DbtInvocation, unique_id: str, progress: Progress
    ) -> NodeOutcome:
        """See `DbtEngine.execute_node`."""
        revealed, redactor = await self._reveal(invocation)
        with _redacted_errors(redactor):
            return _outcome(await self._engine.execute_node(location, revealed, unique_id, progress), redactor)

    async def end_session(self, location: ProjectLocation, invocation: DbtInvocation, facts: Mapping[str, Any]) -> None:
        """See `DbtEngine.end_session`."""
        revealed, redactor = await self._reveal(invocation)
        with _redacted_errors(redactor):
            await self._engine.end_session(location, revealed, facts)

    async def after_run(
        self, location: ProjectLocation, invocation: DbtInvocation, results: list[CompletedNode], progress: Progress
    ) -> list[NodeOutcome]:
        """See `DbtEngine.after_run`."""
        revealed, redactor = await self._reveal(invocation)
        with _redacted_errors(redactor):
            return _outcomes(await self._engine.after_run(location, revealed, results, progress), redactor)

    async def artifacts(
        self,
        location: ProjectLocation,
        invocation: DbtInvocation,
        results: list[CompletedNode],
        elapsed_time: float,
        *,
        with_catalog: bool = False,
    ) -> Mapping[str, bytes]:
        """See `DbtEngine.artifacts`."""
        revealed, redactor = await self._reveal(invocation)
        with _redacted_errors(redactor):
            documents = await self._engine.artifacts(
                location, revealed, results, elapsed_time, with_catalog=with_catalog
            )
            # A large project's manifest takes a while to read through; other runs go on meanwhile.
            return await asyncio.to_thread(
                lambda: {name: redactor.document(content) for name, content in documents.items()}
            )

    async def ping(self) -> None:
        """See `DbtEngine.ping`."""
        await self._engine.ping()

    async def end_run(self, invocation: DbtInvocation) -> None:
        """See `DbtEngine.end_run`. Ending a run takes no secrets, so it works where one is missing."""
        await self._engine.end_run(invocation)

    async def close(self) -> None:
        """See `DbtEngine.close`."""
        await self._engine.close()

    async def _reveal(self, invocation: DbtInvocation) -> tuple[DbtInvocation, Redactor]:
        return await reveal(invocation, self._resolver, self._worker_env)


def _outcomes(outcomes: list[NodeOutcome], redactor: Redactor) -> list[NodeOutcome]:
    return [_outcome(outcome, redactor) for outcome in outcomes]


def _outcome(outcome: NodeOutcome, redactor: Redactor) -> NodeOutcome:
    return replace(
        outcome,
        result=redactor.result(outcome.result),
        record=redactor.document(outcome.record),
        log=redactor.text(outcome.log),
    )


@contextmanager
def _redacted_errors(redactor: Redactor) -> Iterator[None]:
    """Raises errors without secrets, and without the chain of causes, which would travel with its own messages.

    Log lines that are written meanwhile show no secrets either.
    """
    try:
        with log_redactor(redactor):
            yield
    except DbtTemporalError as error:
        raise DbtTemporalError(
            error.error_type,
            redactor.text(error.message),
            retryable=error.retryable,
            result=None if error.result is None else redactor.result(error.result),
        ) from None
    except Exception as error:
        chain = "".join(traceback.format_exception(error))
        if redactor.text(chain) == chain:
            raise
        message = redactor.text(f"unexpected error: {type(error).__name__}: {error}")
        raise DbtTemporalError(ErrorType.ENGINE_CRASHED, message) from None
