"""Makes one attempt at one node."""

from __future__ import annotations

import re

from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import DbtEngine, NodeOutcome, Progress
from dbt_temporal.application.projects.registry import ProjectRegistry
from dbt_temporal.application.run.fitting import fit_result
from dbt_temporal.application.steps.messages import ExecuteNodeInput
from dbt_temporal.application.steps.run_files import RunFiles
from dbt_temporal.application.steps.time_limit import within_limit
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import NodeExecutionResult


class ExecuteNode:
    """The use case behind every `<resource_type>:<node_name>` activity."""

    def __init__(self, engine: DbtEngine, registry: ProjectRegistry, store: ArtifactStore) -> None:
        self._engine = engine
        self._registry = registry
        self._store = store

    async def __call__(self, request: ExecuteNodeInput, progress: Progress) -> NodeExecutionResult:
        """Runs the node and returns its result.

        Raises:
            DbtTemporalError: the attempt failed: its type, whether it is worth another attempt, and the node's result
                where dbt got as far as one.
        """
        invocation = request.invocation
        location = (await self._registry.resolve(invocation.project, invocation.revision)).loaded.location
        try:
            outcome = await within_limit(
                self._engine,
                location,
                request,
                request.unique_id,
                lambda: self._engine.execute_node(location, invocation, request.unique_id, progress),
            )
        except DbtTemporalError as error:
            error.retryable = error.retryable and not _matches(request.non_retryable_errors, error.message)
            raise
        log_location = None
        if request.write_artifacts:
            log_location = await RunFiles(self._store, invocation.invocation_id).keep(outcome)
        if outcome.error is None:
            return fit_result(outcome.result)
        raise _failure(outcome, request.non_retryable_errors, log_location)


def _failure(outcome: NodeOutcome, non_retryable: list[str], log_location: str | None) -> DbtTemporalError:
    assert outcome.error is not None
    result = fit_result(outcome.result)
    message = result.message or f"{result.unique_id} failed without a message"
    told = f"{message}\n\nLog of this node: {log_location}" if log_location else message
    return DbtTemporalError(
        ErrorType(outcome.error.error_type),
        told,
        retryable=outcome.error.retryable and not _matches(non_retryable, outcome.result.message or ""),
        result=result,
    )


def _matches(patterns: list[str], message: str) -> bool:
    return any(re.search(pattern, message) for pattern in patterns)
