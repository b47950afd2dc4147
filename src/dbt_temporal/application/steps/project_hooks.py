"""What dbt does before the first node and after the last one: on-run-start and on-run-end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from dbt_temporal.application.fitting import fit_result, fit_said
from dbt_temporal.application.lineage.telling import LineageTelling
from dbt_temporal.application.lost_attempts import outcome_of_lost
from dbt_temporal.application.ports.artifact_store import ArtifactStore
from dbt_temporal.application.ports.engine import CompletedNode, EngineRun, NodeOutcome, Prepared, Progress, no_progress
from dbt_temporal.application.ports.runtime import Budget
from dbt_temporal.application.steps.engine_runs import EngineRuns, within_limit
from dbt_temporal.application.steps.messages import (
    AfterRunInput,
    BeforeRunInput,
    Keeper,
    ProjectHooksInput,
    ProjectHooksOutput,
    ResumeRunInput,
)
from dbt_temporal.application.stored.kept_state import KeptState
from dbt_temporal.application.stored.late_writes import LateWrites
from dbt_temporal.application.stored.run_files import RunFiles, completed_nodes
from dbt_temporal.domain.log.said import plain

Found = TypeVar("Found")

_UNKNOWN = (
    "{what}: nobody has heard how attempt {attempt} ended, and it may have had its effect: it is not run again, as "
    "that could have it twice (`retry.project_hooks`). Look at what is there, and start the run again then"
)


@dataclass(frozen=True)
class OwnQueue:
    """The task queue of which a worker alone takes steps.

    Attributes:
        name: the queue's.
        takes_handed_on: whether the worker is handed steps past the queue that all share.
    """

    name: str
    takes_handed_on: bool = True


class _ProjectHooks:
    def __init__(
        self,
        runs: EngineRuns,
        store: ArtifactStore,
        budget: Budget,
        late: LateWrites,
        state: KeptState,
        own_queue: OwnQueue | None = None,
        lineage: LineageTelling | None = None,
    ) -> None:
        self._runs = runs
        self._store = store
        self._budget = budget
        self._late = late
        self._state = state
        self._own_queue = own_queue
        self._lineage = lineage or LineageTelling()

    def _files(self, request: ProjectHooksInput) -> RunFiles | None:
        invocation_id = request.invocation.invocation_id
        return RunFiles(self._store, invocation_id, self._late) if request.write_artifacts else None

    async def _keep(self, request: ProjectHooksInput, outcomes: list[NodeOutcome]) -> ProjectHooksOutput:
        files = self._files(request)
        if files is not None:
            for outcome in outcomes:
                await files.keep(outcome, request.attempt)
        marks = request.invocation.takes_marks
        results = [fit_result(outcome.result, self._budget, marks=marks) for outcome in outcomes]
        return ProjectHooksOutput(
            results=[result.model_copy(update={"attempts": request.attempt}) for result in results],
            retryable=_retryable(outcomes),
        )

    def _keeper(self, prepared: Prepared) -> Keeper | None:
        if self._own_queue is None:
            return None
        return Keeper(
            task_queue=self._own_queue.name,
            name=prepared.worker,
            mark=prepared.mark,
            takes_handed_on=self._own_queue.takes_handed_on,
        )


class BeforeRun(_ProjectHooks):
    """The use case behind `before_run`."""

    async def __call__(self, request: BeforeRunInput, progress: Progress = no_progress) -> ProjectHooksOutput:
        """Sets the run up and runs on-run-start. A failed hook is a result, not an exception.

        Raises:
            DbtTemporalError: the run could not be set up, or took too long.
        """
        self._lineage.run_began(request.invocation)
        run = await self._runs.open(request.invocation)
        prepared = await within_limit(
            request, "before_run", lambda _: _prepared(run, request, progress), retryable=request.repeatable
        )
        await self._state.keep(request.invocation.invocation_id, prepared.state)
        output = await self._keep(request, prepared.hooks)
        messages = fit_said("\n".join(prepared.messages))
        return output.model_copy(
            update={
                "nodes_may_run": prepared.nodes_may_run,
                "messages": (messages if request.invocation.takes_marks else plain(messages)).splitlines(),
                "database": prepared.database,
                "keeps_state": prepared.keeps_state,
                "keeps_worker": prepared.keeps_worker,
                "may_have_run": prepared.may_have_run,
                "state_begun": prepared.state is not None,
                "worker": self._keeper(prepared),
            }
        )


class ResumeRun(_ProjectHooks):
    """The use case behind `resume_run`."""

    async def __call__(self, request: ResumeRunInput, progress: Progress = no_progress) -> ProjectHooksOutput:
        """Sets a process up that goes on with the run. Repeating it changes nothing.

        Raises:
            DbtTemporalError: the run could not be set up, took too long, or cannot go on elsewhere.
        """
        run = await self._runs.open(request.invocation)
        await self._state.use_in(run, request.invocation, request.without)
        prepared = await within_limit(
            request, "resume_run", lambda _: run.resume(progress, request.ended, request.lost)
        )
        await self._state.keep(request.invocation.invocation_id, prepared.state)
        return ProjectHooksOutput(
            database=prepared.database, knows_all=prepared.knows_all, worker=self._keeper(prepared)
        )


class AfterRun(_ProjectHooks):
    """The use case behind `after_run`."""

    async def __call__(self, request: AfterRunInput, progress: Progress = no_progress) -> ProjectHooksOutput:
        """Runs on-run-end, which sees the results. A failed hook is a result, not an exception.

        Raises:
            DbtTemporalError: the hooks could not be run, or took too long.
        """
        run = await self._runs.open(request.invocation)
        await self._state.use_in(run, request.invocation)
        files = self._files(request)
        if files is not None:
            completed = await files.with_records(
                request.results, request.unrecorded, request.behind, request.behind_if_failed
            )
        else:
            completed = completed_nodes(request.results, {}, request.behind, request.behind_if_failed)
        outcomes = await within_limit(
            request, "on-run-end", lambda _: _ended(run, request, completed, progress), retryable=request.repeatable
        )
        return await self._keep(request, outcomes)


async def _prepared(run: EngineRun, request: BeforeRunInput, progress: Progress) -> Prepared:
    known = await _known("on-run-start", request, run.outcome_of_before_run, lambda prepared: prepared.hooks)
    if known is not None:
        return known
    if request.lost is None:
        return await run.before_run(progress, request.attempt)
    return await run.before_run(progress, request.attempt, request.lost)


async def _ended(
    run: EngineRun, request: AfterRunInput, completed: list[CompletedNode], progress: Progress
) -> list[NodeOutcome]:
    known = await _known("on-run-end", request, run.outcome_of_after_run, lambda outcomes: outcomes)
    return await run.after_run(completed, progress, request.attempt) if known is None else known


async def _known(
    what: str,
    request: ProjectHooksInput,
    find: Callable[[int], Awaitable[Found | None]],
    hooks: Callable[[Found], list[NodeOutcome]],
) -> Found | None:
    """What an attempt has come to of which nobody has heard.

    Where it failed, so have the hooks; but where they may be repeated, and that may help, they are.
    """
    refusal = None if request.repeatable else _UNKNOWN

    def takes(_attempt: int, found: Found) -> bool:
        return not (request.repeatable and _retryable(hooks(found)))

    return await outcome_of_lost(what, request.unheard, find, takes=takes, refusal=refusal)


def _retryable(outcomes: list[NodeOutcome]) -> bool:
    return any(outcome.error is not None and outcome.error.retryable for outcome in outcomes)
