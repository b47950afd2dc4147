"""What operators ask of the nodes of a run that is under way: retry, skip, accept, hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from dbt_temporal.application.run.context import RunContext
from dbt_temporal.application.run.nodes.attempts import NodeAttempts
from dbt_temporal.application.run.nodes.waits import Waits
from dbt_temporal.domain.errors import configuration_error
from dbt_temporal.domain.node_names import find_nodes
from dbt_temporal.domain.results import NodeExecutionResult
from dbt_temporal.domain.run.scheduler import Scheduler
from dbt_temporal.domain.run.turns import Order, Turn

Operation = Literal["retry", "skip", "accept", "hold"]
Verdict = Literal["skip", "accept"]

_ACCEPTED = "Accepted by an operator"
_ACCEPTED_WORDS = {"test": "warn", "unit_test": "pass", "source": "warn"}
"""dbt's words for what did not end well and stops nobody, or for what has no such word, ended well; else `success`."""
_PAST = {"retry": "retried", "skip": "skipped", "accept": "accepted", "hold": "held"}


class NodeOperations:
    """Carries operators' words out. Each is checked whole before any of it is done.

    Args:
        context: the run.
        scheduler: has the nodes whose turn has not come.
        waits: has those between two attempts.
        attempts: makes the attempts.
        cancel: ends the attempt at a node that runs.
        follow: does what a turn says.
    """

    def __init__(
        self,
        context: RunContext,
        scheduler: Scheduler,
        waits: Waits,
        attempts: NodeAttempts,
        cancel: Callable[[str], None],
        follow: Callable[[Turn], None],
    ) -> None:
        self._context = context
        self._live = context.live
        self._scheduler = scheduler
        self._waits = waits
        self._attempts = attempts
        self._cancel = cancel
        self._follow = follow
        self._verdicts: dict[str, Verdict] = {}
        self._accepted: set[str] = set()
        self._revised = False
        self._ended_so: dict[str, NodeExecutionResult] = {}

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues."""
        return {
            "verdicts": dict(self._verdicts),
            "accepted": sorted(self._accepted),
            "revised": self._revised,
            "ended_so": {uid: result.model_dump(mode="json") for uid, result in self._ended_so.items()},
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continues where the snapshot was taken."""
        self._verdicts = dict(snapshot["verdicts"])
        self._accepted = set(snapshot["accepted"])
        self._revised = snapshot["revised"]
        self._ended_so = {
            uid: NodeExecutionResult.model_validate(result) for uid, result in snapshot["ended_so"].items()
        }

    @property
    def to_end(self) -> list[str]:
        """Nodes that run and are to end, by an operator's word."""
        return list(self._verdicts)

    def find(self, operation: Operation, names: Sequence[str]) -> list[str]:
        """The unique_ids of the nodes that are meant, all of which the operation can be done to now.

        Raises:
            DbtTemporalError: of type Configuration, naming the node and why not.
        """
        unique_ids = find_nodes(self._context.plan.nodes, names)
        for unique_id in unique_ids:
            reason = self._why_not(operation, unique_id)
            if reason is not None:
                raise configuration_error(f"{unique_id} cannot be {_PAST[operation]}: {reason}")
        return unique_ids

    def do(self, operation: Operation, names: Sequence[str]) -> list[str]:
        """Does it, and returns the unique_ids of the nodes. Raises as `find`."""
        unique_ids = self.find(operation, names)
        self._live.log.add(f"{operation} by an operator: {', '.join(unique_ids)}")
        ended = [uid for uid in unique_ids if self._status(uid) not in ("pending", "running")]
        if ended:
            self._open_again(ended)
        for unique_id in unique_ids:
            if self._status(unique_id) == "running":
                self._do_to_running(operation, unique_id)
        pending = [uid for uid in unique_ids if self._status(uid) == "pending"]
        order: Order | None = None if operation == "retry" else operation
        self._follow(self._scheduler.order(pending, order))
        self._live.changed()
        return unique_ids

    def plan_changed(self, scheduler: Scheduler) -> None:
        """The run goes on by another plan: nodes that have succeeded may run again as they are now."""
        self._scheduler = scheduler
        self._revised = True
        self._live.opened_again()

    def retry_now(self) -> list[str]:
        """Has all attempts that are waited for come now, and returns the unique_ids of their nodes."""
        unique_ids = self._waits.cut_all()
        if unique_ids:
            self._live.log.add(f"retry now by an operator: {', '.join(unique_ids)}")
            self._live.changed()
        return unique_ids

    def verdict(self, unique_id: str) -> Verdict | None:
        """What a node that ran is to count as, whatever its attempt came to; asked once."""
        return self._verdicts.pop(unique_id, None)

    def accepted(self, unique_id: str, last: NodeExecutionResult | None = None) -> NodeExecutionResult:
        """The result of a node that counts as done.

        Args:
            unique_id: the node.
            last: how it had ended before, where that is not known from an ending of the run.
        """
        self._accepted.add(unique_id)
        last = last or self._ended_so.get(unique_id)
        kind = self._context.plan.nodes[unique_id].resource_type
        message = f"{_ACCEPTED}: {last.message}" if last is not None and last.message else _ACCEPTED
        return NodeExecutionResult(
            unique_id=unique_id,
            status="success",
            dbt_status=_ACCEPTED_WORDS.get(kind, "success"),
            message=message,
            failures=last.failures if last is not None else None,
            execution_time=last.execution_time if last is not None else 0.0,
            attempts=last.attempts if last is not None else 0,
        )

    def _status(self, unique_id: str) -> str:
        return self._live.state.statuses[unique_id]

    def _why_not(self, operation: Operation, unique_id: str) -> str | None:
        status = self._status(unique_id)
        if status == "pending":
            if self._context.planned.runs_ahead:
                return (
                    f"the engine {self._context.planned.engine} runs the nodes by itself, and cannot be kept from one"
                )
            may_be = operation != "retry" or self._scheduler.ordered(unique_id)
            return None if may_be else "its turn has not come yet"
        if status == "running":
            if operation != "retry" or self._waits.is_waiting(unique_id):
                return None
            return "it runs now; to have its statement ended and begin again, reset its activity"
        if operation in ("skip", "hold"):
            return f"it has ended ({status})"
        if status != "success" or (operation == "retry" and (self._revised or unique_id in self._accepted)):
            return None
        return "it has succeeded"

    def _do_to_running(self, operation: Operation, unique_id: str) -> None:
        if operation == "hold":
            self._waits.hold(unique_id)
        elif operation == "retry":
            self._waits.release(unique_id)
            self._waits.cut(unique_id)
        else:
            self._verdicts[unique_id] = operation
            self._cancel(unique_id)

    def _open_again(self, unique_ids: Sequence[str]) -> None:
        for result in self._live.state.node_results:
            if result.unique_id in unique_ids:
                self._ended_so[result.unique_id] = result
        opened = self._scheduler.reopen(unique_ids)
        for unique_id in opened:
            self._attempts.begin_again(unique_id)
            self._accepted.discard(unique_id)
        self._live.state.nodes_reopened(opened)
        self._live.opened_again()
        others = len(opened) - len(unique_ids)
        if others:
            self._live.log.add(f"Skipped nodes that take their turns again: {others}")
