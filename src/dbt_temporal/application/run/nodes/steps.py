"""The nodes of a run as steps: started when their parents are done, retried, skipped, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from dbt_temporal.application.ports.runtime import StepFailedError
from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.in_turns import do_in_turns
from dbt_temporal.application.run.nodes.attempts import NodeAttempts
from dbt_temporal.application.run.nodes.breaker import Breaker
from dbt_temporal.application.run.nodes.hand_over import HandOver, Packing
from dbt_temporal.application.run.nodes.hold import HOLD_ENDED_REASON, Hold
from dbt_temporal.application.run.nodes.operations import NodeOperations, Verdict
from dbt_temporal.application.run.nodes.scheduling import has_more, scheduler_of
from dbt_temporal.application.run.nodes.snapshot import NodeParts
from dbt_temporal.application.run.nodes.waits import HandedOnError, Waits
from dbt_temporal.application.shielding import shielded
from dbt_temporal.application.steps.messages import PlanProjectOutput
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.replanning import scheduler_of_new_plan
from dbt_temporal.domain.run.turns import ENDS_EARLY, FAIL_FAST_REASON, SKIP_ORDERED_REASON, SkippedNode, Turn

CANCELLED_REASON = "Skipping due to cancellation"
"""Of nodes that had not started when the run was cancelled, after the model of dbt's fail-fast message."""
NO_ROOM_REASON = "Skipping because the history of the workflow is full"


class NodeSteps:
    """Runs the nodes of one plan.

    Each node is a task. Tasks leave a note of their end in a list, in the order in which they end, and wake the loop:
    so the order of events is the runtime's, and the same on every replay.
    """

    def __init__(self, context: RunContext, packing: Packing, carried: Mapping[str, Any] | None = None) -> None:
        self._context = context
        self._live = context.live
        self._scheduler = scheduler_of(context, carried and carried["scheduler"])
        if carried is None and context.planned.first_come:
            self._live.state.behind = {}
        self._tasks: dict[str, asyncio.Task[NodeExecutionResult]] = {}
        self._cancelled: set[str] = set()
        self._ended: list[str] = []
        self._wake = asyncio.Event()
        self._has_room = True
        self._waits = Waits(context.runtime, self._wake.set)
        self._breaker = Breaker(context.runtime, context.config.breaker, context.live, self._pause)
        self._attempts = NodeAttempts(
            context, self._breaker, self._waits, lambda: self._scheduler.room, self._occupy, self._look_at_history
        )
        self.operations = NodeOperations(
            context, self._scheduler, self._waits, self._attempts, self._cancel_node, self._take_turn
        )
        keeps_open = context.run_input.on_failure == "hold"
        self.hold = Hold(context.runtime, context.live, context.config.hold_secs, keeps_open, self._wake)
        limits, count = context.planned.continue_after, len(context.plan.nodes)
        self._hand_over = HandOver(context.runtime, limits, count, self._waits, packing)
        self._parts = NodeParts(self._attempts, self._breaker, self.operations, self._waits, self.hold)
        self._carried = carried

    async def run(self) -> None:
        """Runs all nodes to their ends. Cancelled, it ends every node and then raises CancelledError.

        Where another execution goes on, it ends with what the runtime raises for that, which is no Exception.
        """
        try:
            if self._carried is None:
                self._follow(self._scheduler.start())
            else:
                self._go_on(self._carried)
            while True:
                if self._hand_over.begun and self.at_rest:
                    await self._hand_them_over()
                    self._take_ended()
                    continue
                held = None if self._hand_over.begun else self._held()
                if held is not None and self._breaker.let_go():
                    continue
                if held is not None and self._has_room and self.hold.is_due(held):
                    await self.hold.wait(held)
                elif held is not None and self._end_hold():
                    break
                elif held == [] and not self._tasks:
                    raise RuntimeError("nodes are left, but none runs, and none may start")
                else:
                    await self._wake.wait()
                self._wake.clear()
                self._take_ended()
        except (asyncio.CancelledError, Exception):
            await shielded(self._cancel())
            raise

    def snapshot(self) -> dict[str, Any]:
        """The state of nodes of which none runs, as plain JSON data, from which another execution goes on."""
        return {"scheduler": self._scheduler.snapshot(), **self._parts.snapshot()}

    async def _hand_them_over(self) -> None:
        """Ends this execution, or goes on in it after all."""
        if self._hand_over.can_be(self._live.log):
            await self._context.runtime.answered_all()
            # Meanwhile somebody may have ended the run, or had it go on by another plan.
            if self._scheduler.stopped is None:
                self._hand_over.carry_out()
        self._call_off()

    def _call_off(self) -> None:
        """The run goes on, or comes to its end, in this execution."""
        if self._hand_over.begun:
            self._hand_over.call_off(self._go_on_with)
            for unique_id in self.operations.to_end:
                self._cancel_node(unique_id)
            self._pause(self._breaker.is_open)

    def _go_on(self, carried: Mapping[str, Any]) -> None:
        self._parts.restore(carried)
        self._go_on_with(self._scheduler.running)
        for unique_id in self.operations.to_end:
            self._cancel_node(unique_id)
        self._pause(self._breaker.is_open)
        if self._live.state.fail_fast != carried["scheduler"]["settings"]["fail_fast"]:
            self.set_fail_fast(self._live.state.fail_fast)  # somebody has said so before all was known

    def _go_on_with(self, unique_ids: Iterable[str]) -> None:
        for unique_id in unique_ids:
            self._begin(unique_id, self._attempts.go_on(self._context.plan.nodes[unique_id]))

    def _look_at_history(self) -> None:
        """Begins a hand-over, where the history has become long."""
        if has_more(self._scheduler, self._context.plan) and self._hand_over.is_due():
            self._hand_over.begin()
            self._pause(True)

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs, and nothing will before an operator has spoken."""
        return not self._tasks and not self._ended

    def take_plan(self, planned: PlanProjectOutput) -> None:
        """Goes on by another plan, of the project as it is now; the nodes that are new take their turns."""
        self._context.take_plan(planned)
        self._scheduler = scheduler_of_new_plan(self._scheduler, planned.plan.nodes, planned.ephemerals)
        self.operations.plan_changed(self._scheduler)
        self._attempts.plan_changed()
        self._live.state.plan_changed(planned.plan)
        self._live.log.add(f"The run goes on with revision {planned.invocation.revision}")
        self._take_turn(self._scheduler.order((), None))
        self._live.changed()

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

    def _held(self) -> list[str] | None:
        """The nodes that wait for an operator's word, where all else is done; None where something goes on."""
        held = self._waits.held_back
        at_rest = not self._ended and all(unique_id in held for unique_id in self._scheduler.running)
        return [*self._scheduler.held, *held] if at_rest else None

    def _end_hold(self) -> bool:
        """Ends what operators held back. Returns whether the run's nodes have all ended by that."""
        if self._scheduler.held:
            self._record_skips(self._scheduler.skip_rest(HOLD_ENDED_REASON))
        self._waits.give_up()
        return self._scheduler.done

    def _take_turn(self, turn: Turn) -> None:
        """Does what follows from an operator's word, which may have been the last that the run waited for."""
        self._follow(turn)
        self._wake.set()

    def _follow(self, turn: Turn) -> None:
        for unique_id in turn.accepted:
            self._record_accepted(unique_id, None)
        self._record_skips(turn.skipped)
        for unique_id in turn.start:
            node = self._context.plan.nodes[unique_id]
            self._live.state.node_started(unique_id)
            self._live.log.started(node)
            self._begin(unique_id, self._attempts.run(node, turn.ephemerals.get(unique_id, [])))
        self._live.changed()

    def _begin(self, unique_id: str, work: Coroutine[Any, Any, NodeExecutionResult]) -> None:
        task = asyncio.create_task(work)
        self._tasks[unique_id] = task
        task.add_done_callback(partial(self._note_end, unique_id))

    def _note_end(self, unique_id: str, _task: asyncio.Task[NodeExecutionResult]) -> None:
        self._ended.append(unique_id)
        self._wake.set()

    def _take_ended(self) -> None:
        while self._ended:
            unique_id = self._ended.pop(0)
            self._cancelled.discard(unique_id)
            task = self._tasks.pop(unique_id)
            if not task.cancelled() and isinstance(task.exception(), HandedOnError):
                if self._hand_over.begun:
                    self._hand_over.handed_on[unique_id] = None
                else:  # called off before its task had ended
                    self._go_on_with([unique_id])
                continue
            result = self._record_end(unique_id, task)
            self._look_at_history()
            self._follow(self._scheduler.complete(unique_id, result.status, result.dbt_status))
        if self._scheduler.stopped:
            if self._has_room:
                self._call_off()
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
        verdict = self.operations.verdict(unique_id)
        if verdict is not None and (task.cancelled() or isinstance(task.exception(), StepFailedError)):
            return self._record_verdict(unique_id, verdict, task)
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
        self._live.state.node_ended(self._attempts.timed(result.told()), error_type=error_type)
        self._context.count(node, result)
        return result

    def _record_verdict(
        self, unique_id: str, verdict: Verdict, task: asyncio.Task[NodeExecutionResult]
    ) -> NodeExecutionResult:
        """Ends a node as an operator has said, who had its attempt ended for that."""
        if verdict == "skip":
            self._live.state.unrecorded.append(unique_id)
            return self._record_skip(SkippedNode(unique_id, SKIP_ORDERED_REASON), message=SKIP_ORDERED_REASON)
        last = None if task.cancelled() else self._outcome(unique_id, task)[0]
        return self._record_accepted(unique_id, last)

    def _record_accepted(self, unique_id: str, last: NodeExecutionResult | None) -> NodeExecutionResult:
        result = self.operations.accepted(unique_id, last)
        node = self._context.plan.nodes[unique_id]
        if unique_id not in self._live.state.unrecorded:
            self._live.state.unrecorded.append(unique_id)
        self._live.log.accepted(node, result)
        self._live.state.node_ended(self._attempts.timed(result))
        self._context.count(node, result)
        return result

    def _ephemerals_failed(self, unique_ids: list[str]) -> None:
        """Ends the run where fail-fast is in force: dbt looks at ephemeral models too, of which it has no results."""
        if self._live.state.fail_fast and not self._scheduler.stopped:
            self._live.ephemerals_failed(unique_ids)
            self._record_skips(self._scheduler.skip_rest(FAIL_FAST_REASON))

    def _record_skips(self, skips: Sequence[SkippedNode]) -> None:
        for skip in skips:
            self._record_skip(skip, message=skip.reason)

    def _record_skip(self, skip: SkippedNode, *, message: str | None) -> NodeExecutionResult:
        result = NodeExecutionResult(
            unique_id=skip.unique_id, status="skipped", dbt_status="skipped", message=message, attempts=0
        )
        if skip.behind is not None and self._live.state.behind is not None:
            self._live.state.behind[skip.unique_id] = skip.behind
        if skip.behind_if_failed is not None:
            self._live.state.behind_if_failed[skip.unique_id] = skip.behind_if_failed
        node = self._context.plan.nodes[skip.unique_id]
        self._live.log.skipped(node, skip)
        self._live.state.node_ended(self._attempts.timed(result), skipped_by_parent=skip.cause is not None)
        self._context.count(node, result)
        return result

    def _cancel_running(self) -> None:
        for unique_id in self._tasks:
            self._cancel_node(unique_id)

    def _cancel_node(self, unique_id: str) -> None:
        # Once: whoever is cancelled again waits no longer for the end of its statement.
        if unique_id not in self._cancelled and unique_id in self._tasks:
            self._cancelled.add(unique_id)
            self._tasks[unique_id].cancel()

    async def _cancel(self) -> None:
        """Cancels what runs, waits for it, and ends the rest, because the run was cancelled."""
        # What runs now is cancelled by the user, whatever fail-fast says.
        rest = self._scheduler.skip_rest(CANCELLED_REASON)
        self._live.state.notice = None
        self._call_off()
        self._cancel_running()
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._take_ended()
        await do_in_turns(self._record_skips, rest, self._context.runtime, self._context.planned)
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
            {"unique_id": unique_id, "attempts": self._attempts.made(unique_id), **fields}
        )

    def _pause(self, value: bool) -> None:
        self._follow(self._scheduler.pause(value or self._hand_over.begun))

    def _occupy(self, threads: int) -> None:
        """Batches that run side by side have threads of their own, as in dbt."""
        if threads:
            self._follow(self._scheduler.occupy(threads))
