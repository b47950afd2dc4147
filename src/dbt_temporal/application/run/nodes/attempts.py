"""The attempts at the nodes of a run, each a step of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import BaseModel, Field

from dbt_temporal.application.ports.runtime import Step, StepFailedError
from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.nodes.batches import BatchProgress, BatchSteps
from dbt_temporal.application.run.nodes.breaker import Breaker
from dbt_temporal.application.run.nodes.waits import HandedOnError, Waits
from dbt_temporal.application.run.retries import Lost, RetryRule, Tries, attempt_summary, with_retries
from dbt_temporal.application.steps.messages import ExecuteNodeInput
from dbt_temporal.application.steps.table import EXECUTE_NODE, statement_limits
from dbt_temporal.domain.batches import Batches, BatchPart, EndedBatch, step_name
from dbt_temporal.domain.limits import fit_name
from dbt_temporal.domain.node_names import activity_ids
from dbt_temporal.domain.project_config import RetryConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.plan import NodeInfo, NodeOverrides
from dbt_temporal.domain.run.state import first_line
from dbt_temporal.domain.times import NodeTimes

MAX_MADE_CHARS = 150

_NOT_WELL = frozenset({"error", "skipped", "cancelled"})


class AttemptsProgress(BaseModel):
    """Where the attempts at nodes stand.

    Attributes:
        made: by unique_id, how many were made.
        first: by unique_id, the number of the first one since the node was opened again.
        tries: of nodes that run, by the names of their steps.
        batches: of microbatch models that run, by unique_id.
        ephemerals: of nodes that run, by unique_id: the ephemeral models that are compiled before them.
        times: of nodes that run, by unique_id: when their attempts began and ended.
    """

    made: dict[str, int] = Field(default_factory=dict)
    first: dict[str, int] = Field(default_factory=dict)
    tries: dict[str, Tries] = Field(default_factory=dict)
    batches: dict[str, BatchProgress] = Field(default_factory=dict)
    ephemerals: dict[str, list[str]] = Field(default_factory=dict)
    times: dict[str, NodeTimes] = Field(default_factory=dict)


class NodeAttempts:
    """Makes them, as often as the project's retries say.

    Args:
        context: the run.
        breaker: is asked before an attempt that got no connection counts.
        waits: holds or shortens the time between attempts.
        room: how many more batches may run beside what runs now.
        occupy: hears how many threads the batches of a model have more, or fewer, than the model's own.
        batch_ended: is called then.
    """

    def __init__(
        self,
        context: RunContext,
        breaker: Breaker,
        waits: Waits,
        room: Callable[[], int],
        occupy: Callable[[int], None],
        batch_ended: Callable[[], None],
    ) -> None:
        self._context = context
        self._live = context.live
        self._breaker = breaker
        self._waits = waits
        self._room = room
        self._occupy = occupy
        self._batch_ended = batch_ended
        self.progress = AttemptsProgress()
        self._zero = datetime.fromisoformat(context.planned.invocation.started_at)
        self.plan_changed()

    def plan_changed(self) -> None:
        """The run has a plan, or another one."""
        planned = self._context.planned
        self._activity_ids = activity_ids(planned.plan.nodes.values()) if planned.named_activities else {}

    def made(self, unique_id: str) -> int:
        """How many attempts were made at a node."""
        return self.progress.made.get(unique_id, 1)

    def timed(self, result: NodeExecutionResult) -> NodeExecutionResult:
        """The result of a node that has just ended with its times, where the run takes note of them."""
        times = self.progress.times.pop(result.unique_id, None)
        if times is None:
            return result
        times.ended = self._seconds(self._context.runtime.now())
        return result.model_copy(update={"times": times})

    def begin_again(self, unique_id: str) -> None:
        """A node that has ended runs again: its attempts are numbered on, so that none has the number of another."""
        if unique_id in self.progress.made:
            self.progress.first[unique_id] = self.progress.made[unique_id] + 1

    async def run(self, node: NodeInfo, ephemerals: list[str]) -> NodeExecutionResult:
        """The result of a node, with the ephemeral models that are compiled before it.

        Raises:
            StepFailedError: that of the last attempt.
            HandedOnError: it goes on in another execution, by `go_on` there.
        """
        if ephemerals:
            self.progress.ephemerals[node.unique_id] = ephemerals
        if self._context.planned.write_report:
            self.progress.times[node.unique_id] = NodeTimes(started=self._seconds(self._context.runtime.now()))
        return await self.go_on(node)

    async def go_on(self, node: NodeInfo) -> NodeExecutionResult:
        """The result of a node that may have been handed on by an execution before. Raises as `run`."""
        with _until_ended(self.progress.ephemerals, node.unique_id):
            return await self._run_whole(node, self.progress.ephemerals.get(node.unique_id, []))

    async def _run_whole(self, node: NodeInfo, ephemerals: list[str]) -> NodeExecutionResult:
        if not node.batched:
            return await self._run_step(node, ephemerals, None)

        async def run_part(part: BatchPart) -> NodeExecutionResult:
            return await self._run_step(node, ephemerals if part.stage == "begin" else [], part)

        def note(batches: Batches, ended: EndedBatch, messages: str | None) -> None:
            self._live.log.batch_ended(node, batches, ended, messages)
            self._live.changed()
            self._batch_ended()

        progress = self.progress.batches.setdefault(node.unique_id, BatchProgress())
        batches = BatchSteps(
            progress,
            run_part,
            self._room,
            self._occupy,
            note,
            self._context.runtime.has_room,
            lambda: self._waits.handing_on,
        )
        with _until_ended(self.progress.batches, node.unique_id):
            return await batches.run()

    async def _run_step(self, node: NodeInfo, ephemerals: list[str], part: BatchPart | None) -> NodeExecutionResult:
        rule = retry_rule(self._context.config.retry, node.overrides)
        runtime = self._context.runtime
        began = runtime.now()
        failed: StepFailedError | None = None

        async def attempt(number: int, lost: Lost) -> NodeExecutionResult:
            nonlocal began, failed
            began, failed = runtime.now(), None
            step = self._step(node, ephemerals, part, number, lost)
            try:
                with self._timing(node.unique_id, number):
                    return await self._context.keeping.run_step(step, self._elsewhere)
            except StepFailedError as failure:
                failed = failure
                raise

        def retried(number: int, reason: str) -> None:
            self._live.log.retried(node, number, rule.max_attempts, reason, _messages_of(failed))
            next_at = runtime.now() + timedelta(seconds=rule.pause_after(number))
            self._live.state.node_retried(node.unique_id, number + 1, rule.max_attempts, reason, next_at)
            self._live.changed()

        def wait_out(failure: StepFailedError) -> float | None:
            if not runtime.has_room():
                return None
            if failure.reset:
                self._live.log.add(f"{node.activity_type} was reset: it begins again")
                self._live.changed()
                return 0.0
            return self._breaker.wait_out(failure, began)

        name = step_name(node.unique_id, part)
        tries = self.progress.tries.setdefault(name, self._first_try(node))
        with _until_ended(self.progress.tries, name):
            result = await with_retries(
                runtime,
                rule,
                attempt,
                on_retry=retried,
                may_retry=lambda failure: failure.retryable and runtime.has_room(),
                wait_out=wait_out,
                look=None if self._context.planned.unrepeatable is None else partial(self._look, node, part),
                tries=tries,
                wait=partial(self._waits.wait, node.unique_id),
                what=_summary(node, part),
            )
        self._breaker.answered(began)
        return result

    def _first_try(self, node: NodeInfo) -> Tries:
        first = self.progress.first.get(node.unique_id, 1)
        if self._context.may_have_run and node.unique_id not in self.progress.made:  # the engine ran ahead, and is lost
            return Tries(number=first + 1, lost=[first])
        return Tries(number=first)

    @contextmanager
    def _timing(self, unique_id: str, number: int) -> Iterator[None]:
        times = self.progress.times.get(unique_id)
        if times is None:
            yield
            return
        began = self._seconds(self._context.runtime.now())
        if number > self.progress.first.get(unique_id, 1):
            times.last = began
        try:
            yield
        except StepFailedError as failure:
            reason = f"{failure.error_type}: {first_line(failure.message)}"
            times.attempt_failed(began, self._seconds(self._context.runtime.now()), reason)
            raise

    def _seconds(self, time: datetime) -> float:
        return round((time - self._zero).total_seconds(), 3)

    async def _look(
        self, node: NodeInfo, part: BatchPart | None, attempt: int, lost: Lost
    ) -> NodeExecutionResult | None:
        """Finds out how a node's last attempt ended of which nobody has heard; None where nothing is known of it.

        Raises:
            StepFailedError: the attempt had failed.
        """
        step = self._step(node, [], part, attempt, lost)
        assert isinstance(step.argument, ExecuteNodeInput)
        summary = f"{_summary(node, part)} (how attempt {attempt} ended)"
        argument = step.argument.model_copy(update={"again": False})
        try:
            return await self._context.keeping.run_step(replace(step, argument=argument, summary=summary))
        except StepFailedError as failure:
            if failure.unheard:
                return None
            raise

    def _step(
        self, node: NodeInfo, ephemerals: list[str], part: BatchPart | None, attempt: int, lost: Lost
    ) -> Step[NodeExecutionResult]:
        self.progress.made[node.unique_id] = max(attempt, self.made(node.unique_id))
        config = self._context.config
        overrides = node.overrides or NodeOverrides()
        timeout = overrides.timeout_secs or config.timeouts.node_secs
        return Step(
            kind=EXECUTE_NODE,
            argument=ExecuteNodeInput(
                invocation=self._context.invocation,
                unique_id=node.unique_id,
                ephemerals=ephemerals,
                part=part,
                timeout_secs=timeout,
                from_begin=self._context.planned.runs_ahead,
                attempt=attempt,
                non_retryable_errors=config.retry.non_retryable_errors,
                write_artifacts=self._context.plan.write_artifacts,
                unheard=list(lost.attempts),
                told=list(lost.told),
                again=self._context.runs_again(node),
                behind_failure=self._is_behind_failure(node),
            ),
            limits=statement_limits(
                timeout, config.timeouts.node_heartbeat_secs, from_begin=self._context.planned.runs_ahead
            ),
            label=node.activity_type,
            activity_id=self._activity_id(node, part),
            summary=attempt_summary(
                _summary(node, part), attempt, retry_rule(config.retry, overrides).max_attempts, _makes(node)
            ),
            task_queue=overrides.task_queue,
            priority=self._context.priority(node.priority),
        )

    def _is_behind_failure(self, node: NodeInfo) -> bool:
        """Whether an engine that runs ahead is to begin nothing anew for a node that it has no word of: where what is
        above the node was lost, or took too long, the run alone knows that it has failed."""
        statuses = self._context.live.state.statuses
        return self._context.planned.runs_ahead and any(statuses[each] in _NOT_WELL for each in node.depends_on)

    def _elsewhere(self, step: Step[NodeExecutionResult]) -> Step[NodeExecutionResult]:
        """A step that the lost worker has not taken: an engine that runs ahead may have done it there all the same."""
        if not self._context.may_have_run:
            return step
        assert isinstance(step.argument, ExecuteNodeInput)
        unheard = [*step.argument.unheard, step.argument.attempt]
        return replace(step, argument=step.argument.model_copy(update={"unheard": unheard}))

    def _activity_id(self, node: NodeInfo, part: BatchPart | None) -> str | None:
        name = self._activity_ids.get(node.unique_id)
        is_batch = part is not None and part.stage == "batch"
        return fit_name(f"{name}/{part.name}") if name is not None and part is not None and is_batch else name


@contextmanager
def _until_ended(progress: dict[str, Any], name: str) -> Iterator[None]:
    """Keeps what is known of a node's progress until it has ended; one that is handed on has not."""
    try:
        yield
    except HandedOnError:
        raise
    except BaseException:
        progress.pop(name, None)
        raise
    progress.pop(name, None)


def _messages_of(failure: StepFailedError | None) -> str | None:
    """What a failed attempt has had dbt say, for the log; its failure tells it no more."""
    if failure is None or failure.result is None:
        return None
    messages, failure.result = failure.result.messages, failure.result.told()
    return messages


def _summary(node: NodeInfo, part: BatchPart | None) -> str:
    if part is None or part.stage != "batch":
        return node.activity_type if part is None else f"{node.activity_type}: {part.stage} of its batches"
    return f"{node.activity_type}: batch {part.index + 1} of {part.count}, {part.name}"


def _makes(node: NodeInfo) -> str | None:
    """Its relation and how it is made, where that fits into a line. By the run contract, a first attempt does not say
    so: its summary is the plain name."""
    if node.relation is None:
        return None
    made = f"{node.materialization} {node.relation}" if node.materialization else node.relation
    return made if len(made) <= MAX_MADE_CHARS else None


def retry_rule(retry: RetryConfig, overrides: NodeOverrides | None = None) -> RetryRule:
    """The project's retry settings with a node's own over them."""
    own = overrides or NodeOverrides()
    return RetryRule(
        max_attempts=own.max_attempts or retry.max_attempts,
        initial_interval_secs=own.initial_interval_secs or retry.initial_interval_secs,
        backoff_coefficient=own.backoff_coefficient or retry.backoff_coefficient,
        max_interval_secs=own.max_interval_secs or retry.max_interval_secs,
    )
