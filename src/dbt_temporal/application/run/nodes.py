"""The nodes of a run as steps: started when their parents are done, retried, skipped, cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from dbt_temporal.application.ports.runtime import Step, StepFailedError
from dbt_temporal.application.run.batches import BatchSteps
from dbt_temporal.application.run.breaker import Breaker
from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.retries import Lost, RetryRule, attempt_summary, with_retries
from dbt_temporal.application.shielding import shielded
from dbt_temporal.application.steps.messages import ExecuteNodeInput
from dbt_temporal.application.steps.table import EXECUTE_NODE, statement_limits
from dbt_temporal.domain.batches import Batches, BatchPart, EndedBatch
from dbt_temporal.domain.project_config import RetryConfig
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.plan import NodeInfo, NodeOverrides
from dbt_temporal.domain.run.scheduler import ENDS_EARLY, FAIL_FAST_REASON, Scheduler
from dbt_temporal.domain.run.turns import SkippedNode, Turn

CANCELLED_REASON = "Skipping due to cancellation"
"""Of nodes that had not started when the run was cancelled, after the model of dbt's fail-fast message."""
NO_ROOM_REASON = "Skipping because the history of the workflow is full"


class NodeSteps:
    """Runs the nodes of one plan.

    Each node is a task. Tasks leave a note of their end in a list, in the order in which they end, and wake the loop:
    so the order of events is the runtime's, and the same on every replay.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._live = context.live
        self._scheduler = Scheduler(
            context.plan.nodes,
            ephemerals=context.planned.ephemerals,
            command=context.run_input.command,
            max_running=context.planned.threads,
            fail_fast=context.live.state.fail_fast,
            ends_on_error=bool(context.planned.ends_on_error),
            at_once=context.planned.ends_on_error is None,
            first_come=context.planned.first_come,
        )
        if context.planned.first_come:
            self._live.state.behind = {}
        self._unrepeatable = frozenset(context.planned.unrepeatable or ())
        self._tasks: dict[str, asyncio.Task[NodeExecutionResult]] = {}
        self._attempts: dict[str, int] = {}
        self._ended: list[str] = []
        self._wake = asyncio.Event()
        self._has_room = True
        self.breaker = Breaker(context.runtime, context.config.breaker, context.live, self._pause)

    async def run(self) -> None:
        """Runs all nodes to their ends. Cancelled, it ends every node and then raises CancelledError."""
        try:
            self._follow(self._scheduler.start())
            while not self._scheduler.done:
                await self._wake.wait()
                self._wake.clear()
                self._take_ended()
        except (asyncio.CancelledError, Exception):
            await shielded(self._cancel())
            raise

    def skip_all(self) -> None:
        """Ends all nodes without running them, because on-run-start failed; dbt gives them no message."""
        for skip in self._scheduler.skip_rest("on-run-start failed"):
            self._record_skip(skip, message=None)
        self._live.changed()

    def skip_cancelled(self) -> None:
        self._record_skips(self._scheduler.skip_rest(CANCELLED_REASON))

    def set_fail_fast(self, value: bool) -> None:
        self._record_skips(self._scheduler.set_fail_fast(value))
        self._wake.set()

    def _follow(self, turn: Turn) -> None:
        self._record_skips(turn.skipped)
        for unique_id in turn.start:
            node = self._context.plan.nodes[unique_id]
            self._live.state.node_started(unique_id)
            self._live.log.started(node)
            task = asyncio.create_task(self._run_node(node, turn.ephemerals.get(unique_id, [])))
            self._tasks[unique_id] = task
            task.add_done_callback(partial(self._note_end, unique_id))
        self._live.changed()

    def _note_end(self, unique_id: str, _task: asyncio.Task[NodeExecutionResult]) -> None:
        self._ended.append(unique_id)
        self._wake.set()

    def _take_ended(self) -> None:
        while self._ended:
            unique_id = self._ended.pop(0)
            result = self._record_end(unique_id, self._tasks.pop(unique_id))
            self._follow(self._scheduler.complete(unique_id, result.status, result.dbt_status))
        if self._scheduler.stopped:
            if self._has_room:
                self._cancel_running()
        elif not self._context.runtime.has_room():
            self._start_no_more()

    def _start_no_more(self) -> None:
        """Lets what runs end, and nothing else begin, while the run can still be ended in order."""
        self._has_room = False
        rest = self._scheduler.skip_rest(NO_ROOM_REASON)
        if rest:
            message = f"the workflow's history is full, so {len(rest)} nodes were not run; `retry_from` runs them"
            self._live.state.problem("starting nodes", "HistoryFull", message)
            self._live.log.problem("Starting nodes", message)
            self._record_skips(rest)
        self._live.changed()

    def _record_end(self, unique_id: str, task: asyncio.Task[NodeExecutionResult]) -> NodeExecutionResult:
        """Reads how a node's task ended. An exception that is no step's failure is a fault of ours, and goes on."""
        node = self._context.plan.nodes[unique_id]
        if task.cancelled():
            reason = self._scheduler.stopped
            if reason in ENDS_EARLY:
                # dbt reports a node whose query fail-fast cancelled as skipped (dbt/task/runnable.py, execute_nodes).
                return self._record_skip(SkippedNode(unique_id, reason), message=reason)
            result = self._without_record(unique_id, status="cancelled", message="Cancelled")
            error_type = None
        else:
            result, error_type = self._outcome(unique_id, task)
            if result.failed_ephemerals:
                self._ephemerals_failed(result.failed_ephemerals)
                result = result.model_copy(update={"failed_ephemerals": None})
        self._live.log.ended(node, result)
        self._live.state.node_ended(result, error_type=error_type)
        self._context.count(node, result)
        return result

    def _ephemerals_failed(self, unique_ids: list[str]) -> None:
        """Ends the run where fail-fast is in force: dbt looks at ephemeral models too, of which it has no results."""
        if self._live.state.fail_fast and not self._scheduler.stopped:
            self._live.ephemerals_failed(unique_ids)
            self._record_skips(self._scheduler.skip_rest(FAIL_FAST_REASON))

    def _record_skips(self, skips: list[SkippedNode]) -> None:
        for skip in skips:
            self._record_skip(skip, message=skip.reason)

    def _record_skip(self, skip: SkippedNode, *, message: str | None) -> NodeExecutionResult:
        result = NodeExecutionResult(
            unique_id=skip.unique_id, status="skipped", dbt_status="skipped", message=message, attempts=0
        )
        if skip.behind is not None and self._live.state.behind is not None:
            self._live.state.behind[skip.unique_id] = skip.behind
        node = self._context.plan.nodes[skip.unique_id]
        self._live.log.skipped(node, skip)
        self._live.state.node_ended(result, skipped_by_parent=skip.cause is not None)
        self._context.count(node, result)
        return result

    def _cancel_running(self) -> None:
        for task in self._tasks.values():
            if not task.cancelling():
                task.cancel()

    async def _cancel(self) -> None:
        """Cancels what runs, waits for it, and ends the rest, because the run was cancelled."""
        # What runs now is cancelled by the user, whatever fail-fast says.
        rest = self._scheduler.skip_rest(CANCELLED_REASON)
        self._cancel_running()
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._take_ended()
        self._record_skips(rest)
        self._live.changed()

    def _outcome(
        self, unique_id: str, task: asyncio.Task[NodeExecutionResult]
    ) -> tuple[NodeExecutionResult, str | None]:
        try:
            return task.result(), None
        except StepFailedError as failure:
            result = failure.result or self._without_record(
                unique_id, status="error", dbt_status="error", message=failure.message
            )
            return result, failure.error_type.value

    def _without_record(self, unique_id: str, **fields: Any) -> NodeExecutionResult:
        """A result that is the run's word, not that of an attempt: what a lost attempt has recorded does not count."""
        self._live.state.unrecorded.append(unique_id)
        return NodeExecutionResult.model_validate(
            {"unique_id": unique_id, "attempts": self._attempts.get(unique_id, 1), **fields}
        )

    async def _run_node(self, node: NodeInfo, ephemerals: list[str]) -> NodeExecutionResult:
        if not node.batched:
            return await self._run_step(node, ephemerals, None)

        async def run_part(part: BatchPart) -> NodeExecutionResult:
            return await self._run_step(node, ephemerals if part.stage == "begin" else [], part)

        def note(batches: Batches, ended: EndedBatch) -> None:
            self._live.log.batch_ended(node, batches, ended)
            self._live.changed()

        batches = BatchSteps(run_part, lambda: self._scheduler.room, self._occupy, note, self._context.runtime.has_room)
        return await batches.run()

    def _pause(self, value: bool) -> None:
        self._follow(self._scheduler.pause(value))

    def _occupy(self, threads: int) -> None:
        """Batches that run side by side have threads of their own, as in dbt."""
        if threads:
            self._follow(self._scheduler.occupy(threads))

    async def _run_step(self, node: NodeInfo, ephemerals: list[str], part: BatchPart | None) -> NodeExecutionResult:
        rule = retry_rule(self._context.config.retry, node.overrides)
        runtime = self._context.runtime
        began = runtime.now()

        async def attempt(number: int, lost: Lost) -> NodeExecutionResult:
            nonlocal began
            began = runtime.now()
            return await self._context.keeping.run_step(self._step(node, ephemerals, part, number, lost))

        result = await with_retries(
            runtime,
            rule,
            attempt,
            on_retry=partial(self._retried, node, rule.max_attempts),
            may_retry=lambda failure: failure.retryable and runtime.has_room(),
            wait_out=lambda failure: self.breaker.wait_out(failure, began) if runtime.has_room() else None,
            look=None if self._context.planned.unrepeatable is None else partial(self._look, node, part),
        )
        self.breaker.answered(began)
        return result

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
        self._attempts[node.unique_id] = attempt
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
                attempt=attempt,
                non_retryable_errors=config.retry.non_retryable_errors,
                write_artifacts=self._context.plan.write_artifacts,
                unheard=list(lost.attempts),
                again=config.retry.runs_again(
                    node.materialization,
                    overrides.on_lost_attempt,
                    repeatable=node.unique_id not in self._unrepeatable,
                ),
            ),
            limits=statement_limits(timeout, config.timeouts.node_heartbeat_secs),
            label=node.activity_type,
            summary=attempt_summary(_summary(node, part), attempt),
            task_queue=overrides.task_queue,
            priority=self._context.priority(node.priority),
        )

    def _retried(self, node: NodeInfo, max_attempts: int, attempt: int, reason: str) -> None:
        self._live.log.retried(node, attempt, max_attempts, reason)
        self._live.changed()


def _summary(node: NodeInfo, part: BatchPart | None) -> str:
    if part is None or part.stage != "batch":
        return node.activity_type if part is None else f"{node.activity_type}: {part.stage} of its batches"
    return f"{node.activity_type}: batch {part.index + 1} of {part.count}, {part.name}"


def retry_rule(retry: RetryConfig, overrides: NodeOverrides | None = None) -> RetryRule:
    """The project's retry settings with a node's own over them."""
    own = overrides or NodeOverrides()
    return RetryRule(
        max_attempts=own.max_attempts or retry.max_attempts,
        initial_interval_secs=own.initial_interval_secs or retry.initial_interval_secs,
        backoff_coefficient=own.backoff_coefficient or retry.backoff_coefficient,
        max_interval_secs=own.max_interval_secs or retry.max_interval_secs,
    )
