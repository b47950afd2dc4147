"""When each node of a plan may start: a state machine without clock or I/O, the same on every replay.

A node starts when everything in its `depends_on` has ended, at most `max_running` at once. Which of the ready ones
starts first is the queue's order (`ready_queue.py`), by default dbt's own, on which projects lean.

Which endings skip dependents is dbt's rule (dbt/task/runnable.py and dbt/task/build.py, dbt-core 1.10 to 1.12):

- `error` and `partial success` skip all descendants; `build` adds `fail` and `skipped`. `warn` never does.
- A unit test's failure skips its model. The model's own children follow the model.
- A model with `on_error: continue` (dbt-core 1.12) never skips its descendants.
- An ephemeral model takes its turn, as in dbt's queue, although it has no result: what waits for it is ready then. It
  is compiled before the node that starts next, or skipped, and whoever waits for it is skipped behind it.
- A skipped node is reported at its turn: in dbt's order when it would have started, else when its parents have ended.
- With fail-fast, the run ends early after an `error`, `fail` or `partial success`; a command that ends at its first
  error does after an `error`. dbt looks at that when its queue hands out a node, so what is ready by then still runs:
  the end comes when a further node becomes ready (it is not run), or, with fail-fast, when the queue has handed out
  all. A model is handed out together with its unit tests.

`cancelled` has no word in dbt (there, a cancelled query is an error), and counts like `error`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from dbt_temporal.domain.results import NodeStatus
from dbt_temporal.domain.run.plan import EphemeralTurn, NodeInfo
from dbt_temporal.domain.run.ready_queue import ReadyQueue
from dbt_temporal.domain.run.turns import SkippedNode, Turn

FAIL_FAST_REASON = "Skipping due to fail_fast"
"""dbt's own message for nodes that fail-fast kept from running (dbt/task/runnable.py, execute_nodes)."""

FIRST_ERROR_REASON = "Skipping because the command ends at its first error"
"""Of nodes that dbt has no result of: it ends with the error (dbt/task/runnable.py, raise_on_first_error)."""
ENDS_EARLY = frozenset({FAIL_FAST_REASON, FIRST_ERROR_REASON})

_FAILURES = frozenset({"error", "fail", "partial success"})
_SKIPPING = {"build": frozenset({"error", "fail", "skipped", "partial success"})}
_SKIPPING_ELSEWHERE = frozenset({"error", "partial success"})


class Scheduler:
    """Schedules the nodes of one plan.

    Args:
        nodes: the plan's nodes; their order breaks ties where the longest path decides.
        ephemerals: the plan's ephemeral models.
        command: dbt's command, which decides what a failed test means.
        max_running: how many nodes may run at once (dbt's threads).
        fail_fast: end early after the first failure.
        ends_on_error: end early after the first error.
        first_come: start nodes in dbt's order.
        at_once: end with the failure itself, by fail-fast alone, as runs of earlier versions did.

    Raises:
        DbtTemporalError: of type Configuration, where the plan has a cycle or an unknown node.
    """

    def __init__(
        self,
        nodes: Mapping[str, NodeInfo],
        *,
        ephemerals: Mapping[str, EphemeralTurn] | None = None,
        command: str,
        max_running: int,
        fail_fast: bool = False,
        ends_on_error: bool = False,
        first_come: bool = False,
        at_once: bool = False,
    ) -> None:
        self._nodes = nodes
        self._command = command
        self._max_running = max(1, max_running)
        self._fail_fast = fail_fast
        self._ends_on_error = ends_on_error
        self._at_once = at_once
        self._ephemerals = ephemerals or {}
        self._ready = ReadyQueue(nodes, self._ephemerals, first_come=first_come)
        self._children = self._ready.children
        self._followers = self._ready.followers
        waiting_for = Counter(follower for below in self._followers.values() for follower in below)
        self._waiting_for = {unique_id: waiting_for[unique_id] for unique_id in self._followers}
        self._running: dict[str, None] = {}
        self._occupied, self._paused = 0, False
        self._ended: dict[str, NodeStatus] = {}
        self._passed: dict[str, None] = {}
        self._passed_since_start: list[str] = []
        self._doomed: dict[str, str] = {}
        self._behind: dict[str, str] = {}
        self._swept: dict[str, None] = {}
        self._failed = self._erred = False
        self._stopped: str | None = None

    @property
    def done(self) -> bool:
        """Whether every node has ended."""
        return len(self._ended) == len(self._nodes)

    @property
    def running(self) -> list[str]:
        """The nodes that run now, in the order in which they started."""
        return list(self._running)

    @property
    def fail_fast(self) -> bool:
        """Whether fail-fast is in force."""
        return self._fail_fast

    @property
    def stopped(self) -> str | None:
        """The reason for which nothing starts any more; where it is one of ENDS_EARLY, dbt cancels what runs."""
        return self._stopped

    def start(self) -> Turn:
        """The first nodes to run. Called once."""
        turn = Turn()
        for unique_id, count in self._waiting_for.items():
            if count == 0:
                self._ready.push(unique_id)
        self._fill(turn)
        return turn

    def complete(self, unique_id: str, status: NodeStatus, dbt_status: str | None = None) -> Turn:
        """Takes note that a running node has ended, and says what follows.

        Args:
            unique_id: the node.
            status: how it ended, in the contract's words.
            dbt_status: dbt's own word, which tells a failed test from an error; derived from `status` where None.

        Raises:
            ValueError: the node was not running.
        """
        if unique_id not in self._running:
            raise ValueError(f"{unique_id} is not running")
        del self._running[unique_id]
        turn = Turn()
        word = "error" if status == "cancelled" else dbt_status or status
        self._failed = self._failed or word in _FAILURES
        self._erred = self._erred or word == "error"
        if self._stopped or (self._at_once and self._failed and self._fail_fast):
            self._ended[unique_id] = status
            turn.skipped = [] if self._stopped else self.skip_rest(FAIL_FAST_REASON)
            return turn
        if word == "skipped":  # by dbt, for an ephemeral model that failed: so is all below that
            self._doom_dependents(unique_id)
        self._finish(unique_id, status, word, turn)
        self._fill(turn)
        return turn

    def occupy(self, threads: int) -> Turn:
        """Takes note that a running node has so many more threads (or fewer), and says what may start now."""
        self._occupied += threads
        turn = Turn()
        if not self._stopped:
            self._fill(turn)
        return turn

    def pause(self, value: bool) -> Turn:
        """Has nothing more start, or goes on with what may start now."""
        self._paused = value
        return self.occupy(0)

    @property
    def room(self) -> int:
        """How many threads are free for what is to start."""
        return 0 if self._paused else self._max_running - len(self._running) - self._occupied

    def skip_rest(self, reason: str) -> list[SkippedNode]:
        """Ends every node that has not started as skipped, in plan order; what runs goes on."""
        self._stopped = reason
        self._ready.clear()
        rest = [uid for uid in self._nodes if uid not in self._ended and uid not in self._running]
        for unique_id in rest:
            self._ended[unique_id] = "skipped"
        return [SkippedNode(unique_id, reason) for unique_id in rest]

    def set_fail_fast(self, value: bool) -> list[SkippedNode]:
        """Turns fail-fast on or off. Turned on after a failure, it ends the run now, as if it had always been on."""
        self._fail_fast = value
        return self.skip_rest(FAIL_FAST_REASON) if value and self._failed and not self._stopped else []

    def snapshot(self) -> dict[str, Any]:
        """The state as plain JSON data, from which `restore` continues."""
        return {
            "command": self._command,
            "max_running": self._max_running,
            "fail_fast": self._fail_fast,
            "ends_on_error": self._ends_on_error,
            "at_once": self._at_once,
            "ready": self._ready.snapshot(),
            "failed": self._failed,
            "erred": self._erred,
            "stopped": self._stopped,
            "running": list(self._running),
            "occupied": self._occupied,
            "paused": self._paused,
            "ended": dict(self._ended),
            "passed": list(self._passed),
            "passed_since_start": list(self._passed_since_start),
            "doomed": dict(self._doomed),
            "behind": dict(self._behind),
            "swept": list(self._swept),
        }

    @classmethod
    def restore(
        cls,
        nodes: Mapping[str, NodeInfo],
        snapshot: Mapping[str, Any],
        ephemerals: Mapping[str, EphemeralTurn] | None = None,
    ) -> Scheduler:
        """A scheduler that continues where the snapshot was taken. What ran then still counts as running."""
        scheduler = cls(
            nodes,
            ephemerals=ephemerals,
            command=snapshot["command"],
            max_running=snapshot["max_running"],
            fail_fast=snapshot["fail_fast"],
            ends_on_error=snapshot["ends_on_error"],
            at_once=snapshot["at_once"],
            first_come=snapshot["ready"]["first_come"],
        )
        scheduler._failed, scheduler._erred = snapshot["failed"], snapshot["erred"]
        scheduler._stopped = snapshot["stopped"]
        scheduler._running = dict.fromkeys(snapshot["running"])
        scheduler._occupied, scheduler._paused = snapshot["occupied"], snapshot["paused"]
        scheduler._ended = dict(snapshot["ended"])
        scheduler._passed, scheduler._swept = dict.fromkeys(snapshot["passed"]), dict.fromkeys(snapshot["swept"])
        scheduler._passed_since_start = list(snapshot["passed_since_start"])
        scheduler._doomed, scheduler._behind = dict(snapshot["doomed"]), dict(snapshot["behind"])
        past = {**scheduler._ended, **scheduler._passed}
        for unique_id in past:
            for follower in scheduler._followers[unique_id]:
                scheduler._waiting_for[follower] -= 1
        ready = [
            unique_id
            for unique_id, count in scheduler._waiting_for.items()
            if count == 0 and unique_id not in past and unique_id not in scheduler._running
        ]
        scheduler._ready.restore(snapshot["ready"], ready)
        return scheduler

    def _fill(self, turn: Turn) -> None:
        while self._ready and self.room > 0:
            unique_id = self._ready.pop()
            if unique_id in self._ephemerals:
                passes = unique_id not in self._doomed
                if passes:
                    self._passed_since_start.append(unique_id)
                status: NodeStatus = "success" if passes else "skipped"
                self._finish(unique_id, status, status, turn)
            elif unique_id in self._doomed:
                turn.skipped.append(self._skipped(unique_id))
                self._finish(unique_id, "skipped", "skipped", turn)
            else:
                self._running[unique_id] = None
                turn.start.append(unique_id)
                if self._passed_since_start:
                    turn.ephemerals[unique_id] = self._passed_since_start
                    self._passed_since_start = []

    def _finish(self, unique_id: str, status: NodeStatus, word: str, turn: Turn) -> None:
        """Ends a node, and the run with it where there is a reason to and dbt would look for one by now."""
        reason = self._reason_to_end()
        gives_out = self._end(unique_id, status, word, turn, until_ready=reason is not None)
        if reason is not None and (gives_out or (reason == FAIL_FAST_REASON and self._all_handed_out())):
            turn.skipped += self.skip_rest(reason)

    def _reason_to_end(self) -> str | None:
        if self._failed and self._fail_fast:
            return FAIL_FAST_REASON
        return FIRST_ERROR_REASON if self._erred and self._ends_on_error else None

    def _all_handed_out(self) -> bool:
        """Whether what has not ended runs, is ready, or waits for unit tests of its own alone."""
        return all(
            self._ready.is_unit_test(unique_id)
            for unique_id, followers in self._followers.items()
            if followers and unique_id not in self._ended and unique_id not in self._passed
        )

    def _end(self, unique_id: str, status: NodeStatus, word: str, turn: Turn, *, until_ready: bool) -> bool:
        """Ends a node, and with it every doomed node whose turn has come by that.

        Returns:
            whether dbt's queue has a further node to hand out; with `until_ready`, nothing is done about it.
        """
        if unique_id in self._ephemerals:
            self._passed[unique_id] = None
        else:
            self._ended[unique_id] = status
        self._ready.next_arrivals()
        ending = [(unique_id, word)]
        while ending:
            ended_id, ended_word = ending.pop(0)
            if self._skips_dependents(ended_id, ended_word):
                self._doom_dependents(ended_id)
            for child in self._followers[ended_id]:
                self._waiting_for[child] -= 1
                if self._waiting_for[child]:
                    continue
                if until_ready and not self._ready.is_unit_test(ended_id):
                    return True
                if child in self._doomed and not self._ready.first_come:
                    turn.skipped.append(self._skipped(child))
                    self._ended[child] = "skipped"
                    ending.append((child, "skipped"))
                else:
                    self._ready.push(child, after=ended_id)
        return False

    def _skipped(self, unique_id: str) -> SkippedNode:
        cause = self._doomed[unique_id]
        how = {"cancelled": "was cancelled", "skipped": "was skipped"}.get(self._ended[cause], "failed")
        return SkippedNode(unique_id, f"{cause} {how}", cause, self._behind.get(unique_id))

    def _skips_dependents(self, unique_id: str, word: str) -> bool:
        node = self._ephemerals.get(unique_id) or self._nodes[unique_id]
        is_model = isinstance(node, EphemeralTurn) or node.resource_type == "model"
        if is_model and node.on_error == "continue":
            return False
        return word in _SKIPPING.get(self._command, _SKIPPING_ELSEWHERE)

    def _doom_dependents(self, unique_id: str) -> None:
        cause = self._doomed.get(unique_id, unique_id)
        followers = self._followers[unique_id]
        is_unit_test = self._ready.is_unit_test(unique_id)
        if is_unit_test:
            # That of an ephemeral model dooms the model, which then dooms its children in its turn.
            followers = [child for child in followers if child in self._ephemerals] or followers
        for child in followers:  # dbt names the last of those above (dbt/task/runnable.py, _mark_dependent_errors)
            if unique_id in self._ephemerals and not self._ready.is_unit_test(child):
                self._behind[child] = unique_id
            else:
                self._behind.pop(child, None)
        if is_unit_test:
            for child in followers:
                self._doomed.setdefault(child, cause)
            return
        to_sweep = [unique_id]
        while to_sweep:
            for child in self._followers[to_sweep.pop()]:
                self._doomed.setdefault(child, cause)
                if child not in self._swept:
                    self._swept[child] = None
                    to_sweep.append(child)
