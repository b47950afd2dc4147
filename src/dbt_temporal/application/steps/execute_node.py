"""Makes one attempt at one node."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dbt_temporal.application.fitting import fit_result
from dbt_temporal.application.lineage.telling import Attempt, LineageTelling
from dbt_temporal.application.lost_attempts import outcome_of_lost
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import BEGUN, EngineRun, NodeOutcome, Progress, no_progress
from dbt_temporal.application.ports.runtime import Budget
from dbt_temporal.application.steps.engine_runs import EngineRuns, within_limit
from dbt_temporal.application.steps.messages import ExecuteNodeInput
from dbt_temporal.application.stored.kept_state import KeptState
from dbt_temporal.application.stored.late_writes import LateWrites
from dbt_temporal.application.stored.run_files import RunFiles
from dbt_temporal.domain.errors import DbtTemporalError, ErrorType
from dbt_temporal.domain.results import NodeExecutionResult

_UNKNOWN = (
    "{what}: nobody has heard how attempt {attempt} ended, and it may have written its rows: "
    "the node is not run again, as that could write them twice (`on_lost_attempt`). Look at what is there, and retry "
    "the run then"
)


class ExecuteNode:
    """The use case behind every `<resource_type>:<node_name>` activity."""

    def __init__(
        self,
        runs: EngineRuns,
        store: ArtifactStore,
        budget: Budget,
        late: LateWrites,
        state: KeptState,
        lineage: LineageTelling | None = None,
    ) -> None:
        self._lineage = lineage or LineageTelling()
        self._runs = runs
        self._store = store
        self._budget = budget
        self._late = late
        self._state = state

    async def __call__(self, request: ExecuteNodeInput, progress: Progress = no_progress) -> NodeExecutionResult:
        """Runs the node and returns its result.

        Raises:
            DbtTemporalError: the attempt failed: its type, whether it is worth another attempt, and the node's result
                where dbt got as far as one.
        """
        run = await self._runs.open(request.invocation)
        await self._state.use_in(run, request.invocation)
        attempt = await self._lineage.attempt(
            run,
            request.invocation,
            request.unique_id,
            request.attempt,
            part=request.part,
            unheard=[attempt for attempt in request.unheard if attempt not in request.told],
            waits=request.from_begin,
        )
        try:
            with attempt.told():
                outcome = attempt.outcome = await within_limit(
                    request,
                    request.unique_id,
                    lambda begins: _outcome(run, request, _telling(progress, begins, attempt)),
                )
        except DbtTemporalError as error:
            error.retryable = error.retryable and not _matches(request.non_retryable_errors, error.message)
            raise
        await self._state.keep_of_node(request.invocation, request.unique_id, outcome.state)
        log_location = None
        if request.write_artifacts:
            files = RunFiles(self._store, request.invocation.invocation_id, self._late)
            log_location = await files.keep(outcome, request.attempt, _part_of_name(request))
        result = fit_result(outcome.result, self._budget, marks=request.invocation.takes_marks)
        result = result.model_copy(update={"attempts": request.attempt})
        if outcome.error is None:
            return result
        raise _failure(outcome, result, request.non_retryable_errors, log_location)


def _telling(progress: Progress, begins: Callable[[bool], None], attempt: Attempt) -> Progress:
    def told(facts: Mapping[str, Any]) -> None:
        if BEGUN in facts:
            begins(facts[BEGUN])
            if facts[BEGUN]:
                attempt.begins()
        progress(facts)

    return told


async def _outcome(run: EngineRun, request: ExecuteNodeInput, progress: Progress) -> NodeOutcome:
    """That of an attempt of which nobody has heard, where it came to its end; else that of this one.

    An attempt that is made once more under its own number was heard of where it failed: that is why it is made again.
    """
    known = await outcome_of_lost(
        request.unique_id,
        request.unheard,
        lambda attempt: run.outcome_of(request.unique_id, attempt, request.part),
        takes=lambda attempt, outcome: attempt != request.attempt or outcome.error is None,
        refusal=None if request.again else _UNKNOWN,
    )
    if known is not None:
        return known
    return await run.execute_node(
        request.unique_id,
        progress,
        request.ephemerals,
        request.part,
        request.attempt,
        behind_failure=request.behind_failure,
        again=request.again,
    )


def _part_of_name(request: ExecuteNodeInput) -> str:
    """What a batch's log has in its name beside the node's."""
    part = request.part
    return f".{part.name}" if part is not None and part.stage == "batch" else ""


def _failure(
    outcome: NodeOutcome, result: NodeExecutionResult, non_retryable: list[str], log_location: str | None
) -> DbtTemporalError:
    assert outcome.error is not None
    message = result.message or f"{result.unique_id} failed without a message"
    return DbtTemporalError(
        ErrorType(outcome.error.error_type),
        f"{message}\n\nLog of this node: {log_location}" if log_location else message,
        retryable=outcome.error.retryable and not _matches(non_retryable, outcome.result.message or ""),
        result=result,
        unreachable=outcome.error.unreachable,
    )


def _matches(patterns: list[str], message: str) -> bool:
    return any(re.search(pattern, message) for pattern in patterns)
